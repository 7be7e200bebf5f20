package origin

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/stream"
)

// A client is the other end of a TLS connection over a pipe: it seals what it sends and opens what it gets.
type client struct {
	*pipe
	framer *ktls.Framer
	opener *ktls.Opener
	wire   []byte // sealed, not yet sent
	event  ktls.Event
	err    error
}

// Append implements ktls.Queue: the client's records.
func (c *client) Append(s stream.Span) {
	var g stream.Gather
	g.Init(make([]byte, 32<<10), 8)
	s.Gather(&g, 0, s.Len())
	for _, b := range g.Pieces() {
		c.wire = append(c.wire, b...)
	}
	s.Release()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (r *rig) dialClient(mode ktls.Mode) *client {
	up, down := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	suite := ktls.AES128GCM
	c := &client{
		framer: must(ktls.NewFramer(ktls.ModeUser, must(ktls.NewWriteState13(suite, up, 0)), ktls.NewPool(0))),
		opener: ktls.NewOpener(must(ktls.NewReadState13(suite, down, 0))),
	}
	f := must(ktls.NewFramer(mode, must(ktls.NewWriteState13(suite, down, 0)), r.sh.pool))
	c.pipe = r.dialTLS(f, ktls.NewOpener(must(ktls.NewReadState13(suite, up, 0))), &tlsInfo{"TLS 1.3", suite.String(), ""})
	return c
}

// seal makes one record of text and returns all that is sealed and not sent.
func (c *client) seal(text string) []byte {
	if err := c.framer.Append(c, []stream.Piece{{Data: []byte(text)}}); err != nil {
		c.r.t.Fatal(err)
	}
	return c.flush()
}

func (c *client) flush() []byte {
	b := c.wire
	c.wire = nil
	return b
}

// open decrypts what the server has sent, up to the event or error that ends it.
func (c *client) open() string {
	var text []byte
	for in := []byte(c.take()); len(in) > 0 && c.err == nil; {
		n, plain, ev, err := c.opener.Open(in)
		if n == 0 && err == nil {
			c.r.t.Fatalf("%d bytes of a torn record", len(in))
		}
		if text = append(text, plain...); ev != ktls.EventNone {
			c.event = ev
		}
		in, c.err = in[n:], err
	}
	return string(text)
}

func (c *client) ask(text string) string {
	c.arrive(c.seal(text))
	c.r.settle()
	return c.open()
}

func TestTLSModesAnswerAlike(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("0123456789abcdef", 40000)})
	for _, req := range []string{get("/f"), get("/f", "Range: bytes=5-99999"), get("/nope")} {
		want := r.dial().roundTrip(req)
		for _, mode := range []ktls.Mode{ktls.ModeUser, ktls.ModeInline} {
			if got := r.dialClient(mode).ask(req); got != want {
				t.Errorf("%v: %d bytes, want %d", mode, len(got), len(want))
			}
		}
	}
}

// Each byte of a record is booked once, with the connection; and with the connection the framer ends.
func TestTLSBooks(t *testing.T) {
	file := strings.Repeat("0123456789abcdef", 40000)
	r := newRig(t, map[string]string{"f": file})
	for _, mode := range []ktls.Mode{ktls.ModeUser, ktls.ModeInline} {
		c := r.dialClient(mode)
		text := len(c.ask(get("/f")))
		b, sum := &c.book, c.book.Sum
		if sum(ledger.PlainFramed) != uint64(text) || sum(ledger.Records) == 0 {
			t.Errorf("%v: %d bytes and %d records booked for %d bytes", mode, sum(ledger.PlainFramed), sum(ledger.Records), text)
		}
		sealed := sum(ledger.SealedHost) + sum(ledger.SealedStored)
		if sum(ledger.RecordsBytes) != sum(ledger.Sent) || sealed != sum(ledger.Sent) {
			t.Errorf("%v: %d bytes of records, %d sealed, %d sent", mode, sum(ledger.RecordsBytes), sealed, b.Sum(ledger.Sent))
		}
		framer := c.s.framer
		c.die()
		if err := framer.KeyUpdate(c, false); err != ktls.ErrClosed {
			t.Errorf("%v: the framer has outlived its session: %v", mode, err)
		}
	}
	c := r.dial()
	text := len(c.roundTrip(get("/f")))
	if c.book.Sum(ledger.PlainQueued) != uint64(text) || c.book.Sum(ledger.Records) != 0 {
		t.Errorf("plain: %d bytes booked of %d", c.book.Sum(ledger.PlainQueued), text)
	}
	before := c.book.Sum(ledger.CopiedShort)
	c.roundTrip(get("/f", "Range: bytes=10-1009"))
	if n := c.book.Sum(ledger.CopiedShort) - before; n != 1000 {
		t.Errorf("%d bytes copied for a range of 1000", n)
	}
}

