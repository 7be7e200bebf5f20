package trace

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

func someHeader() Header {
	return Header{Program: "test", Wall: time.Unix(1_700_000_000, 5).UTC(), Mono: 99}
}

func someConn(id uint32) Conn {
	return Conn{
		ID: id, Local: netip.MustParseAddrPort("192.0.2.1:443"), Remote: netip.MustParseAddrPort("[2001:db8::1]:5000"),
		Stack: "rack", CC: "cubic", MSS: 1448,
	}
}

// someEvents are n events with every field different.
func someEvents(n int) []Event {
	rnd := rand.New(rand.NewPCG(1, 2))
	events := make([]Event, n)
	for i := range events {
		events[i] = Event{
			At: mono.Time(rnd.Int64()), Off: rnd.Int64(), Len: rnd.Uint32(), Kind: Kind(rnd.IntN(int(kindCount))),
			Cause: Cause(rnd.IntN(int(causeCount))), State: uint8(rnd.IntN(5)), Limit: Limit(rnd.IntN(int(LimitCount))),
			Cwnd: rnd.Uint32(), Pipe: rnd.Uint32(), Ssthresh: rnd.Uint32(), SRTT: rnd.Uint32(), RTT: rnd.Uint32(),
			Unsent: rnd.Uint32(), Pacing: rnd.Uint64(), Delivery: rnd.Uint64(),
		}
	}
	return events
}

