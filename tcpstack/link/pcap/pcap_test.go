package pcap

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ocaserve/internal/testenv"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)

// tapped returns the devices of a cable with a capture on the first side, on a virtual clock.
func tapped(t testing.TB, w io.WriteCloser, queues int, cfg Config) (i *Interface, far []link.Device, now *mono.Time) {
	now = new(mono.Time)
	*now = 1000
	clock := func() mono.Time { return *now }
	x, y := memory.New(memory.Config{TSO: true, Queues: queues, Clock: clock})
	cfg.Clock, cfg.Start = clock, start
	i = New(x, w, cfg)
	t.Cleanup(func() { i.Close() })
	return i, y.Queues(), now
}

// file is a writer in memory that knows whether it was closed.
type file struct {
	bytes.Buffer
	closed bool
}

func (f *file) Close() error { f.closed = true; return nil }

func frame(v6 bool, payload, gso int) link.Frame {
	ip := wire.IPHeader{Protocol: wire.ProtoTCP, HopLimit: 64,
		Src: wire.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Dst: wire.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 2}}
	if v6 {
		ip.V6, ip.Src, ip.Dst = true, wire.Addr{0: 0x20, 15: 1}, wire.Addr{0: 0x20, 15: 2}
	}
	seg := wire.Segment{SrcPort: 443, DstPort: 5000, Seq: 1, Flags: wire.ACK, Window: 1000}
	b := make([]byte, 80)
	f := link.Frame{Csum: link.CsumPartial, CsumOffset: wire.ChecksumOffset, GSO: uint16(gso)}
	n := wire.PutIP(b, &ip, 20+payload)
	f.CsumStart = uint16(n)
	n += wire.PutTCP(b[n:], &ip, &seg, payload)
	f.Data = b[:n]
	f.Pieces = [][]byte{bytes.Repeat([]byte("abcdefg"), payload)[:payload]}
	return f
}

func transmit(t testing.TB, d link.Device, f link.Frame) {
	t.Helper()
	if n, err := d.Transmit([]link.Frame{f}); n != 1 || err != nil {
		t.Fatalf("Transmit: %d, %v", n, err)
	}
}

// A reader of pcapng (draft-ietf-opsawg-pcapng) made for the test finds every packet with its time.
func TestReadBack(t *testing.T) {
	var f file
	i, far, now := tapped(t, &f, 2, Config{})
	near := i.Queues()
	in := make([]link.Frame, 8)

	transmit(t, near[0], frame(false, 2500, 1000)) // at 1000
	*now += 5
	transmit(t, far[1], frame(true, 10, 0))
	if n, _ := near[1].Receive(in); n != 1 { // at 1005
		t.Fatal("the frame did not come through")
	}
	*now += 1 << 33 // into the upper half of the time stamp
	transmit(t, near[1], frame(true, 1, 0))
	if err := i.Close(); err != nil || !f.closed {
		t.Fatalf("Close: %v, file closed: %v", err, f.closed)
	}

	// Within a queue in the order of events; queue 0's chunk was handed over first.
	c := readCapture(t, f.Bytes())
	want := []struct {
		queue, payload int
		after          time.Duration
		direction      uint32
	}{
		{0, 1000, 0, 2}, {0, 1000, 0, 2}, {0, 500, 0, 2}, {1, 10, 5, 1}, {1, 1, 5 + 1<<33, 2},
	}
	if len(c.packets) != len(want) {
		t.Fatalf("%d packets, want %d", len(c.packets), len(want))
	}
	for k, want := range want {
		p := c.packets[k]
		if p.queue != want.queue || !p.at.Equal(start.Add(want.after)) || p.length != len(p.data) || p.direction != want.direction {
			t.Errorf("packet %d: %+v, want queue %d at %v, direction %d", k, p, want.queue, start.Add(want.after), want.direction)
		}
		var h wire.IPHeader
		var s wire.Segment
		b, d := wire.ParseIP(p.data, &h)
		if d == 0 {
			d = wire.ParseTCP(&h, b, true, &s)
		}
		if d != 0 || len(s.Payload) != want.payload {
			t.Errorf("packet %d: %v, payload of %d bytes, want %d", k, d, len(s.Payload), want.payload)
		}
	}
	if !slices.Equal(c.names, []string{"memory-a"}) {
		t.Errorf("interfaces %q", c.names)
	}
	if c.received[0] != 5 || c.dropped[0] != 0 {
		t.Errorf("statistics: received %v, dropped %v", c.received, c.dropped)
	}
}

func TestSnapLen(t *testing.T) {
	var f file
	i, _, _ := tapped(t, &f, 1, Config{SnapLen: 54})
	transmit(t, i.Queues()[0], frame(false, 1001, 0))
	i.Close()
	p := readCapture(t, f.Bytes()).packets[0]
	if len(p.data) != 54 || p.length != 1041 {
		t.Errorf("kept %d of %d bytes; want 54 of 1041", len(p.data), p.length)
	}
}

func TestRefusedFramesAreNotCaptured(t *testing.T) {
	var f file
	x, y := memory.New(memory.Config{RingFrames: 1})
	_ = y
	i := New(x, &f, Config{})
	good := frame(false, 10, 0)
	if n, _ := i.Queues()[0].Transmit([]link.Frame{good, good, good}); n != 1 {
		t.Fatalf("took %d frames, want 1", n)
	}
	i.Close()
	if s := i.Stats(); s != (Stats{Captured: 1}) {
		t.Errorf("%+v, want the one frame that was taken", s)
	}
}

