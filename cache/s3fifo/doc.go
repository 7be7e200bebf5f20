// Package s3fifo is the S3-FIFO eviction policy (Yang, Zhang, Qiu, Yue, Vigfusson: "FIFO queues are all you
// need for cache eviction", SOSP 2023) over slots that the caller numbers 0..capacity-1. It holds no data, takes
// no locks and allocates nothing after [New].
//
//  1. Insert puts a slot into the small queue, or into the main queue if its key was evicted not long ago.
//  2. Hit counts an access: an increment, no list is touched.
//  3. Evict takes from the small queue while that holds more than its tenth, else from the main queue. A slot of
//     the small queue that was hit again moves to the main queue; one that was not leaves its fingerprint in the
//     ghost table. A slot of the main queue goes round once for every hit it has.
//  4. Remove takes a slot out, wherever it is.
//
// One-hit wonders, the bulk of a video origin's long tail, therefore pass through a tenth of the cache and never
// displace what is popular.
//
// Slots can be busy (pinned). Evict never returns a busy slot: it passes it over and leaves its count alone.
package s3fifo
