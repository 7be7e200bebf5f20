package compare

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
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
	if !strings.Contains(text, "<span>made-up</span> <span>figures</span> <span>&lt;of</span> ") {
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

// TestCommandParts: the command is broken between flags, not within.
func TestCommandParts(t *testing.T) {
	got := parts("ocaserve compare --loss 0,1% --rounds=2 --html - --json 'a b'")
	if want := []string{"ocaserve", "compare", "--loss 0,1%", "--rounds=2", "--html", "-", "--json 'a", "b'"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestChartsHoldTheirText: no label is cut off at a chart's edge, whatever the figures are.
func TestChartsHoldTheirText(t *testing.T) {
	for _, loss := range []float64{0, 0.001, 0.01, 0.03, 0.086, 0.2} {
		for _, scale := range []float64{0.24, 1, 12.4, 99} {
			flat := []float64{scale, scale}
			r := fakeReport(2,
				fake{mode: ktls.ModeUser, loss: loss, host: flat, nic: flat},
				fake{mode: ktls.ModeNIC, loss: loss, host: flat, nic: flat, offloaded: 0.17, redma: 1 + loss*scale})
			for _, c := range r.charts(8) {
				within(t, fmt.Sprintf("loss %v, %v s/GB: %s", loss, scale, c.Title), string(c.SVG))
			}
		}
	}
}

var svgText = regexp.MustCompile(`<text x="([^"]+)" y="([^"]+)" text-anchor="([^"]+)"[^>]*>([^<]*)</text>`)

// within checks that all text of a picture is in it.
func within(t *testing.T, what, svg string) {
	t.Helper()
	var width, height float64
	if _, err := fmt.Sscanf(svg, `<svg viewBox="0 0 %g %g"`, &width, &height); err != nil {
		t.Fatal(err)
	}
	found := svgText.FindAllStringSubmatch(svg, -1)
	if len(found) == 0 {
		t.Errorf("%s: no text", what)
	}
	for _, m := range found {
		var x, y float64
		if _, err := fmt.Sscan(m[1], &x); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(m[2], &y); err != nil {
			t.Fatal(err)
		}
		w := textWidth(html.UnescapeString(m[4]))
		from := x - w*map[string]float64{"start": 0, "middle": 0.5, "end": 1}[m[3]]
		if from < 0 || from+w > width || y < 8 || y+3 > height {
			t.Errorf("%s: %q goes from %.0f to %.0f at %.0f, beyond %.0f x %.0f", what, m[4], from, from+w, y, width, height)
		}
	}
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