// someFile is a file of two connections whose events come in turns.
func someFile(t testing.TB, events []Event) []byte {
	var b bytes.Buffer
	w, err := NewWriter(&b, someHeader())
	half := len(events) / 2
	for _, step := range []func() error{
		func() error { return w.Conn(someConn(7)) },
		func() error { return w.Events(7, events[:half]) },
		func() error { return w.Conn(someConn(9)) },
		func() error { return w.Events(9, events[:1]) },
		func() error { return w.Lost(7, 3) },
		func() error { return w.Lost(7, 4) },
		func() error { return w.Events(7, events[half:]) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFile(t *testing.T) {
	events := someEvents(500)
	got, err := Read(bytes.NewReader(someFile(t, events)))
	if err != nil {
		t.Fatal(err)
	}
	want := &Trace{Header: someHeader(), Conns: []*ConnTrace{
		{Conn: someConn(7), Events: events, Lost: 7}, {Conn: someConn(9), Events: events[:1]},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back differs:\n got %+v\nwant %+v", got, want)
	}
}

// TestFileCut cuts a file everywhere: what is whole before the cut is there, and no cut is an error.
func TestFileCut(t *testing.T) {
	events := someEvents(20)
	file := someFile(t, events)
	last := -1
	for n := len(magic); n <= len(file); n++ {
		got, err := Read(bytes.NewReader(file[:n]))
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		have := 0
		for _, c := range got.Conns {
			have += len(c.Events)
			if c.ID == 7 && !reflect.DeepEqual(c.Events, append([]Event(nil), events[:len(c.Events)]...)) {
				t.Fatalf("cut at %d: other events", n)
			}
		}
		if have < last {
			t.Fatalf("cut at %d: %d events, and %d when cut before", n, have, last)
		}
		last = have
	}
	if last != 21 {
		t.Errorf("%d events in the whole file", last)
	}
}

func TestFileBad(t *testing.T) {
	file := string(someFile(t, someEvents(4)))
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", ErrFormat.Error()},
		{"other", "OCATRC2\n", ErrFormat.Error()},
		{"huge", magic + "E\x00\x00\x00\x01\x00\x00\x00\xff\xff\xff\xff", "at byte 8: a chunk of 4294967295 bytes"},
		{"ragged", magic + "E\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00z", "1 bytes of events"},
		{"json", magic + "H\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00{", "at byte 8: unexpected end of JSON"},
		{"count", file + "L\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00{", "a count of 1 bytes"},
	} {
		if _, err := Read(strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// What a later version adds is skipped.
	if tr, err := Read(strings.NewReader(file + "Z\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00z")); err != nil || len(tr.Conns) != 2 {
		t.Errorf("an unknown chunk: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(someFile(f, someEvents(10)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := Read(bytes.NewReader(b))
		if tr == nil {
			if err == nil {
				t.Fatal("neither a trace nor an error")
			}
			return
		}
		n := 0
		for _, c := range tr.Conns {
			n += len(c.Events)
		}
		if n*eventSize > len(b) {
			t.Fatalf("%d events from %d bytes", n, len(b))
		}
		if err := Text(io.Discard, tr); err != nil {
			t.Fatalf("what can be read can be printed: %v", err)
		}
	})
}

// TestPlot draws whatever a file may hold: nothing, a connection without events, events that make no sense.
func TestPlot(t *testing.T) {
	odd := &Trace{Header: Header{Program: "</script><b>{{data}}"}, Cut: true, Conns: []*ConnTrace{
		{Conn: someConn(1), Events: someEvents(100), Lost: 3}, {Conn: Conn{ID: 2}},
	}}
	for _, tr := range []*Trace{{}, odd} {
		var page bytes.Buffer
		if err := Plot(&page, tr); err != nil {
			t.Fatal(err)
		}
		text := page.String()
		if n := strings.Count(text, "</script>"); n != 3 || strings.Contains(text, "{{css}}") || !strings.HasSuffix(text, "</html>\n") {
			t.Errorf("%d scripts end in the page", n)
		}
		for _, outside := range []string{"http://", "https://", "src=", "@import", "url("} {
			if strings.Contains(text, outside) {
				t.Errorf("the page has %q: it must need nothing else", outside)
			}
		}
	}
}

func TestText(t *testing.T) {
	var text strings.Builder
	events := []Event{
		{At: 1e9, Kind: KindSend, Off: 0, Len: 1448, Cwnd: 14480, Ssthresh: NoSsthresh},
		{At: 2e9, Kind: KindRetransmit, Off: 0, Len: 1448, Cause: CauseRTO, State: 4, Ssthresh: 2896},
		{At: 2500e6, Kind: KindAck, Off: 1448, Len: 65535, RTT: 500, SRTT: 500, Ssthresh: 2896},
		{At: 3e9, Kind: KindLimit, Off: 5e8, Limit: LimitCwnd, Ssthresh: 2896},
	}
	if err := Text(&text, &Trace{Conns: []*ConnTrace{{Conn: someConn(7), Events: events}}}); err != nil {
		t.Fatal(err)
	}
	const want = `# 7: 192.0.2.1:443 [2001:db8::1]:5000 rack cubic mss 1448, 4 events, 0 lost
7 0.000000 send 0+1448 cwnd 14480 pipe 0 ssthresh - srtt 0us unsent 0 pacing 0 delivery 0 Open
7 1.000000 retransmit 0+1448 rto cwnd 0 pipe 0 ssthresh 2896 srtt 0us unsent 0 pacing 0 delivery 0 Loss
7 1.500000 ack 1448 window 65535 rtt 500us cwnd 0 pipe 0 ssthresh 2896 srtt 500us unsent 0 pacing 0 delivery 0 Open
7 2.000000 limit cwnd for 500000us cwnd 0 pipe 0 ssthresh 2896 srtt 0us unsent 0 pacing 0 delivery 0 Open
`
	if text.String() != want {
		t.Errorf("got\n%s", text.String())
	}
}

// TestRing holds the ring against a slice that never forgets.
func TestRing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	r := NewRing(5)
	if r.Cap() != 8 {
		t.Fatalf("a ring of %d for 5", r.Cap())
	}
	var put, next int64 // events made, and the first that was neither taken nor overwritten
	dst := make([]Event, 6)
	for range 5000 {
		for range rnd.IntN(14) {
			r.Put().Off = put
			put++
		}
		lost := max(0, put-next-8)
		if r.Len() != int(put-next-lost) {
			t.Fatalf("%d events wait, want %d", r.Len(), put-next-lost)
		}
		n, over := r.Take(dst[:rnd.IntN(7)])
		if over != uint64(lost) {
			t.Fatalf("%d overwritten, want %d", over, lost)
		}
		next += lost
		for _, e := range dst[:n] {
			if e.Off != next {
				t.Fatalf("took event %d, want %d", e.Off, next)
			}
			next++
		}
	}
}

func TestRingAllocations(t *testing.T) {
	r := NewRing(64)
	if n := testing.AllocsPerRun(1000, func() { *r.Put() = Event{At: 1, Kind: KindSend} }); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
}

// TestNames keeps the tables as long as the enumerations.
func TestNames(t *testing.T) {
	for i := range 255 {
		for _, c := range []struct {
			name  string
			known bool
		}{
			{Kind(i).String(), i < int(kindCount)}, {Limit(i).String(), i < int(LimitCount)},
			{Cause(i).String(), i < int(causeCount)},
		} {
			if (c.name != "?") != c.known || c.known && c.name == "" && i > 0 {
				t.Errorf("number %d is called %q", i, c.name)
			}
		}
	}
}
