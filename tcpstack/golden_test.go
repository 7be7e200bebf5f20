package tcpstack

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// A path is what a transfer of the golden table goes over.
type path struct {
	stack   string // Functions
	cc      string
	rtt     time.Duration
	loss    float64 // share of data packets lost on the wire, each independently
	reorder float64 // share of data packets held back by up to a quarter of the RTT
	bdps    float64 // the bottleneck's queue
}

// goldenRate is the bottleneck of the table: 100 Mb/s.
const goldenRate pacing.Rate = 12_500_000

// A world is stacks on a dumbbell: the senders listen, the receivers dial.
type world struct {
	t        testing.TB
	net      *netsim.Network
	bell     *netsim.Dumbbell
	from, to []*Shard
}

func newWorld(t testing.TB, seed uint64, bell netsim.DumbbellConfig, cfg Config) *world {
	w := &world{t: t, net: netsim.New(seed)}
	bell.Sender.TSO = true
	w.bell = w.net.Dumbbell(bell)
	cfg.Clock = w.net.Now
	for i, d := range w.bell.Senders {
		w.from = append(w.from, w.host(cfg, netsim.SenderAddr(i), d))
		w.to = append(w.to, w.host(cfg, netsim.ReceiverAddr(i), w.bell.Receivers[i]))
	}
	if dir := os.Getenv("NETSIM_PCAP"); dir != "" {
		w.capture(filepath.Join(dir, fmt.Sprintf("%s-%d.pcap", filepath.Base(t.Name()), seed)))
	}
	return w
}

// capture writes what the senders send and get to a file for Wireshark: NETSIM_PCAP=/tmp go test -run ...
func (w *world) capture(name string) {
	f, err := os.Create(name)
	if err != nil {
		w.t.Fatal(err)
	}
	c := netsim.NewCapture(f)
	w.t.Cleanup(func() {
		if err := cmp.Or(c.Err(), f.Close()); err != nil {
			w.t.Error(err)
		}
	})
	for i, d := range w.bell.Senders {
		d.Connect(netsim.Chain(w.bell.Bottleneck, w.net.NewTap(c.See)))
		w.bell.Left.Route(netsim.SenderAddr(i), netsim.Chain(d, w.net.NewTap(c.See)))
	}
}

func (w *world) host(cfg Config, addr netip.Addr, d *netsim.Device) *Shard {
	w.t.Helper()
	cfg.Addrs = []netip.Addr{addr}
	cfg.Secret = syn.Key{1} // the same sequence numbers every time
	st, err := New(cfg, []link.Device{d})
	if err != nil {
		w.t.Fatal(err)
	}
	w.net.Attach(st.shards[0], d)
	return st.shards[0]
}

// A download is a transfer from sender i to receiver i: data, over and over, until there are size bytes. The
// receiver compares what it reads with what was sent, and keeps nothing.
type download struct {
	data     []byte
	size     int
	appended int
	received int
	conn     *Conn // the sender's
	wrong    bool
	eof      bool
	start    mono.Time
	end      mono.Time
	err      error
}

// part is at most limit bytes of the stream, from offset off on.
func (d *download) part(off, limit int) []byte {
	p := d.data[off%len(d.data):]
	return p[:min(len(p), limit, d.size-off)]
}

// sending is the sender's handler and receiving the receiver's.
type (
	sending   struct{ *download }
	receiving struct{ *download }
)

func (sending) Readable(*Conn) {}

func (s sending) Writable(c *Conn) {
	for s.appended < s.size && c.Room() > 0 {
		p := s.part(s.appended, 64<<10)
		c.Append(stream.Bytes(p))
		s.appended += len(p)
	}
	if s.appended == s.size {
		c.CloseWrite()
	}
}

func (s sending) Closed(_ *Conn, err error) { s.fail(err) }

