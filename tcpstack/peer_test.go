package tcpstack

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// peer is a host made by hand: it sends the segments a test says, in virtual time, to one shard, and holds
// every segment that comes back until the test names it. Sequence numbers are relative, as in packetdrill:
// each side's SYN is 0 and its first byte 1. Both wrap within the first bytes.
type peer struct {
	t     testing.TB
	now   mono.Time
	base  mono.Time // of the last thing that happened: wantAfter counts from there
	s     *Shard
	dev   *wireTap
	flow  wire.Flow // as the stack sees it
	iss   wire.Seq  // the peer's
	irs   wire.Seq  // the stack's, learnt from its SYN
	win   uint16    // what send announces
	ts    bool      // send adds timestamps
	tsOf  func() uint32
	echo  uint32 // the last TSVal of the stack
	edge  int64  // where the stack's window ended, see closedWindow
	quiet bool   // does not narrate
	host  *host  // the application on the stack's side
}

// sg describes a segment in relative numbers, as sent or as wanted.
type sg struct {
	flags    wire.Flags
	seq, ack int64
	n        int    // payload length; bytes of a fixed pattern when sent
	data     string // payload, instead of n
	opt      wire.Options
	win      *uint16
	ecn      uint8 // of the IP header, as sent
}

func (g sg) String() string {
	return fmt.Sprintf("%s seq %d ack %d len %d", flagNames(g.flags), g.seq, g.ack, max(g.n, len(g.data)))
}

func flagNames(f wire.Flags) string {
	s := ""
	for i, c := range "FSRPAUEC" {
		if f&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}

// wireTap is the link: it holds what was sent, cut into segments, and takes at most room frames.
type wireTap struct {
	caps link.Caps
	in   [][]byte
	csum link.Csum
	out  []sent
	room int // frames that Transmit still takes; negative: any number
	t    testing.TB
	now  func() mono.Time
}

// sent is a packet the stack has sent.
type sent struct {
	at  mono.Time
	ip  wire.IPHeader
	seg wire.Segment // TCP
	raw []byte       // anything else: the IP packet
}

func (d *wireTap) Caps() link.Caps      { return d.caps }
func (d *wireTap) Wait(mono.Time) error { return nil }
func (d *wireTap) Wake()                {}

func (d *wireTap) Receive(frames []link.Frame) (int, error) {
	n := min(len(frames), len(d.in))
	for i := range n {
		frames[i] = link.Frame{Data: d.in[i], Time: d.now(), Csum: d.csum}
	}
	d.in = d.in[n:]
	return n, nil
}

func (d *wireTap) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		if d.room == 0 {
			return i, nil
		}
		d.room--
		d.take(&frames[i])
	}
	return len(frames), nil
}

// take parses a frame, verifies it, and cuts a superframe as a NIC would.
func (d *wireTap) take(f *link.Frame) {
	raw := append([]byte(nil), f.Data...)
	for _, p := range f.Pieces {
		raw = append(raw, p...)
	}
	var s sent
	payload, drop := wire.ParseIP(raw, &s.ip)
	if drop != wire.DropNone {
		d.t.Fatalf("the stack sent a bad packet: %v", drop)
	}
	s.at = d.now()
	if s.ip.Protocol != wire.ProtoTCP {
		s.raw = raw
		d.out = append(d.out, s)
		return
	}
	if drop := wire.ParseTCP(&s.ip, payload, f.Csum == link.CsumComplete, &s.seg); drop != wire.DropNone {
		d.t.Fatalf("the stack sent a bad segment: %v", drop)
	}
	data, size := s.seg.Payload, int(f.GSO)
	if size == 0 {
		size = max(1, len(data))
	}
	for at := 0; at == 0 || at < len(data); at += size {
		cut := s
		cut.seg.Seq = s.seg.Seq.Add(at)
		cut.seg.Payload = data[at:min(at+size, len(data))]
		if at+size < len(data) {
			cut.seg.Flags &^= wire.FIN | wire.PSH
		}
		if n := s.ip.HeaderLen + s.seg.HeaderLen() + len(cut.seg.Payload); n > d.caps.MTU {
			d.t.Fatalf("the stack sent a packet of %d bytes over an MTU of %d", n, d.caps.MTU)
		}
		d.out = append(d.out, cut)
	}
}

