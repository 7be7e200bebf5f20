package compare

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"ocaserve/ktls"
	"ocaserve/tcpstack/ledger"
)

var update = flag.Bool("update", false, "write testdata anew")

// example is a report of made-up figures.
func example() *Report {
	all := func(loss, user, inline, nic float64) []fake {
		three := func(v float64) []float64 { return []float64{v, 1.1 * v, 0.95 * v} }
		return []fake{
			{mode: ktls.ModeOff, loss: loss, host: three(0.2), nic: three(0.2)},
			{mode: ktls.ModeUser, loss: loss, host: three(user), nic: three(0.2)},
			{mode: ktls.ModeInline, loss: loss, host: three(inline), nic: three(0.2)},
			{mode: ktls.ModeNIC, loss: loss, host: three(nic), nic: three(0.4), offloaded: 1 - 20*loss, redma: 1 + 9*loss},
		}
	}
	r := fakeReport(3, append(all(0, 1, 0.5, 0.3), all(0.01, 1.2, 0.6, 0.7)...)...)
	r.Command, r.When = "made-up figures <of a test>", time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	r.Machine = Machine{CPU: "no machine", Cores: 2, System: "none", Go: "go"}
	r.Warnings = []string{"These figures are made up."}
	r.Notes = []string{"Nothing of this was measured."}
	return r
}

// TestPage compares the page with a golden copy: a change of what people see is a diff.
func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := example().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/page.golden.html"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("the page differs from its golden copy; look at it and run go test -update")
	}
}

// TestPageStandsAlone: nothing is loaded from anywhere, text is escaped, and elements are closed.
func TestPageStandsAlone(t *testing.T) {
	var b bytes.Buffer
	if err := example().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if m := regexp.MustCompile(`(src|href)=|url\(|@import|<script|https?://`).FindString(text); m != "" {
		t.Errorf("the page refers to something outside: %q", m)
	}
	if !strings.Contains(text, "made-up figures &lt;of a test&gt;") {
		t.Error("the command is not escaped")
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("a figure that is not one")
	}
	if n := strings.Count(text, "<svg"); n != 6 {
		t.Errorf("%d charts, want 6", n)
	}
	wellFormed(t, text)
}

func wellFormed(t *testing.T, text string) {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
	var open []string
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
		case xml.EndElement:
			if last := open[len(open)-1]; last != e.Name.Local {
				t.Fatalf("</%s> closes <%s>", e.Name.Local, last)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	example().WriteTable(&b)
	for _, want := range []string{
		"8 connections, loss 1%", "host CPU        s/GB      0.200 0.190..0.220", "sealed by NIC   %           0.0",
		"It stops paying", "These figures are made up.", "Nothing of this was measured.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table has no %q", want)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}

// TestMeasuredRounds: the header says how many rounds the medians are of.
func TestMeasuredRounds(t *testing.T) {
	cell := func(loss float64, rounds int) fake {
		host := make([]float64, rounds)
		return fake{mode: ktls.ModeInline, loss: loss, host: host, nic: host}
	}
	for _, c := range []struct {
		a, b int
		want string
	}{{3, 3, "medians of 3"}, {2, 2, "medians of 2 (of 3 rounds)"}, {2, 1, "medians of 1 to 2 (of 3 rounds)"}} {
		if got := fakeReport(3, cell(0, c.a), cell(0.01, c.b)).describe(); !strings.HasSuffix(got, c.want) {
			t.Errorf("%d and %d of 3 rounds: %q, want %q at the end", c.a, c.b, got, c.want)
		}
	}
}

// TestPrediction: what the CPU seals is not refetched, and neither is what was not lost.
func TestPrediction(t *testing.T) {
	const loss = 1.5 / 64 // with a window of 8
	all := ledger.Resync{Record: 9 * segment, Segment: segment, Burst: 8 * segment, Loss: loss}.Amplification()
	r := Round{Cell: Key{Mode: ktls.ModeNIC, Loss: loss}, Record: 9 * segment, Offloaded: 0.5, Measures: ledger.Measures{Retransmits: loss}}
	r.predict()
	if math.Abs(r.AllSealed-all) > 1e-9 || math.Abs(r.Predicted-(1+all)/2) > 1e-9 {
		t.Errorf("predicted %v, if all were sealed %v; ledger.Resync says %v", r.Predicted, r.AllSealed, all)
	}
	r.Measures.Retransmits = 0
	if r.predict(); r.Predicted != 1 {
		t.Errorf("predicted %v without retransmissions", r.Predicted)
	}
}

// TestRecordAround: a byte is in a long record more often than in a short one.
func TestRecordAround(t *testing.T) {
	var from, to tally
	from.count(100)
	to.count(100)
	for _, n := range []uint64{3000, 1000, 1000} {
		to.count(n)
	}
	if got := recordAround(&from, &to); got != 2200 {
		t.Errorf("%v, want 3/5 of 3000 and 2/5 of 1000", got)
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		high float64
		want []float64
	}{
		{0, []float64{0, 1}}, {math.NaN(), []float64{0, 1}}, {1, []float64{0, 0.25, 0.5, 0.75, 1}},
		{2.3, []float64{0, 1, 2, 3}}, {31, []float64{0, 10, 20, 30, 40}},
	} {
		got := ticks(tt.high, 4)
		if len(got) != len(tt.want) || got[len(got)-1] != tt.want[len(got)-1] {
			t.Errorf("ticks(%v) = %v, want %v", tt.high, got, tt.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(i+1)*time.Second)
	}
	if p50, p99 := quantile(all, 0.5), quantile(all, 0.99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %v, p99 %v of 1..100", p50, p99)
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}
