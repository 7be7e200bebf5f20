package tun

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ocaserve/internal/testenv"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// patience is how long the kernel may take to do what it is sure to do.
const patience = 20 * time.Second

// open opens an interface for the test, or skips it.
func open(t testing.TB, cfg Config) *Interface {
	t.Helper()
	testenv.NeedNamespace(t)
	ok, reason, fix := Probe()
	testenv.Need(t, "TUN", ok, reason+"; "+fix)
	i, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

// both is a configuration with both address families.
func both() Config { return Config{Addr: DefaultAddr, Addr6: DefaultAddr6} }

// next waits for the next packet of the given protocol and returns a copy of its frame.
func next(t testing.TB, d link.Device, protocol uint8) (link.Frame, wire.IPHeader) {
	t.Helper()
	frames := make([]link.Frame, 1)
	for until := mono.Now().Add(patience); mono.Now() < until; {
		n, err := d.Receive(frames)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			d.Wait(until)
			continue
		}
		var h wire.IPHeader
		if _, drop := wire.ParseIP(frames[0].Data, &h); drop == 0 && h.Protocol == protocol {
			f := frames[0]
			f.Data = bytes.Clone(f.Data)
			return f, h
		}
	}
	t.Fatalf("no packet of protocol %d came within %v", protocol, patience)
	panic("not reached")
}

// turn makes f a packet back to its sender. The order of addresses and ports does not change the
// checksum, whether complete or partial.
func turn(f *link.Frame, h *wire.IPHeader) {
	at, n := 12, 4
	if h.V6 {
		at, n = 8, 16
	}
	for i := range n {
		b := f.Data[at:]
		b[i], b[i+n] = b[i+n], b[i]
	}
	b := f.Data[h.HeaderLen:]
	b[0], b[1], b[2], b[3] = b[2], b[3], b[0], b[1]
}

func TestUDPEcho(t *testing.T) {
	i := open(t, both())
	for _, p := range []netip.Prefix{DefaultAddr, DefaultAddr6} {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Addr(), 7)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		d := i.Queues()[0]
		f, h := next(t, d, wire.ProtoUDP)
		if h.Src.Netip() != i.HostAddr(p.Addr().Is6()).Addr() {
			t.Errorf("packet comes from %v, want the host's address %v", h.Src, i.HostAddr(p.Addr().Is6()))
		}
		if f.Time == 0 {
			t.Error("received frame has no time stamp")
		}
		t.Logf("%v: %d bytes, checksum %d", p, f.Len(), f.Csum)
		turn(&f, &h)
		if n, err := d.Transmit([]link.Frame{f}); n != 1 || err != nil {
			t.Fatalf("Transmit: %d, %v", n, err)
		}
		b := make([]byte, 100)
		c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(b); string(b[:n]) != "hello" {
			t.Errorf("%v: the kernel read %q, %v; want hello", p, b[:n], err)
		}
	}
	if s := i.Stats(); s != (Stats{}) {
		t.Errorf("refusals: %+v", s)
	}
}

// TestSuperframes lets a kernel TCP socket talk to a server of a few lines: what the kernel sends must
// arrive as superframes, and a superframe of ours must reach its socket whole.
func TestSuperframes(t *testing.T) {
	i := open(t, both())
	for _, p := range []netip.Prefix{DefaultAddr, DefaultAddr6} {
		t.Run(p.Addr().String(), func(t *testing.T) {
			s := &server{t: t, d: i.Queues()[0]}
			type result struct {
				got []byte
				err error
			}
			done := make(chan result, 1)
			const size = 1 << 20
			answer := pattern(40000, 3)
			c := s.accept(netip.AddrPortFrom(p.Addr(), 80))
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			go func() {
				if _, err := c.Write(pattern(size, 1)); err != nil {
					done <- result{err: err}
					return
				}
				got := make([]byte, len(answer))
				_, err := io.ReadFull(c, got)
				done <- result{got, err}
			}()
			if got := s.read(size); !bytes.Equal(got, pattern(size, 1)) {
				t.Error("the kernel's bytes arrived damaged")
			}
			if s.largest <= i.cfg.MTU {
				t.Errorf("largest frame has %d bytes: no superframe came", s.largest)
			}
			t.Logf("%d frames, the largest of %d bytes", s.frames, s.largest)
			s.superframe(answer)
			r := <-done
			if r.err != nil || !bytes.Equal(r.got, answer) {
				t.Errorf("our superframe reached the socket damaged: %d bytes, %v", len(r.got), r.err)
			}
		})
	}
	if s := i.Stats(); s != (Stats{}) {
		t.Errorf("refusals: %+v", s)
	}
}

// A server is one TCP connection with no thought of loss.
type server struct {
	t               *testing.T
	d               link.Device
	ip              wire.IPHeader // of what we send
	seg             wire.Segment
	frames, largest int
}

