package tcpstack

import (
	"context"
	"net"
	"net/netip"
	"time"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// TCP Fast Open (RFC 7413): data in the SYN, and the answer to it before the handshake is over.
//
// The server's side: a client asks for a cookie in an ordinary handshake, and gets one in the SYN-ACK (answerFast).
// With it, the next time, its SYN brings data: the connection begins in SYN-RECEIVED (acceptFast), the
// application reads and answers, and the ACK of the SYN-ACK establishes it (fastEstablished). What a forged or
// replayed SYN can do is bounded by the listener's queue of such connections. The client's side is fastSyn and
// fastAnswered.

const (
	// fastResetLife is for how long a connection that was reset before its handshake was over keeps its place in
	// the queue (RFC 7413 section 5.1: those of an attack with stolen cookies are reset by the bystander whose
	// address was used; as Linux, 60 s).
	fastResetLife = 60 * time.Second
	fastBackoff   = time.Minute // without Fast Open after a SYN with data was lost; doubles each time
	maxFastDrops  = 7
)

// fastState is a connection's part of Fast Open.
type fastState struct {
	synAt   uint32 // client: when the SYN with data went out; server: the first SYN-ACK; microseconds, the low bits
	sent    uint16 // client: bytes in the SYN
	asked   bool   // client: wanted
	pending bool   // server: in SYN-RECEIVED, with the application at work
	again   bool   // server: the SYN came again
	fresh   bool   // server: the SYN-ACK brings a new cookie, since the old one ends soon
	data    bool   // data in a SYN was acknowledged (TCPI_OPT_SYN_DATA)
}

// micros is t in microseconds, the low 32 bits: more than an hour, and a handshake takes a minute at most.
func micros(t mono.Time) uint32 { return uint32(t / mono.Time(time.Microsecond)) }

// opened is synAt as a time.
func (f *fastState) opened(now mono.Time) mono.Time {
	return now.Add(-time.Duration(micros(now)-f.synAt) * time.Microsecond)
}

// answerFast handles the Fast Open option of a SYN. It reports true if the connection was made; else the handshake
// is an ordinary one, with a new cookie in the SYN-ACK if e says so.
func (s *Shard) answerFast(now mono.Time, l *Listener, e *syn.Entry, seg *wire.Segment) bool {
	o := &seg.Options.FastOpen
	if l.cfg.FastOpen <= 0 || !o.Has {
		return false
	}
	if o.Len == 0 { // section 4.1.2: a request
		s.stats.FastOpenCookieReqd++
		e.FastOpen = true
		return false
	}
	ok, old := s.opens.fast.Check(now, &e.Flow, o.Cookie())
	switch {
	case !ok: // section 4.2.2 (3): fall back, with a cookie that is good
		s.stats.FastOpenPassiveFail++
		e.FastOpen = true
		return false
	case len(seg.Payload) == 0:
		return false // we deviate: nothing to be gained by a connection before the ACK
	case !s.fastRoom(now, l) || !s.makeRoom():
		s.stats.FastOpenListenOverflow++ // section 4.2.2 (2), PendingFastOpenRequests
		return false
	}
	s.acceptFast(now, l, e, seg, old)
	return true
}

// A fastReset is a place in a listener's queue that an early RST has left behind.
type fastReset struct {
	l     *Listener
	until mono.Time
}

// fastRoom takes a place in the listener's queue of connections that are not established yet.
func (s *Shard) fastRoom(now mono.Time, l *Listener) bool {
	for len(s.opens.fastResets) > 0 && s.opens.fastResets[0].until <= now {
		s.opens.fastResets[0].l.fastPending.Add(-1)
		s.opens.fastResets = s.opens.fastResets[1:]
	}
	if l.fastPending.Add(1) > int64(l.cfg.FastOpen) {
		l.fastPending.Add(-1)
		return false
	}
	return true
}

// acceptFast makes the connection of a SYN with a good cookie and data (section 4.2.2 (4)-(5)): the data is
// delivered, the SYN-ACK acknowledges it, and the application may answer, up to the initial window. A FIN in the
// SYN is left for the client to repeat.
func (s *Shard) acceptFast(now mono.Time, l *Listener, e *syn.Entry, seg *wire.Segment, old bool) {
	c := s.newAccepted(now, l, e)
	c.fast = fastState{synAt: micros(now), pending: true, fresh: old, data: true}
	c.snd.wl1, c.snd.wnd, c.snd.maxWnd = seg.Seq, int64(seg.Window), int64(seg.Window)
	c.startSending(now, seg)
	got, _ := c.in.Insert(0, seg.Payload)
	s.stats.BytesReceived += uint64(got)
	s.stats.FastOpenPassive++
	s.stats.Accepted++
	c.sendSyn(now)
	l.admit(c)
	c.raise(eventReadable)
}

// fastEstablished goes on from SYN-RECEIVED: the client is where it says.
func (c *Conn) fastEstablished(now mono.Time, seg *wire.Segment) {
	c.leaveFast(false)
	if c.snd.synTries == 1 && !c.fast.again { // Karn
		c.rec.SampleRTT(now, now.Sub(c.fast.opened(now)))
	} else if seg.Ack == c.snd.seqOf(0) {
		c.rec.MarkAllLost(now) // a client without our SYN-ACK takes no data
	}
	c.syncRetransmitTimer()
}

// leaveFast gives up the place in the listener's queue, after a reset only in a while.
func (c *Conn) leaveFast(reset bool) {
	if !c.fast.pending {
		return
	}
	c.fast.pending = false
	if reset {
		c.shard.opens.fastResets = append(c.shard.opens.fastResets, fastReset{c.listener, c.shard.now.Add(fastResetLife)})
	} else {
		c.listener.fastPending.Add(-1)
	}
}

// repeatSynAck answers a SYN that came again; our own timer goes on as it was.
func (c *Conn) repeatSynAck(now mono.Time) {
	tries, at := c.snd.synTries, c.timers[timerRetransmit]
	c.sendSyn(now)
	c.snd.synTries, c.timers[timerRetransmit], c.fast.again = tries, at, true
}

// A fastHost is what a client knows of a server.
type fastHost struct {
	cookie wire.FastOpen
	mss    int       // section 4.1.3.1: the MSS is cached with the cookie
	drops  uint8     // SYNs with data that were lost in a row
	until  mono.Time // no Fast Open before
}

// DialFast is Dial with data to be sent in the SYN, as much of it as fits, where the server has given a cookie;
// without one it is asked for, and the data goes after the handshake. What is sent so may arrive twice, see
// ListenConfig.FastOpen. The connection owns early.
func (s *Shard) DialFast(local, remote netip.AddrPort, h Handler, early stream.Span) (*Conn, error) {
	flow := flowOf(local, remote)
	if err := s.admit(&flow); err != nil {
		early.Release()
		return nil, err
	}
	c := s.newConn(&flow, h)
	s.stats.Dialed++
	c.fast.asked = true
	c.bookQueued(early)
	c.queue.Append(early)
	c.connect(s.now)
	return c, nil
}

// DialFast is DialFrom with the first bytes to be written, which go in the SYN if the server has given a cookie
// before: see [Shard.DialFast]. early must not be changed afterwards.
func (st *Stack) DialFast(ctx context.Context, local, remote netip.AddrPort, early []byte) (net.Conn, error) {
	return st.dialFrom(ctx, local, remote, early)
}

// fastSyn fills the option of our SYN or SYN-ACK, and returns how many bytes of data our SYN takes along. A SYN
// that is repeated has neither: a middlebox may have dropped it for them (section 4.1.3).
func (c *Conn) fastSyn(now mono.Time, seg *wire.Segment) int64 {
	if c.state == StateSynReceived {
		if c.fast.fresh && c.snd.synTries == 0 {
			seg.Options.FastOpen = c.shard.opens.fast.Make(now, &c.flow)
		}
		return 0
	}
	h, _ := c.shard.opens.fastHosts.get(c.flow.Remote)
	if !c.fast.asked || c.snd.synTries > 0 || now < h.until {
		return 0
	}
	seg.Options.FastOpen = h.cookie
	seg.Options.FastOpen.Has = true
	if h.cookie.Len == 0 || !c.shard.batch.hasRoom() {
		return 0
	}
	mss := min(h.mss, int(c.shard.announcedMSS(&c.flow)))
	n := max(0, min(c.queue.Len(), int64(mss+20-seg.HeaderLen())))
	c.fast.sent, c.fast.synAt = uint16(n), micros(now)
	return n
}

// fastCovers reports whether an acknowledgment in SYN-SENT is of our SYN, with any part of its data.
func (c *Conn) fastCovers(ack wire.Seq) bool { return ack.InWindow(c.snd.seqOf(0), int(c.fast.sent)+1) }

// fastAnswered takes what the SYN-ACK says (section 4.1.3, 4.2.1): a cookie for the next time, and how much of
// the data has arrived. What has not goes out again as if it never had.
func (c *Conn) fastAnswered(now mono.Time, seg *wire.Segment) {
	if !c.fast.asked {
		return
	}
	h, _ := c.shard.opens.fastHosts.get(c.flow.Remote)
	if o := &seg.Options.FastOpen; o.Len > 0 {
		h.cookie = *o
	}
	h.mss = c.opt.peerMSS
	acked := int64(seg.Ack.Sub(c.snd.seqOf(0)))
	switch {
	case acked > 0:
		c.rec.Sent(c.fast.opened(now), 0, acked)
		c.rec.Ack(now, recovery.AckInfo{Ack: acked})
		c.book.Add(ledger.Acked, int(c.queue.Ack(acked)))
		c.fast.data, h.drops = true, 0
		c.shard.stats.BytesAcked += uint64(acked)
		c.shard.stats.FastOpenActive++
	case c.fast.sent > 0:
		c.shard.stats.FastOpenActiveFail++
		if c.snd.synTries > 1 { // a black hole for SYNs with data, it seems: leave it for a while
			h.until = now.Add(fastBackoff << h.drops)
			h.drops = min(h.drops+1, maxFastDrops)
		}
	}
	c.shard.opens.fastHosts.put(c.flow.Remote, h)
}
