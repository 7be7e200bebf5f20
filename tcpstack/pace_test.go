package tcpstack

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// endless sends as much as the connection takes, of the same bytes, until limit, if that is not 0.
type endless struct {
	limit    int64
	appended int64
}

var endlessData = make([]byte, 64<<10)

func (*endless) Readable(*Conn) {}

func (e *endless) Writable(c *Conn) {
	for room := c.Room(); room > 0; room = c.Room() {
		n := int64(len(endlessData))
		if e.limit > 0 {
			n = min(n, e.limit-e.appended)
		}
		if n == 0 {
			return
		}
		c.Append(stream.Bytes(endlessData[:n]))
		e.appended += n
	}
}

func (*endless) Closed(*Conn, error) {}

// devour reads and forgets.
type devour struct{}

func (devour) Readable(c *Conn) { c.Discard(c.Readable()) }

func (devour) Writable(*Conn)      {}
func (devour) Closed(*Conn, error) {}

// departures are what one connection sent and when, payload; what left at one instant is one.
type departures struct {
	at   []mono.Time
	sum  []int64 // bytes up to the departure, without it
	last int64   // bytes in all
}

func (d *departures) add(now mono.Time, n int) {
	if n == 0 {
		return
	}
	if k := len(d.at); k == 0 || d.at[k-1] != now {
		d.at = append(d.at, now)
		d.sum = append(d.sum, d.last)
	}
	d.last += int64(n)
}

// worst is the largest relative error of the rate between two departures at least window apart, the first of
// them not before from. Between two departures lie the first one's bytes and not the second one's.
func (d *departures) worst(rate pacing.Rate, window time.Duration, from mono.Time) (worst float64, pairs int) {
	j := 0
	for i := range d.at {
		if d.at[i] < from {
			continue
		}
		for j < len(d.at) && d.at[j].Sub(d.at[i]) < window {
			j++
		}
		if j == len(d.at) {
			break
		}
		want := float64(rate) * d.at[j].Sub(d.at[i]).Seconds()
		worst = max(worst, math.Abs(float64(d.sum[j]-d.sum[i])-want)/want)
		pairs++
	}
	return worst, pairs
}

// a departure log finds a connection by its remote port: IPv4 headers only.
type departureLog map[uint16]*departures

func (l departureLog) see(now mono.Time, head []byte, length int) {
	port := binary.BigEndian.Uint16(head[22:])
	d := l[port]
	if d == nil {
		d = new(departures)
		l[port] = d
	}
	d.add(now, length-20-int(head[32]>>4)*4)
}

var pacedRates = []string{"1Mbps", "5Mbps", "25Mbps", "100Mbps"}