func (s receiving) Readable(c *Conn) {
	for c.Readable() > 0 {
		p := c.Peek()
		want := s.part(s.received, len(p))
		s.wrong = s.wrong || len(want) == 0 || !bytes.Equal(p[:len(want)], want)
		n := max(len(want), 1)
		s.received += n
		c.Discard(n)
	}
	if c.EOF() && !s.eof {
		s.eof, s.end = true, c.Now()
		c.CloseWrite()
	}
}

func (receiving) Writable(*Conn)              {}
func (s receiving) Closed(_ *Conn, err error) { s.fail(err) }

func (d *download) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// download starts a transfer of size bytes over pair i.
func (w *world) download(i int, data []byte, size int) *download {
	w.t.Helper()
	d := &download{data: data, size: size, start: w.net.Now()}
	if _, err := w.from[i].stack.Listen(netip.AddrPortFrom(netsim.SenderAddr(i), 80), ListenConfig{
		Accept: func(c *Conn) Handler {
			d.conn = c
			c.raise(eventWritable)
			return sending{d}
		},
	}); err != nil {
		w.t.Fatal(err)
	}
	flow := flowOf(netip.AddrPortFrom(netsim.ReceiverAddr(i), 40000), netip.AddrPortFrom(netsim.SenderAddr(i), 80))
	w.to[i].Post(MessageFunc(func(s *Shard) { s.newConn(&flow, receiving{d}).connect(s.now) }))
	return d
}

// run lets time pass until done, or fails.
func (w *world) run(limit time.Duration, done func() bool) {
	w.t.Helper()
	ok, err := w.net.RunFor(limit, done)
	if err != nil {
		w.t.Fatal(err)
	}
	if done != nil && !ok {
		w.t.Fatalf("not done after %v", limit)
	}
}

// goldenData is 4 MiB, a segment of video.
var goldenData = pattern(4<<20, 3)

// goldenSeeds is how many transfers a cell with chance in it sums up.
const goldenSeeds = 5

// A result is a line of the golden table: the sum over the seeds.
type result struct {
	seeds                         int
	time                          time.Duration // from the SYN to the end of the stream
	sent, retransmitted, spurious uint64        // payload; spurious arrived although it had before
	timeouts, recoveries          uint64
}

func (r result) String() string {
	n := float64(r.seeds)
	seconds := r.time.Seconds() / n
	percent := func(v uint64) float64 { return float64(v) * 100 / float64(r.sent) }
	return fmt.Sprintf("%8.3f %8.3f %8.3f %8.3f %6.1f %6.1f", seconds, float64(len(goldenData))*8/1e6/seconds,
		percent(r.retransmitted), percent(r.spurious), float64(r.timeouts)/n, float64(r.recoveries)/n)
}

func (p path) String() string {
	return fmt.Sprintf("%s %-8s %3d %4.1f %3.0f %4.1f", p.stack, p.cc, p.rtt.Milliseconds(), p.loss*100, p.reorder*100, p.bdps)
}

// run transfers goldenData over the path once for each seed.
func (p path) run(t testing.TB) (r result) {
	t.Helper()
	for seed := range uint64(goldenSeeds) {
		if seed > 0 && p.loss == 0 && p.reorder == 0 {
			break // it would be the same again
		}
		p.transfer(t, seed, &r)
	}
	return r
}

func (p path) transfer(t testing.TB, seed uint64, r *result) {
	t.Helper()
	w := newWorld(t, seed, netsim.DumbbellConfig{
		RTT: p.rtt, Rate: goldenRate, BDPs: p.bdps,
		Forward: netsim.WireConfig{Loss: netsim.Bernoulli(p.loss), Reorder: p.reorder, ReorderBy: p.rtt / 4},
	}, Config{Functions: p.stack, Congestion: p.cc, MaxReceiveBuffer: 16 << 20})
	arrived := 0
	tap := w.net.NewTap(func(_ mono.Time, p *netsim.Packet) { arrived += payloadLen(p.Data) })
	netsim.Chain(w.bell.Receivers[0], w.bell.Forward[0], tap)
	d := w.download(0, goldenData, len(goldenData))
	w.run(20*time.Minute, func() bool { return d.eof || d.err != nil })
	d.check(t)
	s := &w.from[0].stats
	r.seeds++
	r.time += d.end.Sub(d.start)
	r.timeouts += s.Timeouts
	r.recoveries += s.Recoveries
	r.sent += s.BytesSent
	r.retransmitted += s.BytesRetransmitted
	r.spurious += uint64(arrived - len(goldenData))
}