var testKey = syn.Key{1, 2, 3}

// newPeer makes a stack with one shard and the host at the other end of its link.
func newPeer(t testing.TB, cfg Config) *peer { return newPeerAt(t, cfg, addrA, addrB) }

func newPeer6(t testing.TB, cfg Config) *peer {
	return newPeerAt(t, cfg, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
}

func newPeerAt(t testing.TB, cfg Config, local, remote netip.Addr) *peer {
	t.Helper()
	p := &peer{t: t, now: mono.Time(time.Hour), iss: 0xfffffff0, win: 65535, host: &host{}}
	clock := func() mono.Time { return p.now }
	p.dev = &wireTap{caps: link.Caps{MTU: 1500, TSO4: true, TSO6: true, MaxGSO: 65535, TxCopies: true}, room: -1, t: t, now: clock}
	p.tsOf = func() uint32 { return uint32(p.now/1e6) + 7 }
	cfg.Addrs, cfg.Clock = append(cfg.Addrs, local), clock
	if cfg.Functions == "" {
		cfg.Functions = FunctionsBase // whose packets do not depend on small differences of time
	}
	if cfg.Congestion == "" {
		cfg.Congestion = "newreno"
	}
	if cfg.Secret == (syn.Key{}) {
		cfg.Secret = testKey
	}
	if cfg.MaxReceiveBuffer == 0 {
		cfg.MaxReceiveBuffer = 4 << 20 // a window scale of 7
	}
	st, err := New(cfg, []link.Device{p.dev})
	if err != nil {
		t.Fatal(err)
	}
	p.s = st.shards[0]
	p.flow = flowOf(netip.AddrPortFrom(local, 80), netip.AddrPortFrom(remote, 50000))
	t.Cleanup(func() {
		if !t.Failed() {
			p.wantNone()
		}
	})
	return p
}

// listen accepts connections to port 80 for p.host.
func (p *peer) listen(cfg ListenConfig) *Listener {
	p.t.Helper()
	if cfg.Accept == nil {
		cfg.Accept = func(c *Conn) Handler { p.host.c = c; return p.host }
	}
	l, err := p.s.stack.Listen(p.flow.LocalAddrPort(), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// send sends a segment and lets the shard react.
func (p *peer) send(g sg) {
	p.t.Helper()
	p.wantNone()
	p.base = p.now
	p.put(g)
	p.settle()
}

// put lays a segment onto the shard's ring.
func (p *peer) put(g sg) {
	p.t.Helper()
	s := wire.Segment{
		SrcPort: p.flow.RemotePort, DstPort: p.flow.LocalPort, Flags: g.flags, Window: p.win,
		Seq: p.iss.Add(int(g.seq)), Options: g.opt, Payload: []byte(g.data), ECN: g.ecn,
	}
	if g.n > 0 {
		s.Payload = peerBytes(g.seq, g.n)
	}
	if g.flags&wire.ACK != 0 {
		s.Ack = p.irs.Add(int(g.ack))
	}
	if g.win != nil {
		s.Window = *g.win
	}
	if p.ts && !s.Options.HasTS && g.flags&wire.RST == 0 {
		s.Options.HasTS, s.Options.TSVal, s.Options.TSEcr = true, p.tsOf(), p.echo
	}
	if !p.quiet {
		p.t.Logf("%8v  <- %v", p.since(), g)
	}
	p.dev.in = append(p.dev.in, p.packet(&s))
}

func (p *peer) packet(s *wire.Segment) []byte {
	h := wire.IPHeader{Src: p.flow.Remote, Dst: p.flow.Local, Protocol: wire.ProtoTCP, HopLimit: 64, TOS: s.ECN}
	h.V6 = !p.flow.Local.Is4()
	b := make([]byte, 40+60+len(s.Payload))
	return b[:wire.PutSegment(b, &h, s)]
}

// peerBytes is the pattern the peer sends: each byte follows from its relative sequence number.
func peerBytes(seq int64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := seq + int64(i)
		b[i] = byte(at*31 + at>>8)
	}
	return b
}

func (p *peer) since() time.Duration { return p.now.Sub(mono.Time(time.Hour)) }

// settle lets the shard run until it has nothing to do at this instant.
func (p *peer) settle() {
	p.t.Helper()
	for range 10000 {
		busy, err := p.s.Step(p.now)
		if err != nil {
			p.t.Fatal(err)
		}
		if !busy {
			return
		}
	}
	p.t.Fatal("the shard never comes to rest")
}

// advance lets d pass, with every timer at its time.
func (p *peer) advance(d time.Duration) {
	p.t.Helper()
	p.settle()
	end := p.now.Add(d)
	for {
		next := max(p.s.Deadline(), p.now+1)
		if next > end {
			break
		}
		p.now = next
		p.settle()
	}
	p.now = end
	p.settle()
}

// want takes the next packet, which must be the segment described. PSH is not looked at.
func (p *peer) want(g sg) *wire.Segment {
	p.t.Helper()
	if len(p.dev.out) == 0 {
		p.t.Fatalf("%v: want %v, got nothing (%v)", p.since(), g, p.state())
	}
	o := p.dev.out[0]
	p.dev.out = p.dev.out[1:]
	p.base = o.at
	if o.raw != nil {
		p.t.Fatalf("want %v, got a packet of protocol %d", g, o.ip.Protocol)
	}
	if o.seg.Flags&wire.SYN != 0 && g.seq == 0 {
		p.irs = o.seg.Seq
	}
	if o.seg.Options.HasTS {
		p.echo = o.seg.Options.TSVal
	}
	got := p.relative(&o.seg)
	if flow := p.flow; o.ip.Src != flow.Local || o.ip.Dst != flow.Remote || o.seg.DstPort != flow.RemotePort {
		p.t.Fatalf("%v went from %v to %v:%d", got, o.ip.Src, o.ip.Dst, o.seg.DstPort)
	}
	ref := sg{flags: g.flags &^ wire.PSH, seq: g.seq, ack: g.ack, n: max(g.n, len(g.data))}
	if got.String() != ref.String() {
		p.t.Fatalf("%v: got %v, want %v (%v)", p.since(), got, ref, p.state())
	}
	p.t.Logf("%8v  -> %v win %d", o.at.Sub(mono.Time(time.Hour)), got, o.seg.Window)
	return &o.seg
}

func (p *peer) relative(s *wire.Segment) sg {
	g := sg{flags: s.Flags &^ wire.PSH, seq: int64(s.Seq.Sub(p.irs)), n: len(s.Payload)}
	if s.Flags&wire.ACK != 0 {
		g.ack = int64(s.Ack.Sub(p.iss))
	}
	return g
}

// wantNone fails if the stack has sent anything that was not asked for.
func (p *peer) wantNone() {
	p.t.Helper()
	for i := range p.dev.out {
		p.t.Errorf("unexpected at %v: %v", p.dev.out[i].at.Sub(mono.Time(time.Hour)), p.relative(&p.dev.out[i].seg))
	}
	if len(p.dev.out) > 0 {
		p.t.FailNow()
	}
}

// slack is what the timing wheel may be late.
const slack = time.Millisecond

// wantAfter wants silence for d less a bit, and the segment then.
func (p *peer) wantAfter(d time.Duration, g sg) *wire.Segment {
	p.t.Helper()
	at := p.base.Add(d)
	p.advance(at.Add(-1).Sub(p.now))
	p.wantNone()
	p.advance(at.Add(slack).Sub(p.now))
	return p.want(g)
}

// skip drops what the stack has sent.
func (p *peer) skip() { p.dev.out = nil }

// wantState checks the connection's state.
func (p *peer) wantState(want State) {
	p.t.Helper()
	if got := p.state(); got != want {
		p.t.Fatalf("%v: state %v, want %v", p.since(), got, want)
	}
}

func (p *peer) state() State {
	if p.host.c == nil {
		return StateClosed
	}
	return p.host.c.State()
}

// do runs f as if from a message on the shard.
func (p *peer) do(f func(c *Conn)) {
	p.t.Helper()
	p.wantNone()
	p.base = p.now
	p.s.Post(MessageFunc(func(*Shard) { f(p.host.c) }))
	p.settle()
}

// write queues n bytes of the stack's pattern.
func (p *peer) write(n int) {
	p.t.Helper()
	p.do(func(c *Conn) {
		c.Append(stream.Bytes(hostBytes(p.host.wrote, n)))
		p.host.wrote += int64(n)
	})
}

// hostBytes is the pattern the stack's application sends, from stream offset off.
func hostBytes(off int64, n int) []byte { return peerBytes(off+1000, n) }

// wantData wants a segment of n bytes at relative sequence number seq, with the pattern's bytes.
func (p *peer) wantData(seq int64, n int, ack int64) *wire.Segment {
	p.t.Helper()
	s := p.want(sg{flags: wire.ACK, seq: seq, ack: ack, n: n})
	if string(s.Payload) != string(hostBytes(seq-1, n)) {
		p.t.Fatalf("wrong bytes at %d", seq)
	}
	return s
}

// synOptions are what a modern peer offers.
func synOptions() wire.Options {
	return wire.Options{MSS: 1460, HasWScale: true, WScale: 0, SACKPermitted: true}
}

// open makes an established connection to a listener, with the SYN's options as given.
func (p *peer) open(o wire.Options) {
	p.t.Helper()
	p.listen(ListenConfig{})
	p.connect(o)
}

func (p *peer) connect(o wire.Options) {
	p.t.Helper()
	p.send(sg{flags: wire.SYN, opt: o})
	p.want(sg{flags: wire.SYN | wire.ACK, ack: 1})
	p.advance(10 * time.Millisecond) // the round trip
	p.ts = o.HasTS
	p.send(sg{flags: wire.ACK, seq: 1, ack: 1})
	p.wantState(StateEstablished)
}

// dial opens actively from the stack; its SYN is the next segment.
func (p *peer) dial() {
	p.t.Helper()
	p.flow.LocalPort, p.flow.RemotePort = 40000, 81
	p.s.Post(MessageFunc(func(s *Shard) {
		p.host.c = s.newConn(&p.flow, p.host)
		p.host.c.connect(s.now)
	}))
	p.settle()
}

func window(n int) *uint16 { w := uint16(n); return &w }

// sack makes the options of an ACK that reports relative ranges, given as from, to pairs. It may be used once
// irs is known.
func (p *peer) sack(edges ...int64) wire.Options {
	var o wire.Options
	for i := 0; i < len(edges); i += 2 {
		o.SACK[o.NSACK] = wire.SACKBlock{Left: p.irs.Add(int(edges[i])), Right: p.irs.Add(int(edges[i+1]))}
		o.NSACK++
	}
	return o
}

// host is the application on the stack's side: it reads everything, unless it pauses, and counts.
type host struct {
	c                          *Conn
	got                        []byte
	wrote                      int64
	pause                      bool
	readable, writable, closed int
	eof                        bool
	err                        error
	onReadable, onWritable     func(c *Conn)
	onClosed                   func(c *Conn)
}

func (h *host) Readable(c *Conn) {
	h.readable++
	if h.onReadable != nil {
		h.onReadable(c)
	}
	if !h.pause {
		h.drain(c)
	}
}

func (h *host) drain(c *Conn) {
	var buf [9000]byte
	for n := c.Read(buf[:]); n > 0; n = c.Read(buf[:]) {
		h.got = append(h.got, buf[:n]...)
	}
	h.eof = c.EOF()
}

func (h *host) Writable(c *Conn) {
	h.writable++
	if h.onWritable != nil {
		h.onWritable(c)
	}
}

func (h *host) Closed(c *Conn, err error) {
	h.closed++
	h.err = err
	if h.onClosed != nil {
		h.onClosed(c)
	}
}

// wantGot checks that the application has read exactly the peer's first n bytes.
func (p *peer) wantGot(n int) {
	p.t.Helper()
	if string(p.host.got) != string(peerBytes(1, n)) {
		p.t.Fatalf("the application has %d bytes, want %d of the pattern", len(p.host.got), n)
	}
}

// wantClosed checks that the Closed event came once, with err.
func (p *peer) wantClosed(err error) {
	p.t.Helper()
	if p.host.closed != 1 || p.host.err != err {
		p.t.Fatalf("Closed %d times, %v; want once, %v", p.host.closed, p.host.err, err)
	}
}