func TestOddFramesAreCapturedAsTheyAre(t *testing.T) {
	var f file
	i, _, _ := tapped(t, &f, 1, Config{})
	transmit(t, i.Queues()[0], link.Frame{Data: []byte("\x99no IP"), Pieces: [][]byte{[]byte(" here")}, GSO: 5})
	i.Close()
	if !bytes.Contains(f.Bytes(), []byte("\x99no IP here")) {
		t.Error("a frame that makes no sense is missing in the capture")
	}
}

// A gate is a disk that is stuck until it is opened.
type gate struct {
	file
	open chan struct{}
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	return g.file.Write(b)
}

func TestSlowDiskCostsPacketsNotTraffic(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	i, far, _ := tapped(t, g, 1, Config{})
	in := make([]link.Frame, 8)
	f := frame(false, 60000, 1448)
	for range 200 { // 12 MB, beyond the bound
		transmit(t, i.Queues()[0], f)
		if n, err := far[0].Receive(in); n != 1 || err != nil {
			t.Fatal("traffic did not go on")
		}
	}
	s := i.Stats()
	if s.Dropped == 0 || s.Captured == 0 || s.Captured+s.Dropped != 200*42 {
		t.Errorf("%+v of %d packets", s, 200*42)
	}
	close(g.open)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	c := readCapture(t, g.Bytes())
	if n := uint64(len(c.packets)); n != s.Captured || c.dropped[0] != s.Dropped || c.received[0] != 200*42 {
		t.Errorf("file has %d packets and says %v of %v were dropped, want %+v", n, c.dropped, c.received, s)
	}
}

// A fullDisk takes no byte.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }
func (fullDisk) Close() error              { return nil }

func TestWriteErrorDoesNotStopTraffic(t *testing.T) {
	i, far, _ := tapped(t, fullDisk{}, 1, Config{})
	in := make([]link.Frame, 8)
	f := frame(false, 60000, 1448)
	for range 200 {
		transmit(t, i.Queues()[0], f)
		far[0].Receive(in)
	}
	if err := i.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Close: %v", err)
	}
}

func TestCreateFailsWithAdvice(t *testing.T) {
	x, _ := memory.New(memory.Config{})
	if _, err := Create(x, filepath.Join(t.TempDir(), "no", "such"), Config{}); err == nil || !strings.Contains(err.Error(), "choose") {
		t.Errorf("%v", err)
	}
}

// TestWireshark lets tshark judge the file: checksums, lengths, secrets.
func TestWireshark(t *testing.T) {
	tshark := testenv.NeedProgram(t, "tshark")
	name := filepath.Join(t.TempDir(), "x.pcapng")
	x, _ := memory.New(memory.Config{TSO: true})
	i, err := Create(x, name, Config{})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "CLIENT_RANDOM 00 11\n" // 20 bytes, and one of 21
	io.WriteString(i, secret)
	io.WriteString(i, "#"+secret)
	d := i.Queues()[0]
	transmit(t, d, frame(false, 3000, 1000))
	transmit(t, d, frame(true, 3000, 1000))
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(i, secret) // ignored

	out, err := exec.Command(tshark, "-r", name, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-T", "fields", "-e", "frame.len", "-e", "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "tcp.len",
		"-e", "frame.packet_flags_direction").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := 0
	for l := range strings.Lines(string(out)) {
		if !strings.HasPrefix(l, "1") { // not a packet: tshark's remarks about running as root
			continue
		}
		lines++
		if !strings.HasPrefix(l, "1040\t1\t1\t1000") && !strings.HasPrefix(l, "1060\t\t1\t1000") {
			t.Errorf("tshark says %q", l)
		}
	}
	if lines != 6 {
		t.Errorf("tshark sees %d packets, want 6:\n%s", lines, out)
	}
	b, _ := os.ReadFile(name)
	if c := readCapture(t, b); !slices.Equal(c.secrets, []string{secret, "#" + secret}) {
		t.Errorf("secrets in the file: %q", c.secrets)
	}
	if fi, _ := os.Stat(name); fi.Mode().Perm() != 0o600 {
		t.Errorf("the capture's mode is %v: others may read keys", fi.Mode())
	}
}

func TestSecretsBlockLayout(t *testing.T) {
	want := "\x0a\x00\x00\x00" + "\x18\x00\x00\x00" + // type 10, 24 bytes in all
		"KSLT" + "\x03\x00\x00\x00" + // TLS key log, 3 bytes
		"abc\x00" + "\x18\x00\x00\x00"
	if got := appendSecrets(nil, []byte("abc")); string(got) != want {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestNoAllocations(t *testing.T) {
	i, far, now := tapped(t, nopFile{}, 1, Config{})
	d := i.Queues()[0]
	in := make([]link.Frame, 8)
	f := []link.Frame{frame(false, 60000, 1448)}
	round := func() {
		d.Transmit(f)
		far[0].Receive(in)
		d.Wait(*now)
	}
	for range 500 { // until every chunk has its memory
		round()
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations per superframe", n)
	}
}

type nopFile struct{}

func (nopFile) Write(b []byte) (int, error) { return len(b), nil }
func (nopFile) Close() error                { return nil }

func BenchmarkCapture(b *testing.B) {
	i, far, _ := tapped(b, nopFile{}, 1, Config{})
	d := i.Queues()[0]
	in := make([]link.Frame, 8)
	f := []link.Frame{frame(false, 60000, 1448)}
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		d.Transmit(f)
		far[0].Receive(in)
	}
}