// accept connects a kernel socket to addr and shakes hands with it.
func (s *server) accept(addr netip.AddrPort) net.Conn {
	type dialed struct {
		c   net.Conn
		err error
	}
	ch := make(chan dialed, 1)
	go func() {
		c, err := net.DialTimeout("tcp", addr.String(), patience)
		ch <- dialed{c, err}
	}()
	s.ip = wire.IPHeader{Src: wire.AddrFrom(addr.Addr()), V6: addr.Addr().Is6(), Protocol: wire.ProtoTCP, HopLimit: 64}
	syn, from := s.next()
	s.ip.Dst = from
	s.seg = wire.Segment{SrcPort: addr.Port(), DstPort: syn.SrcPort, Seq: 1000, Ack: syn.Seq.Add(1),
		Flags: wire.SYN | wire.ACK, Window: 65535, Options: wire.Options{MSS: 1400, HasWScale: true, WScale: 5}}
	s.send(nil, 0)
	s.seg.Seq++
	s.seg.Flags, s.seg.Options, s.seg.Window = wire.ACK, wire.Options{}, 60000
	r := <-ch
	if r.err != nil {
		s.t.Fatal(r.err)
	}
	return r.c
}

// next returns the next TCP segment to our address, and its source.
func (s *server) next() (wire.Segment, wire.Addr) {
	for {
		f, h := next(s.t, s.d, wire.ProtoTCP)
		if f.Csum == link.CsumPartial && int(f.CsumStart) != h.HeaderLen {
			s.t.Errorf("checksum starts at %d, want %d", f.CsumStart, h.HeaderLen)
		}
		if f.GSO > 1400 {
			s.t.Errorf("superframe of %d-byte segments, but we announced an MSS of 1400", f.GSO)
		}
		s.frames++
		s.largest = max(s.largest, f.Len())
		var seg wire.Segment
		if d := wire.ParseTCP(&h, f.Data[h.HeaderLen:], f.Csum == link.CsumComplete, &seg); d != 0 {
			s.t.Fatalf("segment dropped: %v", d)
		}
		ours := seg.SrcPort == s.seg.DstPort
		if s.seg.DstPort == 0 {
			ours = seg.Flags.Has(wire.SYN)
		}
		if h.Dst != s.ip.Src || !ours {
			continue // the end of an earlier connection
		}
		return seg, h.Src
	}
}

// read acknowledges what comes until it has n bytes.
func (s *server) read(n int) []byte {
	var got []byte
	for len(got) < n {
		seg, _ := s.next()
		if len(seg.Payload) == 0 {
			continue
		}
		// On a busy machine the kernel may lose patience and send a part again.
		if known := s.seg.Ack.Sub(seg.Seq); 0 <= known && known < len(seg.Payload) {
			got = append(got, seg.Payload[known:]...)
			s.seg.Ack = s.seg.Ack.Add(len(seg.Payload) - known)
		}
		s.send(nil, 0)
	}
	return got
}

// superframe sends b in one frame, in pieces of odd sizes.
func (s *server) superframe(b []byte) {
	var pieces [][]byte
	for n := 1; len(b) > 0; n = n*2 + 1 {
		n = min(n, len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	s.send(pieces, 1400)
}

func (s *server) send(pieces [][]byte, gso uint16) {
	f := link.Frame{Pieces: pieces, Csum: link.CsumPartial, CsumOffset: wire.ChecksumOffset, GSO: gso}
	payload := f.Len()
	b := make([]byte, 100)
	n := wire.PutIP(b, &s.ip, s.seg.HeaderLen()+payload)
	f.CsumStart = uint16(n)
	n += wire.PutTCP(b[n:], &s.ip, &s.seg, payload)
	f.Data = b[:n]
	if n, err := s.d.Transmit([]link.Frame{f}); n != 1 || err != nil {
		s.t.Fatalf("Transmit: %d, %v", n, err)
	}
}

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*seed + i>>8)
	}
	return b
}

