// Package bisect finds the offload of a network adapter that breaks transfers, as people do by hand with ethtool or
// ifconfig (-tso, -txcsum, -rxcsum, ...): all off, then one by one on.
//
//  1. [Run] plans the steps: none of the adapter's offloads, then each alone, with those that it needs.
//  2. A step has legs: the same file over HTTP and HTTPS on a perfect wire, then HTTPS over a wire that loses and
//     corrupts. Each leg has a world of its own (world.go): a server stack behind the adapter, a cable in memory, a
//     wire, a client's stack with crypto/tls, so that nothing of one leg can disturb the next.
//  3. The client compares every byte (fetch.go); meanwhile the counters of both ends are watched, and a leg whose
//     symptom is certain is cut short (watch.go). One that chance could have made must show twice.
//  4. Symptoms of a step are the offload's: those without any offload are nobody's, and end the search.
//  5. Offloads without a symptom are timed, on and off in turns; [Report] names who broke or slowed something.
package bisect
