package tcpstack

import (
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// Explicit congestion notification (RFC 3168), from the handshake to the echo and its answer:
//
//  1. A SYN asks for it and a SYN-ACK agrees (section 6.1.1): ecnSyn, ecnAgreed, Shard.answerSyn.
//  2. Data goes out as ECN-capable: ecnData.
//  3. A router marks it CE, and the receiver's ACKs say so: inputECN, ecnEcho.
//  4. The sender learns how much was marked (ecnMarked), reduces its window, and says so: ecnReduced.

// ECN says how new connections use explicit congestion notification.
type ECN uint8

const (
	ECNAccept  ECN = iota // agree where the peer asks (Linux: tcp_ecn=2)
	ECNRequest            // ask for it too (tcp_ecn=1)
	ECNOff                // neither (tcp_ecn=0)
)

// ecnState is a connection's part of ECN.
type ecnState struct {
	offered bool // our SYN asked for it
	on      bool // agreed on
	echo    bool // ACKs carry ECE: a CE mark came (section 6.1.3); to a scalable controller it is DCTCP.CE
	sendCWR bool // the next new data carries CWR (section 6.1.2)
}

// ecnSyn is what our SYN or SYN-ACK says of ECN (section 6.1.1): an ECN-setup SYN has ECE and CWR, an ECN-setup
// SYN-ACK only ECE. A SYN that nobody answered goes out again without: section 6.1.1.1, "MAY resend the SYN
// [...] with CWR and ECE cleared", since there are firewalls that drop it. Then ECN is off whatever the answer,
// which may be to either SYN. We deviate from the MAY for a RST: a port that is closed would take a round trip
// more to say so; Linux does not either.
func (c *Conn) ecnSyn() wire.Flags {
	switch {
	case c.state == StateSynReceived && c.ecn.on: // a simultaneous open
		return wire.ECE
	case c.state != StateSynSent || !c.ecn.offered:
		return 0
	case c.snd.synTries > 0:
		c.ecn.offered = false
		return 0
	}
	return wire.ECE | wire.CWR
}

// ecnAgreed takes what the peer's SYN-ACK, or its crossing SYN, says of ECN.
func (c *Conn) ecnAgreed(seg *wire.Segment) {
	want := wire.ECE | wire.CWR
	if seg.Flags&wire.ACK != 0 {
		want = wire.ECE
	}
	c.ecn.on = c.ecn.offered && seg.Flags&(wire.ECE|wire.CWR) == want
}

// wantECN reports whether an active open asks for ECN. A scalable controller cannot do without (RFC 8257
// section 3).
func (st *Stack) wantECN() bool {
	if st.cfg.ECN != ECNAccept {
		return st.cfg.ECN == ECNRequest
	}
	cc, err := congestion.New(st.DefaultCongestion(), defaultMSS4)
	return err == nil && scalable(cc)
}

// acceptsECN reports whether a SYN asks for ECN, and we agree (RFC 3168 section 6.1.1).
func (st *Stack) acceptsECN(seg *wire.Segment) bool {
	return st.cfg.ECN != ECNOff && seg.Flags.Has(wire.ECE|wire.CWR)
}

// scalable reports whether the controller in use is one that wants each mark echoed.
func scalable(cc congestion.Controller) bool {
	m, ok := cc.(congestion.Marker)
	return ok && m.Scalable()
}

// inputECN takes the CE mark and the CWR of a data segment within the window. Section 6.1.5: "the TCP data
// receiver SHOULD ignore the ECN field on arriving data packets that are outside of the receiver's current window".
//
// Section 6.1.3: after a CE mark every ACK carries ECE, until the sender says CWR; a mark on the segment
// that brings the CWR counts anew. The first mark is acknowledged at once, as Linux does it: congestion news
// must not wait for the delayed ACK; and so is a CWR, whose sender may be down to one segment.
func (c *Conn) inputECN(now mono.Time, seg *wire.Segment) {
	if !c.ecn.on {
		return
	}
	ce := seg.ECN == wire.CE
	if ce {
		c.shard.stats.CEReceived++
	}
	if scalable(c.cc) {
		c.echoEach(now, ce)
		return
	}
	if seg.Flags&wire.CWR != 0 {
		c.ecn.echo, c.rcv.ackNow = false, true
	}
	if ce && !c.ecn.echo {
		c.ecn.echo, c.rcv.ackNow = true, true
	}
}

// echoEach is DCTCP's receiver (RFC 8257 section 3.2, figure 1): ECE says whether the segments that an ACK covers
// were marked. When that changes, what is not acknowledged yet gets an ACK of its own that says the old state,
// before the segment is taken; the new state is acknowledged at once.
func (c *Conn) echoEach(now mono.Time, ce bool) {
	if ce == c.ecn.echo {
		return
	}
	if c.rcv.unacked > 0 {
		seg := c.header(now, c.rec.Next(), wire.ACK)
		c.shard.sendControl(&c.flow, &seg)
		c.ackWasSent()
	}
	c.ecn.echo, c.rcv.ackNow = ce, true
}

// ecnEcho is ECE, where a segment with these flags carries it.
func (c *Conn) ecnEcho(flags wire.Flags) wire.Flags {
	if c.ecn.echo && flags&(wire.ACK|wire.SYN|wire.RST) == wire.ACK {
		return wire.ECE
	}
	return 0
}

// ecnData prepares a segment with the bytes [from, to). Only new data is ECN-capable: neither pure ACKs (section
// 6.1.4) nor retransmissions (section 6.1.5: "MUST NOT set either ECT codepoint") nor window probes (section
// 6.1.6) are, nor a SYN or SYN-ACK (section 6.1.1). DCTCP keeps to that as well (RFC 8257 section 3.5 leaves
// it to the deployment).
func (c *Conn) ecnData(seg *wire.Segment, from, to int64) {
	if !c.ecn.on || from >= to || from < c.rec.Next() {
		return
	}
	seg.ECN = wire.ECT0
	if c.ecn.sendCWR { // section 6.1.2: "the first new data packet sent after the window reduction"
		seg.Flags |= wire.CWR
		c.ecn.sendCWR = false
	}
}

// ecnAlone reports that the next data must go in one segment: the one that carries CWR, which not every device
// takes off the later segments of a superframe.
func (c *Conn) ecnAlone() bool { return c.ecn.sendCWR }

// ecnMarked is what an ACK says of marks: of the bytes that it delivered, how many are reported to have
// arrived with CE, and whether it carries the echo that asks for one reduction per round trip (section 6.1.2).
// The classic echo does not count marks: it stays until CWR has arrived, and all that is acknowledged
// meanwhile counts as marked; DCTCP's receiver makes that exact (RFC 8257 section 3.3).
func (c *Conn) ecnMarked(seg *wire.Segment, delivered int64) (marked int64, echo bool) {
	if !c.ecn.on || seg.Flags&(wire.ECE|wire.SYN) != wire.ECE {
		return 0, false
	}
	c.shard.stats.ECEReceived++
	return delivered, true
}

// ecnReduced notes a reduction of the congestion window, "for any reason (because of a retransmit timeout, a Fast
// Retransmit, or in response to an ECN Notification)" (section 6.1.2): the receiver is told. It is called
// after each Lost and Timeout of the controller.
func (c *Conn) ecnReduced() { c.ecn.sendCWR = c.ecn.on }
