package tcpstack

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// docs/tcp.md shows the part of the golden table with a queue of one BDP, between these lines.
const (
	goldenDocBegin = "<!-- golden: go test ./tcpstack -run Golden -update makes this from testdata/netsim.golden -->\n"
	goldenDocEnd   = "<!-- end of golden -->\n"
)

var goldenDocName = filepath.Join("..", "docs", "tcp.md")

// The columns of a golden line behind the bar.
const (
	goldenSeconds = iota
	goldenRateMbps
	goldenRetrans
	goldenSpurious
	goldenRTOs
	goldenRecoveries
)

// goldenRows is testdata/netsim.golden: "rack cubic 20 0.1 0 1.0" -> the columns behind the bar.
func goldenRows(t *testing.T) map[string][]float64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "netsim.golden"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]float64{}
	for line := range strings.Lines(string(b)) {
		key, values, ok := strings.Cut(line, "|")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		var row []float64
		for v := range strings.FieldsSeq(values) {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			row = append(row, f)
		}
		rows[strings.Join(strings.Fields(key), " ")] = row
	}
	return rows
}

// row is a path's line in rows.
func (p path) row(rows map[string][]float64) []float64 {
	return rows[strings.Join(strings.Fields(p.String()), " ")]
}

// goldenSummary is what all pairs of a cell with rack and the same with base say.
func goldenSummary(rows map[string][]float64) string {
	var n, faster, logs, worst float64
	var needless, rtos [2]float64
	for _, p := range goldenPaths() {
		if p.stack != FunctionsRack {
			continue
		}
		rack := p.row(rows)
		p.stack = FunctionsBase
		base := p.row(rows)
		n++
		ratio := rack[goldenSeconds] / base[goldenSeconds]
		logs += math.Log(ratio)
		worst = max(worst, ratio)
		if ratio < .98 {
			faster++
		}
		for i, r := range [][]float64{rack, base} {
			needless[i] += r[goldenSpurious]
			rtos[i] += r[goldenRTOs]
		}
	}
	return fmt.Sprintf("Of the %.0f pairs of cells (RTT x loss x reordering x queue x newreno, cubic, bbr) `rack` takes %.2f of `base`'s time in the\n"+
		"geometric mean; it is more than 2 %% faster in %.0f, and takes %.3f of the time in the worst one. It sends %.2f %% of the payload\n"+
		"needlessly where `base` sends %.2f %%, and has %.2f time-outs per transfer where `base` has %.2f.\n\n",
		n, math.Exp(logs/n), faster, worst, needless[0]/n, needless[1]/n, rtos[0]/n, rtos[1]/n)
}

// goldenDoc is what stands between the two lines.
func goldenDoc(rows map[string][]float64) string {
	columns := []path{{stack: FunctionsBase, cc: "cubic"}, {stack: FunctionsRack, cc: "cubic"},
		{stack: FunctionsBase, cc: "newreno"}, {stack: FunctionsRack, cc: "newreno"}, {stack: FunctionsRack, cc: "bbr"}}
	var b strings.Builder
	b.WriteString("\n" + goldenSummary(rows) + "| RTT | loss | reordering |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s, %s |", c.stack, c.cc)
	}
	b.WriteString("\n|" + strings.Repeat("---|", 3+len(columns)) + "\n")
	for _, p := range goldenPaths() {
		if p.stack != columns[0].stack || p.cc != columns[0].cc || p.bdps != 1 {
			continue
		}
		fmt.Fprintf(&b, "| %d ms | %.1f %% | %.0f %% |", p.rtt.Milliseconds(), p.loss*100, p.reorder*100)
		for _, c := range columns {
			p.stack, p.cc = c.stack, c.cc
			row := p.row(rows)
			fmt.Fprintf(&b, " %.2f / %.1f / %.1f |", row[goldenSeconds], row[goldenRetrans], row[goldenSpurious])
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// goldenDocs is the page as it is, and as the golden table wants it.
func goldenDocs(t *testing.T) (is, want string) {
	t.Helper()
	b, err := os.ReadFile(goldenDocName)
	if err != nil {
		t.Fatal(err)
	}
	is = string(b)
	head, rest, begun := strings.Cut(is, goldenDocBegin)
	_, tail, ended := strings.Cut(rest, goldenDocEnd)
	if !begun || !ended {
		t.Fatalf("%s lacks the lines %s and %s", goldenDocName, goldenDocBegin, goldenDocEnd)
	}
	return is, head + goldenDocBegin + goldenDoc(goldenRows(t)) + goldenDocEnd + tail
}

// updateGoldenDoc brings the page up to date.
func updateGoldenDoc(t *testing.T) {
	t.Helper()
	if is, want := goldenDocs(t); is != want {
		if err := os.WriteFile(goldenDocName, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoldenDoc: the table in docs/tcp.md is the golden one.
func TestGoldenDoc(t *testing.T) {
	if is, want := goldenDocs(t); is != want && !*update { // else TestGoldenTable writes it, when it knows the table
		t.Errorf("the golden table in %s is stale: go test ./tcpstack -run Golden -update", goldenDocName)
	}
}