// payloadLen is the payload of an IPv4 packet with TCP.
func payloadLen(b []byte) int { return len(b) - 20 - int(b[32]>>4)*4 }

// check ends the test unless everything has arrived as it was sent.
func (d *download) check(t testing.TB) {
	t.Helper()
	if d.err != nil || d.wrong || d.received != d.size {
		t.Fatalf("error %v, wrong bytes %v, %d of %d received", d.err, d.wrong, d.received, d.size)
	}
}

// goldenPaths is the whole grid.
func goldenPaths() (paths []path) {
	for _, cc := range []string{"newreno", "cubic", "bbr"} {
		for _, stack := range []string{FunctionsBase, FunctionsRack} {
			for _, rtt := range []time.Duration{1, 20, 100, 209} {
				for _, loss := range []float64{0, 0.001, 0.01, 0.03} {
					for _, reorder := range []float64{0, 0.02} {
						for _, bdps := range []float64{0.1, 1, 4} {
							paths = append(paths, path{stack, cc, rtt * time.Millisecond, loss, reorder, bdps})
						}
					}
				}
			}
		}
	}
	return paths
}

const goldenHead = `# 4 MiB over 100 Mb/s, on netsim. loss and reo(rdering): % of data packets, that late by up to RTT/4; queue: BDP.
# Means of 5 seeds. retrans: % of the payload sent; spurious: % that arrived twice; RTOs and recov(eries): number.
#    cc      rtt loss reo queue |   time s     Mb/s  retrans spurious   RTOs recov.
`

// goldenThin is the share of cells that a test run looks at. It has no divisor in common with the grid, so
// that each row and each column is looked at somewhere.
const goldenThin = 11

// TestGoldenTable compares transfers over many paths with testdata/netsim.golden. Virtual time is exact, so
// that any change of what the stack sends, and when, shows. -update runs all cells and rewrites the table:
// its diff is what a change of the stack did.
func TestGoldenTable(t *testing.T) {
	name := filepath.Join("testdata", "netsim.golden")
	old, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(old)) {
		if key, _, ok := strings.Cut(line, " |"); ok {
			table[key] = line
		}
	}
	var b strings.Builder
	b.WriteString(goldenHead)
	thin := goldenThin
	if raceDetector {
		thin *= 13
	}
	for i, p := range goldenPaths() {
		if !*update && i%thin != 0 {
			continue
		}
		line := fmt.Sprintf("%v | %v\n", p, p.run(t))
		b.WriteString(line)
		if !*update && table[p.String()] != line {
			t.Errorf("differs from %s (go test -run Golden -update rewrites it):\n-%s+%s", name, table[p.String()], line)
		}
	}
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		updateGoldenDoc(t)
	}
}

// TestFullPipe: one connection fills 1 Gb/s x 100 ms (12.5 MB in flight) with the default buffers.
func TestFullPipe(t *testing.T) {
	if raceDetector {
		t.Skip("a long simulation in one goroutine")
	}
	const rate, rtt = 125_000_000, 100 * time.Millisecond
	for _, cc := range congestion.Names() {
		w := newWorld(t, 1, netsim.DumbbellConfig{RTT: rtt, Rate: rate, BDPs: 1},
			Config{Congestion: cc})
		d := w.download(0, goldenData, 1<<30)
		w.run(6*time.Second, nil) // slow start, the recovery at its end, and BBR's first look at the RTT after 5 s
		before := d.received
		w.run(time.Second, nil)
		share := float64(d.received-before) / rate * 1500 / 1448
		t.Logf("%s: %.1f %% of the bottleneck, %d timeouts, %d recoveries, RTT %v", cc, share*100,
			w.from[0].stats.Timeouts, w.from[0].stats.Recoveries, d.conn.RTT().SRTT())
		if share < 0.9 || d.wrong || d.err != nil {
			t.Errorf("%s: %.1f %% of the bottleneck, want more than 90; wrong bytes %v, error %v", cc, share*100, d.wrong, d.err)
		}
	}
}

