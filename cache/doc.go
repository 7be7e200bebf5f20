// Package cache is the page cache: immutable pages of files, in memory outside the Go heap, pinned by whoever
// is sending them. It never blocks its caller on a disk.
//
//  1. [Cache.Open] ties a key (an object in one generation of its content) to the [Source] it is read from.
//  2. [File.Pin] finds the page in its shard and adds a hold to it: a hit, one short lock. The piece it returns
//     is read-only and stays as it is until its last hold is released.
//  3. On a miss it takes a slot (a new one from the arena, a free one, or the one the policy gives up), queues the
//     fill, and returns [ErrBusy]: the waiter is called when it is worth trying again. This is sendfile(2) with
//     SF_NODISKIO.
//  4. One of a fixed number of readers fills the page, checks that the source still is the generation it was
//     opened as, publishes the page and calls the waiters. A page in flight is read once, whoever asks.
//  5. Pages after the one asked for are read ahead once a file is seen to be read in sequence.
//  6. When every slot is pinned or being filled, the request itself is queued, and served in order of arrival as
//     slots come free.
//  7. The last Release makes a page a candidate for eviction again. A pinned page is never evicted or rewritten.
//
// A changed file is another key, hence other pages; the old ones serve those who still hold them and go when
// they are let go. So a retransmission can never carry other bytes than the first transmission did.
//
// Memory: the budget is in pages; the arenas that hold them grow as pages are first needed and are never given
// back before [Cache.Close]. Each page costs about 200 bytes of bookkeeping on top (0.3 % at 64 KiB).
package cache
