// Package pacing says when: rates, pacers, and the timing wheel that wakes what is due. It is pure: time is an
// argument, nobody sleeps.
//
//  1. A [Rate] turns bytes into time and back, without losing bytes to rounding.
//  2. A [Pacer] keeps a connection's schedule: how much may leave now, and when the next burst departs.
//     A [Schedule] gives parts of the stream, responses, a rate and a deadline of their own.
//  3. A connection sets its [Timer] in its shard's [Wheel]: O(1), no allocation, the node is part of
//     the connection.
//  4. The shard's loop asks [Wheel.Next] how long it may block.
//  5. It calls [Wheel.Advance], which hands over each timer that is due: never early, and late only by
//     as much as the loop is.
//  6. [Share] divides a cap on all that leaves among shards, by what each demands.
package pacing
