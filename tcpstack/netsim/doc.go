// Package netsim is a network on virtual time: hosts, bottlenecks, wires and what happens on them. It serves
// tests of TCP, which get the same packets at the same nanoseconds every time.
//
//  1. [Network.Run] steps the hosts until nobody has anything to do, then moves the clock to the next event
//     or deadline. Events of one instant run in the order in which they were made.
//  2. A [Host] transmits through its [Device], which cuts superframes into wire packets first, so that
//     losses, queues and rates act on what a wire would carry.
//  3. The packets pass the path's elements, each a [Sink] that hands on to the next: [Bottleneck] (a rate and
//     a queue: [DropTail], [RED], [CoDel]), [Policer], [Wire] (delay, jitter, loss, reordering, duplicates,
//     bit errors), [Narrow] (a smaller MTU), [Tap] (looks at them), [Router] (forks by destination). [Chain]
//     joins them.
//  4. The far device keeps them until its host's next step.
//
// A path has one direction; [Network.Dumbbell] builds the usual topology whole. There are no goroutines and
// no clock, and random numbers come from the network's seed and the element's name: adding an element, or
// changing the share of one misfortune, leaves the victims of the others as they were.
//
// All of it is for one goroutine.
package netsim
