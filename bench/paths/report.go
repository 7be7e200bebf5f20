package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// report prints one table per congestion control and kind of cell.
func report(out io.Writer, results []result, o options) error {
	for _, cc := range o.ccs {
		for _, short := range []bool{false, true} {
			rows := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.CC != cc || r.Cell.Short != short })
			if len(rows) > 0 {
				table(out, cc, short, rows)
			}
		}
	}
	late(out, results)
	if o.json == "" {
		return nil
	}
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(data, '\n'), 0o644)
}

// table prints Markdown. Goodput is the body's bytes by the whole time of the fetch, handshake included.
func table(out io.Writer, cc string, short bool, rows []result) {
	if short {
		fmt.Fprintf(out, "\n%s, ms until the last byte\n\n", cc)
		fmt.Fprintln(out, "| path | ocaserve mean | p95 | Linux mean | p95 | ratio of means | paired |")
		fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
		for _, r := range rows {
			a, b := times(r.Ours), times(r.Linux)
			fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f | %.0f | %.2f | %s |\n", r.Name,
				1e3*mean(a), 1e3*quantile(a, .95), 1e3*mean(b), 1e3*quantile(b, .95), mean(a)/mean(b), paired(r.Ours, r.Linux))
		}
		return
	}
	fmt.Fprintf(out, "\n%s, Mb/s\n\n", cc)
	fmt.Fprintln(out, "| path | ocaserve | min..max | Linux | min..max | ratio | paired | packets sent, ocaserve : Linux |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		a, b := goodputs(r.Ours, r.Cell.Size), goodputs(r.Linux, r.Cell.Size)
		fmt.Fprintf(out, "| %s | %.1f | %.1f..%.1f | %.1f | %.1f..%.1f | %.2f | %s | %d : %d |\n", r.Name,
			quantile(a, .5), a[0], a[len(a)-1], quantile(b, .5), b[0], b[len(b)-1], quantile(a, .5)/quantile(b, .5),
			paired(r.Linux, r.Ours), packets(r.Ours), packets(r.Linux))
	}
}

// paired compares fetches that met the same fate: the geometric mean of a's time by b's, and what it is with 95 %
// confidence. The medians of a few fetches that losses decide may be far apart by chance.
func paired(a, b []fetch) string {
	n := float64(min(len(a), len(b)))
	var sum, squares float64
	for i := range int(n) {
		x := math.Log(a[i].Seconds / b[i].Seconds)
		sum += x
		squares += x * x
	}
	m := sum / n
	if n < 2 {
		return fmt.Sprintf("%.2f", math.Exp(m))
	}
	half := 2 * math.Sqrt(max(0, squares/n-m*m)/(n-1))
	return fmt.Sprintf("%.2f (%.2f..%.2f)", math.Exp(m), math.Exp(m-half), math.Exp(m+half))
}

// late says how far the emulator can be trusted.
func late(out io.Writer, results []result) {
	var p99, most []float64
	for _, r := range results {
		for _, f := range slices.Concat(r.Ours, r.Linux) {
			p99, most = append(p99, f.LateP99), append(most, f.LateMax)
		}
	}
	slices.Sort(p99)
	slices.Sort(most)
	fmt.Fprintf(out, "\nThe emulator's packets left late by, at the 99th percentile of a fetch: median %.0f us, worst %.0f us; at most, median %.0f us, worst %.0f us.\n",
		quantile(p99, .5), quantile(p99, 1), quantile(most, .5), quantile(most, 1))
}

// times are sorted, in seconds.
func times(fs []fetch) []float64 {
	var v []float64
	for _, f := range fs {
		v = append(v, f.Seconds)
	}
	slices.Sort(v)
	return v
}

// goodputs are sorted, in Mb/s.
func goodputs(fs []fetch, size int) []float64 {
	var v []float64
	for _, f := range fs {
		v = append(v, float64(size)*8/1e6/f.Seconds)
	}
	slices.Sort(v)
	return v
}

// packets is the median.
func packets(fs []fetch) int {
	var v []float64
	for _, f := range fs {
		v = append(v, float64(f.Packets))
	}
	slices.Sort(v)
	return int(quantile(v, .5))
}

func quantile(sorted []float64, q float64) float64 {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