// Mode nic needs somebody who says where the interfaces are; a shard without one seals inline.
func TestModeNIC(t *testing.T) {
	nic := func(o *Options) { o.TLS, o.Mode = new(ktls.ServerConfig), ktls.ModeNIC }
	r := newRig(t, nil, nic, func(o *Options) { o.NIC = func(*tcpstack.Shard) offload.NIC { return nil } })
	r.sh.setNIC(nil)
	if r.sh.mode != ktls.ModeInline {
		t.Errorf("without an interface: mode %v", r.sh.mode)
	}
	r.sh.setNIC(fullNIC{})
	if r.sh.mode != ktls.ModeNIC {
		t.Errorf("with an interface: mode %v", r.sh.mode)
	}
	c := r.dialClient(ktls.ModeNIC)
	if got := c.ask(get("/")); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("got %q", got)
	}
	if n := r.sh.pool.Stats().Switches.Failed[ktls.ReasonTableFull]; n != 1 {
		t.Errorf("%d failures counted", n)
	}
	opts := r.srv.opts
	opts.NIC = nil
	if _, err := New(opts); err != ktls.ErrNoNIC {
		t.Errorf("New without Options.NIC: %v", err)
	}
}

// fullNIC is an interface whose table of contexts is full.
type fullNIC struct{}

func (fullNIC) AddContext(*offload.Crypto) (uint64, error) { return 0, offload.ErrNoContext }
func (fullNIC) DelContext(uint64)                          {}
func (fullNIC) Health(uint64) offload.Health               { return offload.Evicted }
func (fullNIC) Turn() uint64                               { return 0 }
func (fullNIC) Prefetch(uint64)                            {}

// Records may be cut anywhere into runs and arrivals, and a head anywhere into records.
func TestTLSSplitAnywhere(t *testing.T) {
	r := newRig(t, someFiles)
	req := get("/a.txt", "X: y") + get("/v/s1.m4s", "Range: bytes=3-7")
	want := r.dial().roundTrip(req)
	wireLen := len(r.dialClient(ktls.ModeUser).seal(req))
	for i := range wireLen {
		c := r.dialClient(ktls.ModeUser)
		wire := c.seal(req)
		if i%2 == 0 { // both parts are there, or the second comes later
			c.arrive(wire[:i])
		} else {
			c.runs = append(c.runs, wire[:i])
		}
		c.arrive(wire[i:])
		r.settle()
		if got := c.open(); got != want {
			t.Fatalf("record cut at %d: %q", i, got)
		}
		c.die()
	}
	for i := range len(req) {
		c := r.dialClient(ktls.ModeInline)
		c.arrive(append(c.seal(req[:i]), c.seal(req[i:])...))
		r.settle()
		if got := c.open(); got != want {
			t.Fatalf("head cut at %d into records: %q", i, got)
		}
		c.die()
	}
}

// What arrived during the handshake is opened first, even if its last record goes on in the connection.
func TestTLSEarlyRecords(t *testing.T) {
	r := newRig(t, someFiles)
	req := get("/a.txt")
	want := r.dial().roundTrip(req)
	wireLen := len(r.dialClient(ktls.ModeUser).seal(req))
	for i := range wireLen + 1 {
		c := r.dialClient(ktls.ModeUser)
		wire := c.seal(req)
		c.s.early = append(c.s.early, wire[:i]...)
		c.arrive(wire[i:])
		r.settle()
		if got := c.open(); got != want {
			t.Fatalf("hand-over after %d bytes: %q", i, got)
		}
		if c.s.early != nil || c.s.raw != nil {
			t.Fatalf("hand-over after %d bytes: memory kept", i)
		}
		c.die()
	}
}

// A FIN right behind requests that came with the handshake does not make the first of them the last.
func TestTLSEarlyRequestsAndFin(t *testing.T) {
	r := newRig(t, someFiles)
	c := r.dialClient(ktls.ModeUser)
	c.s.early = append(c.seal(get("/a.txt")), c.seal(get("/a.txt"))...)
	c.eof()
	if got := c.open(); strings.Count(got, "HTTP/1.1 200 OK\r\n") != 2 {
		t.Errorf("answered %q", got)
	}
	if !c.shut {
		t.Error("not closed after the last answer")
	}
}

