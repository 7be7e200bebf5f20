package origin

import (
	"strings"
	"testing"

	"ocaserve/pacing"
)

func withPace(f func(PaceRequest) pacing.Range) func(*Options) {
	return func(o *Options) { o.Pace = f }
}

// The rate of a response covers exactly its bytes: the next response on the connection has none, or its own. A
// server that set the rate of the connection instead once let it leak from one request to the next.
func TestPaceEndsWithTheResponse(t *testing.T) {
	r := newRig(t, map[string]string{"a": strings.Repeat("x", 100_000)}, withPace(PaceByQuery))
	c := r.dial()
	lengths := []int64{}
	for _, target := range []string{"/a?pace=25Mbps", "/a", "/a?x=1&pace=1Mbps&y", "/missing?pace=2Mbps"} {
		before := c.wire
		c.send("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
		lengths = append(lengths, c.wire-before)
		c.take()
	}
	want := []pacing.Range{
		{From: 0, To: lengths[0], Rate: 3_125_000},
		{From: lengths[0] + lengths[1], To: lengths[0] + lengths[1] + lengths[2], Rate: 125_000},
		{From: c.wire - lengths[3], To: c.wire, Rate: 250_000},
	}
	if len(c.paces) != len(want) {
		t.Fatalf("%+v", c.paces)
	}
	for i, p := range c.paces {
		if p != want[i] {
			t.Errorf("response %d: %+v, want %+v", i, p, want[i])
		}
	}
}

// While a response is being appended its range reaches beyond what it will take, records and all; never short of
// it, which would leave its end unpaced.
func TestPaceCoversTheResponse(t *testing.T) {
	r := newRig(t, map[string]string{"a": strings.Repeat("x", 1_000_000)}, withPace(PaceByQuery))
	c := r.dial()
	c.limit = 0
	c.send("GET /a?pace=25Mbps HTTP/1.1\r\nHost: h\r\n\r\n")
	if len(c.paces) != 1 || c.paces[0].To < 1_000_100 {
		t.Fatalf("%+v", c.paces)
	}
	c.die()
	if c.paces[0].To != c.wire {
		t.Error("a response that was cut off keeps its pace")
	}
}

// Nobody asks for a pace unless the server is told to listen to it.
func TestPaceIsOffByDefault(t *testing.T) {
	r := newRig(t, map[string]string{"a": "hello"})
	c := r.dial()
	c.send("GET /a?pace=25Mbps HTTP/1.1\r\nHost: h\r\n\r\n")
	if len(c.paces) != 0 {
		t.Errorf("%+v", c.paces)
	}
}

// The hook sees the request and may give a deadline instead of a rate.
func TestPaceHook(t *testing.T) {
	var saw []string
	r := newRig(t, map[string]string{"a b": "hello"}, withPace(func(p PaceRequest) pacing.Range {
		saw = append(saw, string(p.Path()), string(p.Query()), string(p.Field("X-Test")))
		return pacing.Range{Deadline: p.Now + 1000, CatchUp: true, Max: pacing.Rate(p.Bytes)}
	}))
	c := r.dial()
	c.send("GET /a%20b?q=%20 HTTP/1.1\r\nHost: h\r\nX-Test: yes\r\n\r\n")
	if got := strings.Join(saw, "|"); got != "/a b|q=%20|yes" {
		t.Error(got)
	}
	if p := c.paces[0]; p.Deadline != r.now+1000 || !p.CatchUp || int64(p.Max) != c.wire {
		t.Errorf("%+v, %d bytes", p, c.wire)
	}
}

func TestPaceByQuery(t *testing.T) {
	for query, want := range map[string]pacing.Rate{
		"": 0, "pace=": 0, "pace=fast": 0, "pace=0": 0, "space=1Mbps": 0, "pace=-1Mbps": 0, "pace=1e99bps": 0,
		"pace=1Mbps": 125_000, "a=b&pace=3MB/s": 3_000_000, "pace=8bps": minAskedRate,
		"pace=1Mbps&pace=2Mbps": 125_000, "&&pace=1Mbps": 125_000,
	} {
		req := newRequest()
		req.target.query = []byte(query)
		if got := PaceByQuery(PaceRequest{req: req}); got != (pacing.Range{Rate: want}) {
			t.Errorf("%q: %+v, want %d", query, got, want)
		}
	}
}

func FuzzPaceByQuery(f *testing.F) {
	f.Add([]byte("a=b&pace=25Mbps"))
	f.Add([]byte("pace=.&pace=1bps"))
	f.Fuzz(func(t *testing.T, query []byte) {
		req := newRequest()
		req.target.query = query
		if r := PaceByQuery(PaceRequest{req: req}).Rate; r != 0 && (r < minAskedRate || r > pacing.MaxRate) {
			t.Errorf("%q: %d", query, int64(r))
		}
	})
}
