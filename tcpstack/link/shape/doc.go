// Package shape is a link emulator: it joins two interfaces of real kernels and treats what passes as a
// path would: a rate with a queue, a policer, delay, jitter, loss, reordering, duplicates.
//
//  1. [ParsePath] reads what the user wants of one direction.
//  2. [Loop] takes frames off two TUN or TAP devices and stamps them with the real clock.
//  3. [Engine.Put] cuts superframes into the packets that a wire carries and injects them into a netsim
//     network: queues, losses and rates are the simulator's own, so that what holds in a simulated
//     network holds here.
//  4. [Engine.Advance] lets the network's time catch up with the clock. Every packet leaves with the instant
//     at which it was due, exact to the nanosecond whatever the scheduler did; the loop sleeps until the
//     next one, busy-waits the last stretch, and books how late each was ([Lateness]).
//
// The same seed gives the n-th packet of a direction the same fate, whoever sends it. The engine knows no
// clock and no device; the loop is the only place that does. All of it runs on one thread.
package shape