func rateOf(t testing.TB, s string) pacing.Rate {
	t.Helper()
	r, err := pacing.ParseRate(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The bytes that left between two departures at least 100 ms apart are the rate times the time between them, to
// within 0.5 %; here, where the loop is always in time, to within what departures wait for others.
func TestPacingError(t *testing.T) {
	for _, name := range pacedRates {
		rate := rateOf(t, name)
		w := newWorld(t, 1, netsim.DumbbellConfig{RTT: 20 * time.Millisecond, Rate: 125_000_000}, Config{MaxPacingRate: rate})
		log := departureLog{}
		w.bell.Senders[0].Connect(netsim.Chain(w.bell.Bottleneck, w.net.NewTap(func(now mono.Time, p *netsim.Packet) {
			log.see(now, p.Data, len(p.Data))
		})))
		d := w.download(0, goldenData, 1<<30)
		w.run(time.Second, nil)
		start := w.net.Now()
		w.run(2*time.Second, nil)
		if d.wrong || d.err != nil {
			t.Fatal(d.wrong, d.err)
		}
		worst, pairs := log[40000].worst(rate, 100*time.Millisecond, start)
		t.Logf("%s: error at most %.5f %% over %d pairs of departures", name, 100*worst, pairs)
		const grain = float64(pacing.MaxGrain) / 1e8 // of 100 ms
		if worst > grain+1e-5 || pairs < 30 {
			t.Errorf("%s: error %.5f %%, %d pairs", name, 100*worst, pairs)
		}
	}
}

// crowd is many paced connections from one shard over a cable, on a loop that comes round every turn only: wakes
// are late by up to that.
type crowd struct {
	*pair
	log   departureLog
	rates map[uint16]pacing.Rate
	turn  time.Duration
}

func newCrowd(t testing.TB, turn time.Duration, cfg Config) *crowd {
	cfg.ReceiveBuffer = 1 << 20
	c := &crowd{pair: newPair(t, cfg), log: departureLog{}, rates: map[uint16]pacing.Rate{}, turn: turn}
	c.db.drop = func(f *link.Frame) bool {
		c.log.see(c.now, f.Data, f.Len())
		return false
	}
	if _, err := c.b.stack.Listen(netip.AddrPortFrom(addrB, 80), ListenConfig{Accept: func(conn *Conn) Handler {
		if r := c.rates[conn.RemoteAddr().Port()]; r > 0 {
			conn.SetMaxPacingRate(r)
		}
		conn.raise(eventWritable)
		return &endless{}
	}}); err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a connection that is paced at rate from the server's side.
func (c *crowd) open(port uint16, rate pacing.Rate) {
	c.rates[port] = rate
	flow := flowOf(netip.AddrPortFrom(addrA, port), netip.AddrPortFrom(addrB, 80))
	c.a.newConn(&flow, devour{}).connect(c.now)
}

// pass lets time pass, a turn at least at each step.
func (c *crowd) pass(d time.Duration) {
	limit := c.now.Add(d)
	for c.now < limit {
		before := c.now
		c.step(limit)
		c.now = max(c.now, before.Add(c.turn))
	}
}

// Five thousand paced connections on one shard, and each keeps its rate to within 0.5 %, though the loop comes
// round only every 100 us and finds many of them due each time.
func TestPacingErrorOfACrowd(t *testing.T) {
	n, slow := 5000, 4700
	if raceDetector {
		n, slow = 500, 470
	}
	c := newCrowd(t, 100*time.Microsecond, Config{})
	for i := range n {
		rate := rateOf(t, "1Mbps")
		if i >= slow {
			rate = rateOf(t, pacedRates[1+i%3])
		}
		c.open(uint16(1000+i), rate)
		if i%50 == 0 {
			c.pass(time.Millisecond)
		}
	}
	c.pass(300 * time.Millisecond)
	start := c.now
	c.pass(250 * time.Millisecond)
	worst, pairs := 0.0, 0
	for port, d := range c.log {
		e, p := d.worst(c.rates[port], 100*time.Millisecond, start)
		if p == 0 {
			t.Fatalf("port %d at %v: no two departures 100 ms apart", port, c.rates[port])
		}
		worst, pairs = max(worst, e), pairs+p
	}
	t.Logf("%d connections: error at most %.3f %% over %d pairs of departures", len(c.log), 100*worst, pairs)
	if worst > 0.005 || len(c.log) != n {
		t.Errorf("%d connections, error %.3f %%, want at most 0.5", len(c.log), 100*worst)
	}
}

// An ACK that comes while everything waits for its departure asks output for nothing; a segment that must be acknowledged
// at once does.
func TestAckWhileWaitingForDeparture(t *testing.T) {
	c := newCrowd(t, 100*time.Microsecond, Config{})
	c.open(1000, rateOf(t, "1Mbps"))
	c.pass(300 * time.Millisecond)
	var conn *Conn
	for _, conn = range c.b.flows {
	}
	for !conn.timers[timerPace].IsSet() || conn.rec.Flight() == 0 {
		c.pass(100 * time.Microsecond)
	}
	if conn.pending {
		t.Fatal("pending, though it waits for its departure")
	}
	seg := wire.Segment{
		Seq: conn.rcv.seqOf(conn.rcvNext()), Ack: conn.snd.seqOf(conn.rec.Next()), Flags: wire.ACK, Window: 1000,
		Options: wire.Options{HasTS: true, TSVal: conn.rcv.tsRecent},
	}
	conn.input(c.now, &seg)
	if conn.rec.Flight() != 0 || conn.pending {
		t.Errorf("%d bytes in flight after the ACK, pending %v", conn.rec.Flight(), conn.pending)
	}
	seg.Payload = []byte("x")
	if conn.input(c.now, &seg); !conn.rcv.ackNow || !conn.pending {
		t.Errorf("a segment that must be acknowledged at once: ackNow %v, pending %v", conn.rcv.ackNow, conn.pending)
	}
}

// RFC 7661 section 4.2: what the application limits does not grow the window, though each of its writes waits for
// departures: 20 MB/s at 100 ms is 2 MB in flight.
func TestPacedWritesAreTheApplications(t *testing.T) {
	w := newWorld(t, 1, netsim.DumbbellConfig{RTT: 100 * time.Millisecond, Rate: 125_000_000, BDPs: 1},
		Config{Congestion: "newreno", Functions: FunctionsRack, MaxReceiveBuffer: 64 << 20})
	d := w.download(0, goldenData, 1<<30)
	w.run(time.Second, func() bool { return d.conn != nil })
	d.conn.SetHandler(devour{}) // no more of the answer
	var flight int64
	for range 1500 {
		d.conn.Append(stream.Bytes(make([]byte, 200_000)))
		w.run(10*time.Millisecond, nil)
		flight = max(flight, d.conn.rec.Flight())
	}
	if got := d.conn.cc.Window(); got > 2*flight {
		t.Errorf("a window of %d, of which no more than %d was in use", got, flight)
	}
}