// TestTwoFlowsShareFairly: Jain's index of two long flows with the same congestion control, the second
// of which begins later.
func TestTwoFlowsShareFairly(t *testing.T) {
	if raceDetector {
		t.Skip("a long simulation in one goroutine")
	}
	for _, cc := range congestion.Names() {
		w := newWorld(t, 1, netsim.DumbbellConfig{Pairs: 2, RTT: 20 * time.Millisecond, Rate: goldenRate, BDPs: 1},
			Config{Congestion: cc})
		a := w.download(0, goldenData, 1<<30)
		w.run(time.Second, nil)
		b := w.download(1, goldenData, 1<<30)
		w.run(9*time.Second, nil)
		if cc == "bbr" { // takes its time: it tries for more every two to three seconds, each time by a quarter at most
			w.run(20*time.Second, nil)
		}
		period := 20 * time.Second
		if cc == "cubic" { // K, from one reduction to the plateau, is 5 s here: of four, who has the losses is chance
			period = time.Minute
		}
		a0, b0 := a.received, b.received
		w.run(period, nil)
		x, y := float64(a.received-a0)/period.Seconds(), float64(b.received-b0)/period.Seconds()
		jain, used := netsim.JainIndex(x, y), (x+y)/float64(goldenRate)
		t.Logf("%s: %.1f and %.1f Mb/s, Jain's index %.4f, %.1f %% of the bottleneck used", cc, x*8/1e6, y*8/1e6, jain, used*100)
		bar := 0.95
		if cc == "bbr" { // two BBRs on a short queue take minutes to share it
			bar = 0.85
		}
		if jain < bar || used < 0.9 || a.wrong || b.wrong {
			t.Errorf("%s: Jain's index %.4f, want %v; %.1f %% used, want 90; wrong bytes: %v %v", cc, jain, bar, used*100, a.wrong, b.wrong)
		}
	}
}

// TestCoalescingReceiver: interrupt moderation and GRO at the receiver, a line rate and a small ring at the
// sender: the bytes stay right, and so does the rate.
func TestCoalescingReceiver(t *testing.T) {
	w := newWorld(t, 1, netsim.DumbbellConfig{RTT: 10 * time.Millisecond, Rate: 125_000_000, BDPs: 1,
		Sender:   netsim.DeviceConfig{Rate: 1_250_000_000, Ring: 128 << 10},
		Receiver: netsim.DeviceConfig{GRO: true, Coalesce: 100 * time.Microsecond},
		Forward:  netsim.WireConfig{Corrupt: 1e-4},
	}, Config{})
	d := w.download(0, goldenData, 8*len(goldenData))
	w.run(time.Minute, func() bool { return d.eof || d.err != nil })
	d.check(t)
	in, packets := w.to[0].stats.FramesReceived, w.bell.Receivers[0].Received
	t.Logf("%d packets in %d frames, %v, %d recoveries", packets, in, d.end.Sub(d.start), w.from[0].stats.Recoveries)
	if in*3 > packets {
		t.Errorf("%d packets came as %d frames: GRO hardly merged any", packets, in)
	}
	if w.bell.Forward[0].Counters().Corrupted == 0 || w.to[0].stats.WireDrops[wire.DropTCPChecksum] == 0 {
		t.Error("no corrupt packet was made and found")
	}
}
