// Package script runs packetdrill scripts against the stack of package tcpstack, on a virtual clock.
//
//  1. The lexer (token.go) and the parser (parse*.go) turn the text into options and a list of events:
//     packets in, packets out, socket calls, `commands`, %{ code }%. What they do not know is a [SyntaxError].
//  2. [Run] makes a stack with one shard over a scripted link (device.go) and steps it from event to event,
//     with every timer at its own time.
//  3. A packet in is translated from the script's numbers to the stack's (flow.go): sequence numbers count
//     from each side's SYN, timestamps from the first one that the script has seen.
//  4. A packet out is translated back and compared field by field (match.go). Frames of several segments
//     are cut into segments first; a line of the script stands for as many as fill its length.
//  5. Socket calls act on a table of descriptors (socket.go, call*.go); a call that blocks ends later.
//  6. Code is evaluated at once over the connection's tcp_info (expr.go, info.go).
//
// The first difference ends the run as a [Mismatch], with the line, what was expected and what was there.
// Unlike packetdrill's, this runner also fails when packets are left at the end that no line expects, unless
// [Options.Trailing] allows them: silence is part of what a script says.
package script