func TestManyPiecesAreFlattened(t *testing.T) {
	i := open(t, both())
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(DefaultAddr.Addr(), 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := pattern(1400, 7)
	c.Write(want)
	d := i.Queues()[0]
	f, h := next(t, d, wire.ProtoUDP)
	turn(&f, &h)
	all := f.Data
	f.Data = all[:28]
	for i := range all[28:] {
		f.Pieces = append(f.Pieces, all[28+i:][:1])
	}
	if n, err := d.Transmit([]link.Frame{f}); n != 1 || err != nil {
		t.Fatalf("Transmit: %d, %v", n, err)
	}
	b := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(b); !bytes.Equal(b[:n], want) {
		t.Errorf("%d pieces of one byte arrived as %d bytes, %v", len(f.Pieces), n, err)
	}
}

// TestFlowFollowsItsQueue: the kernel sends a flow to the queue that last sent it something.
func TestFlowFollowsItsQueue(t *testing.T) {
	// Without IPv6, whose neighbour discovery would talk to a queue of its own choice.
	i := open(t, Config{Addr: DefaultAddr, Queues: 3})
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(DefaultAddr.Addr(), 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("first"))
	f, h := anyQueue(t, i) // the first packet may come to any
	turn(&f, &h)
	for q, d := range i.Queues() {
		if n, err := d.Transmit([]link.Frame{f}); n != 1 || err != nil {
			t.Fatalf("Transmit: %d, %v", n, err)
		}
		c.Write([]byte("again"))
		if f, _ := next(t, d, wire.ProtoUDP); !bytes.HasSuffix(f.Data, []byte("again")) {
			t.Errorf("queue %d got %q", q, f.Data)
		}
	}
}

// anyQueue waits for a UDP packet on all queues; the kernel's neighbour discovery is passed over.
func anyQueue(t *testing.T, i *Interface) (link.Frame, wire.IPHeader) {
	t.Helper()
	frames := make([]link.Frame, 1)
	var h wire.IPHeader
	for until := mono.Now().Add(patience); mono.Now() < until; {
		for _, d := range i.Queues() {
			if n, _ := d.Receive(frames); n == 0 {
				continue
			}
			if _, drop := wire.ParseIP(frames[0].Data, &h); drop == 0 && h.Protocol == wire.ProtoUDP {
				frames[0].Data = bytes.Clone(frames[0].Data)
				return frames[0], h
			}
		}
	}
	t.Fatal("the first packet came to no queue")
	panic("not reached")
}

// pending reports whether the device has a UDP packet waiting; anything else is discarded.
func pending(d *Device) bool {
	p := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(p, 0)
	return n > 0
}

func TestWaitEnds(t *testing.T) {
	i := open(t, Config{Addr: DefaultAddr})
	d := i.Queues()[0]
	drainAll(t, d)
	start := mono.Now()
	if err := d.Wait(start.Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if took := mono.Now().Sub(start); took < 20*time.Millisecond && !pending(d.(*Device)) {
		t.Errorf("Wait ended %v before its deadline", 20*time.Millisecond-took)
	}
	for range 1000 { // the race between falling asleep and waking, many times
		drainAll(t, d)
		go d.Wake()
		if err := d.Wait(mono.Never); err != nil {
			t.Fatal(err)
		}
	}
	d.Wake() // may add to one that came late; both are answered by at most one Wait each
	d.Wait(mono.Never)
	go i.Close()
	for { // packets of the kernel's own may come in between
		drain(d)
		if err := d.Wait(mono.Never); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("Wait after Close: %v", err)
			}
			break
		}
	}
	if _, err := d.Receive(make([]link.Frame, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	d.Wake() // must not write into a descriptor that is no longer ours
}

func drain(d link.Device) {
	frames := make([]link.Frame, 8)
	for n := 1; n > 0; {
		n, _ = d.Receive(frames)
	}
}

func drainAll(t *testing.T, d link.Device) {
	t.Helper()
	frames := make([]link.Frame, 8)
	for {
		n, err := d.Receive(frames)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func TestInterfaceRemovedUnderUs(t *testing.T) {
	i := open(t, Config{Addr: DefaultAddr})
	removeLink(t, i.Name())
	_, err := i.Queues()[0].Receive(make([]link.Frame, 1))
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("Receive: %v, want an error that says the interface is gone", err)
	}
	if err := i.Queues()[0].Wait(mono.Never); err == nil {
		t.Error("Wait returned without an error")
	}
}

func TestOpenErrorsSayTheFix(t *testing.T) {
	i := open(t, Config{Name: "taken", Addr: DefaultAddr})
	p := netip.MustParsePrefix
	for _, tt := range []struct {
		name, want string
		cfg        Config
	}{
		{"first address", "first address is the host's", Config{Addr: p("198.19.0.1/24")}},
		{"the subnet itself", "the subnet itself", Config{Addr: p("198.19.0.0/24")}},
		{"broadcast", "broadcast", Config{Addr: p("198.19.0.255/24")}},
		{"no room", "shorter prefix", Config{Addr: p("198.19.0.2/31")}},
		{"subnet in use", "choose another --addr", Config{Addr: p("198.18.0.66/25")}},
		{"long name", "at most 15", Config{Name: "averyveryverylongname"}},
		{"not a TUN", "another", Config{Name: "lo"}},
		{"small MTU", "from 1280", Config{MTU: 1000, Addr6: DefaultAddr6}},
	} {
		x, err := Open(tt.cfg)
		if err == nil {
			x.Close()
			t.Errorf("%s: no error", tt.name)
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Fix == "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q does not say %q", tt.name, err, tt.want)
		}
	}
	if got := i.Name(); got != "taken" {
		t.Errorf("interface is named %q", got)
	}
}

func TestReopenAfterClose(t *testing.T) {
	for range 3 {
		i := open(t, Config{Name: "again0", Addr: DefaultAddr, Addr6: DefaultAddr6, Queues: 2, MTU: 9000})
		if c := i.Queues()[1].Caps(); c.MTU != 9000 || !c.TSO4 || !c.TxChecksum {
			t.Errorf("caps: %+v", c)
		}
		i.Close()
	}
}
