// Package recovery decides what a TCP sender has lost and when to send it again. It is pure: no clock, no
// lock, no packet; stream offsets and instants go in, ranges and deadlines come out.
//
//  1. The connection sends a burst and says so: [Sender.Sent]. The scoreboard keeps one entry per
//     transmitted burst (up to 64 KiB), with the time and the number of its transmissions.
//  2. An ACK arrives: [Sender.Ack] cuts off what is acknowledged, marks what is SACKed (splitting entries
//     where a block begins or ends inside a burst), takes an RTT sample, restarts the timer.
//  3. Loss detectors look at the scoreboard and mark entries lost: RACK (RFC 8985), or as the base RFC 6675
//     with SACK and RFC 6582 (NewReno) without. [Config].Detector chooses, [Sender.SetDetector] changes it.
//     With [Config].NCR the base waits for more than three duplicate ACKs (RFC 4653).
//  4. The state (Open, Disorder, CWR, Recovery, Loss) moves by one table.
//  5. Output asks [Sender.Retransmit] for lost ranges first, then sends new data while [Sender.Pipe] is
//     below the congestion window, then asks [Sender.Rescue]. [Sender.MustRetransmit] overrides the window.
//  6. Nothing comes back: [Sender.Deadline] passes and [Sender.Timeout] says what that means: RACK's window
//     for reordering is over, or a probe is to be sent ([Sender.Probe], TLP), or it is the time-out.
//  7. With [Config].Undo an ACK may prove that an episode was needless: by timestamps (RFC 3522), D-SACK
//     (RFC 2883) or F-RTO (RFC 5682). [Outcome].Undo tells the caller to restore the window (RFC 4015).
//  8. With [Config].Rate an ACK also measures how fast the path delivers: [Outcome].Rate. Output that runs out
//     of data says so with [Sender.AppLimited].
//
// [PRR] (RFC 9937) stands beside the Sender: the window during one fast recovery.
//
// # Cost
//
// An ACK costs the same however much is in flight: SACKed neighbours are merged, so that the loss edge is
// found within the last few entries; an offset is found by binary search; a splice moves the shorter side
// of the scoreboard, which in recovery is the side of the holes. The worst case is bounded by the cap on
// entries, which is in proportion to the segments in flight: a receiver that acknowledges every second
// byte (the kind of CVE-2019-11477) has its finer blocks ignored, which costs nobody but itself. RACK does
// not visit the window on each ACK either; see its type.
//
// Nothing in flight means no heap memory: the first entries live in the Sender itself, and what more it takes goes
// back to the shard's [Pool].
//
// # Offsets
//
// Offsets are int64 counts of bytes since the start of the stream, as in package stream. A FIN is one more
// byte at the end. The SYN is not in here; its RTT sample enters through [Sender.SampleRTT].
package recovery