// A KeyUpdate is answered in the middle of a download (RFC 8446 section 4.6.3), and the rest goes under the
// new key.
func TestTLSKeyUpdateDuringResponse(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 40000)
	r := newRig(t, map[string]string{"f": body})
	c := r.dialClient(ktls.ModeInline)
	c.lowat, c.limit = 64<<10, 100<<10
	c.arrive(c.seal(get("/f")))
	r.settle()
	got := c.open()
	if err := c.framer.KeyUpdate(c, true); err != nil {
		t.Fatal(err)
	}
	c.arrive(c.flush())
	c.limit = 1 << 40
	r.settle()
	if got += c.open(); !strings.HasSuffix(got, "\r\n\r\n"+body) || c.err != nil {
		t.Errorf("%d bytes, %v", len(got), c.err)
	}
	if c.event != ktls.EventKeyUpdate {
		t.Errorf("the server did not update its key: %v", c.event)
	}
	if got := c.ask(get("/nope")); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("under the new keys: %q", got)
	}
}

// A broken record is answered with exactly one alert; then we half-close and drain, so that the alert arrives.
func TestTLSBadRecord(t *testing.T) {
	r := newRig(t, map[string]string{"f": strings.Repeat("x", 1<<20)})
	for _, during := range []bool{false, true} {
		c := r.dialClient(ktls.ModeUser)
		if during {
			c.lowat, c.limit = 32<<10, 64<<10
			c.arrive(c.seal(get("/f")))
			r.settle()
		}
		wire := c.seal(get("/f"))
		wire[len(wire)-1] ^= 1
		c.arrive(append(wire, c.seal("more")...))
		c.limit = 1 << 40
		r.settle()
		c.open()
		alert, ok := c.err.(*ktls.AlertError)
		if !ok || alert.Alert != ktls.AlertBadRecordMAC {
			t.Errorf("during a response %v: %v, want bad_record_mac", during, c.err)
		}
		if !c.shut || c.abort || c.Readable() != 0 {
			t.Errorf("during a response %v: half-closed %v, cut %v, %d bytes unread", during, c.shut, c.abort, c.Readable())
		}
		r.advance(6 * time.Second)
		if !c.close {
			t.Errorf("during a response %v: never closed", during)
		}
	}
	if st := r.srv.Stats(); st.TLSErrors != 2 || st.Aborted != 1 {
		t.Errorf("TLSErrors = %d, Aborted = %d", st.TLSErrors, st.Aborted)
	}
}

func TestTLSCloseNotify(t *testing.T) {
	r := newRig(t, someFiles)
	c := r.dialClient(ktls.ModeInline)
	c.ask(get("/a.txt"))
	c.framer.CloseNotify(c)
	c.arrive(c.flush())
	r.settle()
	if c.open(); c.event != ktls.EventClose || !c.shut {
		t.Errorf("close_notify answered with %v, closed: %v", c.event, c.shut)
	}

	// A request and close_notify at once: the answer first, then ours.
	c = r.dialClient(ktls.ModeInline)
	wire := c.seal(get("/a.txt"))
	c.framer.CloseNotify(c)
	c.arrive(append(wire, c.flush()...))
	r.settle()
	if got := c.open(); !strings.HasSuffix(got, "0123456789") || c.event != ktls.EventClose {
		t.Errorf("answer %q, then %v", got, c.event)
	}
}

// An idle TLS connection that is closed for being idle says so.
func TestTLSIdleTimeout(t *testing.T) {
	r := newRig(t, someFiles)
	c := r.dialClient(ktls.ModeUser)
	c.ask(get("/a.txt"))
	r.advance(76 * time.Second)
	if c.open(); c.event != ktls.EventClose || !c.shut {
		t.Errorf("event %v, closed: %v", c.event, c.shut)
	}
}

func TestTLSPeerAlert(t *testing.T) {
	r := newRig(t, someFiles)
	c := r.dialClient(ktls.ModeUser)
	c.framer.Alert(c, ktls.AlertInternalError)
	c.arrive(c.flush())
	if out := c.take(); out != "" || !c.abort {
		t.Errorf("a fatal alert from the peer: sent %d bytes, cut %v", len(out), c.abort)
	}
}
