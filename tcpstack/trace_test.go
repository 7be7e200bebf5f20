package tcpstack

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// record is a trace taken while the shards run on the test's goroutine: nothing is read before the end, for
// which there are batches enough.
func record(t testing.TB, s *Shard, cfg TraceConfig, f func()) *trace.Trace {
	t.Helper()
	cfg.Chunks = 256
	tr, err := s.stack.StartTrace(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.stack.StartTrace(cfg); err != ErrTracing {
		t.Errorf("a second trace: %v", err)
	}
	f()
	tr.Stop()
	if _, err := s.Step(s.now); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := trace.NewWriter(&file, trace.Header{Program: t.Name(), Wall: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Write(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("TRACE_DIR"); dir != "" { // TRACE_DIR=/tmp go test -run ...; ocaserve trace plot
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(t.Name())+".trace"), file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := trace.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestTrace holds the record of a lossy download against the shard's counters and the connection's account.
func TestTrace(t *testing.T) {
	for _, stack := range []string{FunctionsRack, FunctionsBase} {
		t.Run(stack, func(t *testing.T) {
			w := newWorld(t, 5, netsim.DumbbellConfig{
				RTT: 40 * time.Millisecond, Rate: goldenRate, BDPs: 1, Forward: netsim.WireConfig{Loss: netsim.Bernoulli(0.003)},
			}, Config{Functions: stack, MaxReceiveBuffer: 16 << 20})
			var d *download
			s := w.from[0]
			got := record(t, s, TraceConfig{}, func() {
				d = w.download(0, goldenData, 3*len(goldenData))
				w.run(time.Minute, func() bool { return d.eof || d.err != nil })
				d.check(t)
				w.run(time.Second, nil)
			})
			if len(got.Conns) != 1 || got.Conns[0].Lost > 0 || got.Conns[0].Stack != stack || got.Conns[0].CC != "cubic" {
				t.Fatalf("the trace has %+v", got.Conns)
			}
			c := got.Conns[0]
			checkOrder(t, c.Events)
			sum, n := sums(c.Events)
			fin := int64(1)
			if sent := int64(s.stats.BytesSent - s.stats.BytesRetransmitted); sum[trace.KindSend] != sent+fin {
				t.Errorf("%d bytes sent in the trace, the shard counted %d and a FIN", sum[trace.KindSend], sent)
			}
			if sum[trace.KindRetransmit] != int64(s.stats.BytesRetransmitted) || sum[trace.KindRetransmit] == 0 {
				t.Errorf("%d bytes sent again in the trace, the shard counted %d", sum[trace.KindRetransmit], s.stats.BytesRetransmitted)
			}
			if sum[trace.KindLost] != int64(s.stats.BytesLost) {
				t.Errorf("%d bytes lost in the trace, the shard counted %d", sum[trace.KindLost], s.stats.BytesLost)
			}
			if last := c.Events[len(c.Events)-1]; last.Kind != trace.KindClose || last.Off != int64(d.size)+fin {
				t.Errorf("it ends with %+v", last)
			}
			if n[trace.KindSACK] == 0 || n[trace.KindState] < 2 {
				t.Errorf("%d SACK blocks and %d changes of state", n[trace.KindSACK], n[trace.KindState])
			}
			if spent := age(d.conn.Info()); spent != sumLimits(c.Events) {
				t.Errorf("the account says %v, the record %v", spent, sumLimits(c.Events))
			}
		})
	}
}

func checkOrder(t *testing.T, events []trace.Event) {
	t.Helper()
	var at mono.Time
	var una int64
	if events[0].Kind != trace.KindOpen {
		t.Errorf("it begins with %v", events[0].Kind)
	}
	for i, e := range events {
		if e.At < at {
			t.Fatalf("event %d goes back in time", i)
		}
		if e.Kind == trace.KindAck && e.Off < una {
			t.Fatalf("event %d: SND.UNA goes back from %d to %d", i, una, e.Off)
		}
		if e.Kind == trace.KindAck {
			una = e.Off
		}
		if e.Kind == trace.KindRetransmit && (e.Cause < trace.CauseRACK || e.Cause > trace.CauseRescue) {
			t.Fatalf("event %d: a retransmission without a cause", i)
		}
		at = e.At
	}
}

// sums adds the lengths by kind, and counts.
func sums(events []trace.Event) (sum map[trace.Kind]int64, n map[trace.Kind]int) {
	sum, n = map[trace.Kind]int64{}, map[trace.Kind]int{}
	for _, e := range events {
		sum[e.Kind] += int64(e.Len)
		n[e.Kind]++
	}
	return sum, n
}

func sumLimits(events []trace.Event) (d time.Duration) {
	for _, e := range events {
		if e.Kind == trace.KindLimit {
			d += time.Duration(e.Off)
		}
	}
	return d
}

// TestTraceMatch records one connection of several, which was there before the trace began.
func TestTraceMatch(t *testing.T) {
	p := newPair(t, Config{})
	client, server := p.connect()
	conn := server.c                // which the next accept replaces
	for port := range uint16(600) { // more than a slice of a walk
		flow := flowOf(client.c.LocalAddr(), server.c.LocalAddr())
		flow.LocalPort = 41000 + port
		p.a.newConn(&flow, &app{}).connect(p.now)
	}
	p.run(time.Second, nil)
	got := record(t, p.b, TraceConfig{Match: func(f *wire.Flow) bool { return f.RemotePort == 40000 }}, func() {
		p.run(time.Second, nil)
		server.send = pattern(50_000, 1)
		server.Writable(conn)
		p.run(time.Second, nil)
	})
	if len(got.Conns) != 1 || got.Conns[0].Remote.Port() != 40000 {
		t.Fatalf("%d connections in the trace", len(got.Conns))
	}
	if sum, _ := sums(got.Conns[0].Events); sum[trace.KindSend] != 50_000 {
		t.Errorf("%d bytes sent in the trace", sum[trace.KindSend])
	}
	if conn.trace != nil || p.b.tracing != nil || p.b.stack.tracer.Load() != nil {
		t.Error("the trace is over, but something of it is left")
	}
}

// TestTraceOverrun has nobody reading: the oldest events are overwritten and counted, and nothing waits.
func TestTraceOverrun(t *testing.T) {
	p := newPair(t, Config{Functions: FunctionsBase})
	turn := bulk(p)
	tr, err := p.b.stack.StartTrace(TraceConfig{Events: 64, Chunks: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		turn()
	}
	if n := testing.AllocsPerRun(200, turn); n != 0 {
		t.Errorf("%v allocations for each 128 KiB under a trace that nobody reads", n)
	}
	tr.Stop()
	p.b.Step(p.now)
	var lost uint64
	for _, b := range append(tr.rest, <-tr.out) {
		lost += b.lost
	}
	if lost < 1000 {
		t.Errorf("%d events lost", lost)
	}
}

// TestTraceAllocations has somebody reading.
func TestTraceAllocations(t *testing.T) {
	p := newPair(t, Config{Functions: FunctionsBase})
	turn := bulk(p)
	tr, err := p.b.stack.StartTrace(TraceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	read := func() {
		turn()
		for len(tr.out) > 0 {
			b := <-tr.out
			events += len(b.events)
			tr.free <- b
		}
	}
	for range 300 {
		read()
	}
	if n := testing.AllocsPerRun(500, read); n != 0 {
		t.Errorf("%v allocations for each 128 KiB under a trace", n)
	}
	if events < 3000 {
		t.Errorf("only %d events: the measurement is void", events)
	}
}

// TestWalk walks in slices over connections that come and go: those that stay are seen once each.
func TestWalk(t *testing.T) {
	p := newPair(t, Config{})
	flow := func(port int) *wire.Flow { return &wire.Flow{Local: wire.AddrFrom(addrA), LocalPort: uint16(port)} }
	conns := map[*Conn]bool{} // to stay
	var brief []*Conn
	for port := range 3000 {
		if c := p.a.newConn(flow(port), nil); port%3 == 0 {
			brief = append(brief, c)
		} else {
			conns[c] = true
		}
	}
	seen := map[*Conn]int{}
	for cursor, port := WalkAll, 3000; cursor > 0; port++ {
		cursor = p.a.Walk(cursor, 100, func(c *Conn) { seen[c]++ })
		p.a.newConn(flow(port), nil)
		for range 40 {
			if len(brief) > 0 {
				brief[0].finish(nil)
				brief = brief[1:]
			}
		}
	}
	for c := range conns {
		if seen[c] == 0 {
			t.Fatalf("%d was not seen", c.flow.LocalPort)
		}
	}
	if len(p.a.all) != len(p.a.flows) {
		t.Errorf("%d connections in the list and %d in the table", len(p.a.all), len(p.a.flows))
	}
	for i, c := range p.a.all {
		if int(c.listed) != i || p.a.flows[c.flow] != c {
			t.Fatalf("place %d holds a connection that thinks it is at %d", i, c.listed)
		}
	}
}

// TestStackWalk walks over a stack from another goroutine: no turn of the shard shows more than a slice, and
// an error ends the walk.
func TestStackWalk(t *testing.T) {
	p := newPair(t, Config{})
	const n = 2000
	for port := range n {
		p.a.newConn(&wire.Flow{Local: wire.AddrFrom(addrA), LocalPort: uint16(port)}, nil)
	}
	visited, pauses := 0, 0
	ended := make(chan error, 1)
	walk := func(stop int) {
		visited, pauses = 0, 0
		go func() {
			ended <- p.a.stack.Walk(t.Context(), func(*Conn) { visited++ }, func() error {
				if pauses++; pauses == stop {
					return io.EOF
				}
				return nil
			})
		}()
		for {
			select {
			case err := <-ended:
				if (err == io.EOF) != (stop > 0) {
					t.Error(err)
				}
				return
			default:
			}
			before := visited
			if _, err := p.a.Step(p.now); err != nil {
				t.Fatal(err)
			}
			if visited-before > walkSlice {
				t.Fatalf("%d connections in one turn", visited-before)
			}
		}
	}
	if walk(0); visited != n || pauses < n/walkSlice {
		t.Errorf("%d visited in %d slices", visited, pauses)
	}
	if walk(2); visited > 2*walkSlice {
		t.Errorf("%d visited although the walk was ended", visited)
	}
}
