package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"ocaserve/ktls"
)

// A metric is a figure of a round that is compared: its key in JSON, with the unit, and how it is read.
type metric struct {
	key string
	of  func(*Round) float64
}

// Keys of the metrics.
const (
	Goodput    = "goodput_bytes_per_second"
	HostCPU    = "host_cpu_seconds_per_gb"
	NICCPU     = "nic_cpu_seconds_per_gb"
	TotalCPU   = "total_cpu_seconds_per_gb"
	Cycles     = "host_cycles_per_byte"
	Copies     = "copies_per_byte"
	Touches    = "touches_per_byte"
	Memory     = "memory_bytes_per_byte"
	ReDMA      = "dma_amplification_factor"
	Predicted  = "dma_amplification_predicted_factor"
	AllSealed  = "dma_amplification_if_all_sealed_factor"
	RecordLen  = "record_around_a_byte_bytes"
	Retained   = "retained_bytes_per_queued_byte"
	Heap       = "live_heap_bytes"
	TTFB50     = "ttfb_p50_seconds"
	TTFB99     = "ttfb_p99_seconds"
	Retransmit = "retransmitted_share"
	Resyncs    = "resyncs_per_gb"
	Offloaded  = "sealed_by_nic_share"
	Others     = "cpu_used_by_others_share"
)

var metrics = []metric{
	{Goodput, func(r *Round) float64 { return float64(r.Body) / r.Wall.Seconds() }},
	{HostCPU, func(r *Round) float64 { return r.HostCPU.Seconds() / r.gb() }},
	{NICCPU, func(r *Round) float64 { return r.NICCPU.Seconds() / r.gb() }},
	{TotalCPU, func(r *Round) float64 { return (r.HostCPU + r.NICCPU).Seconds() / r.gb() }},
	{Cycles, func(r *Round) float64 { return r.Cycles }},
	{Copies, func(r *Round) float64 { return r.Measures.Copies }},
	{Touches, func(r *Round) float64 { return r.Measures.Touches }},
	{Memory, func(r *Round) float64 { return r.Measures.Memory }},
	{ReDMA, func(r *Round) float64 { return r.Measures.Amplification }},
	{Predicted, func(r *Round) float64 { return r.Predicted }},
	{AllSealed, func(r *Round) float64 { return r.AllSealed }},
	{RecordLen, func(r *Round) float64 { return r.Record }},
	{Retained, func(r *Round) float64 { return r.Retained }},
	{Heap, func(r *Round) float64 { return r.Heap }},
	{TTFB50, func(r *Round) float64 { return r.P50 }},
	{TTFB99, func(r *Round) float64 { return r.P99 }},
	{Retransmit, func(r *Round) float64 { return r.Measures.Retransmits }},
	{Resyncs, func(r *Round) float64 { return r.Resyncs / r.gb() }},
	{Offloaded, func(r *Round) float64 { return r.Offloaded }},
	{Others, func(r *Round) float64 { return r.Others }},
}

// A Spread is a median with the least and the greatest of what was measured.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf is the spread of what is known; ok is false if nothing is.
func spreadOf(values []float64) (s Spread, ok bool) {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	n := len(values)
	if n == 0 {
		return s, false
	}
	slices.Sort(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}, true
}

// A Cell is what was measured of one mode at one loss rate with one number of connections.
type Cell struct {
	Key
	Rounds  []Round
	Figures map[string]Spread // by the metrics' keys; those that are known
	// Of all rounds: how often a connection's records moved back to the adapter, from it to the CPU, by reason,
	// and could not be left to it.
	ToNIC            uint64
	ToInline, Failed map[string]uint64
}

// Median is a metric's; NaN if it is not known.
func (c *Cell) Median(key string) float64 {
	if s, ok := c.Figures[key]; ok {
		return s.Median
	}
	return math.NaN()
}

// A Machine is where it was measured.
type Machine struct {
	CPU     string
	Cores   int
	Go      string
	System  string
	ClockHz float64 // by which cycles are counted; 0: unknown
}

// A Report is a comparison.
type Report struct {
	Command string // what was typed
	When    time.Time
	Machine Machine
	Options Options
	Cells   []Cell
	Rounds  int // that were complete, of Options.Rounds
	Verdict []string
	// Warnings are what makes these figures worse than they might be, Notes what must be known to read any.
	Warnings, Notes []string
}

// newReport gathers rounds into cells, in the order of the options' keys.
func newReport(o *Options, rounds []Round) *Report {
	r := &Report{Options: *o, Machine: machine()}
	for _, k := range o.keys() {
		c := Cell{Key: k, ToInline: make(map[string]uint64), Failed: make(map[string]uint64)}
		for i := range rounds {
			if rounds[i].Cell == k {
				c.Rounds = append(c.Rounds, rounds[i])
			}
		}
		if len(c.Rounds) > 0 {
			c.summarize()
			r.Cells = append(r.Cells, c)
		}
	}
	if n := len(o.keys()); n > 0 {
		r.Rounds = len(rounds) / n
	}
	r.Warnings, r.Notes = append(r.busy(), r.scanty()...), o.notes()
	r.Verdict = verdict(r)
	return r
}

func (c *Cell) summarize() {
	c.Figures = make(map[string]Spread)
	for _, m := range metrics {
		var values []float64
		for i := range c.Rounds {
			values = append(values, m.of(&c.Rounds[i]))
		}
		if s, ok := spreadOf(values); ok {
			c.Figures[m.key] = s
		}
	}
	for i := range c.Rounds {
		r := &c.Rounds[i]
		c.ToNIC += r.ToNIC
		addTo(c.ToInline, r.ToInline)
		addTo(c.Failed, r.Failed)
	}
}

func addTo(sum, more map[string]uint64) {
	for name, n := range more {
		sum[name] += n
	}
}

// quiet is up to which share of the processors others may use without a word about it.
const quiet = 0.1

// busy warns if other programs had more than a little of the machine.
func (r *Report) busy() []string {
	var values []float64
	for i := range r.Cells {
		for j := range r.Cells[i].Rounds {
			values = append(values, r.Cells[i].Rounds[j].Others)
		}
	}
	if s, ok := spreadOf(values); !ok || s.Median < quiet {
		return nil
	} else {
		return []string{fmt.Sprintf("The machine was busy: other programs used %.0f%% of its processors meanwhile (%.0f%% to %.0f%%). Goodput and times to first byte are theirs as much as the server's, and seconds of CPU are longer, since caches and clock are shared. Repeat it on a quiet machine.",
			100*s.Median, 100*s.Min, 100*s.Max)}
	}
}

// enoughBytes is what a measurement should be of: with less, what the threads do while they wait weighs too much.
const enoughBytes = 32 << 20

// scanty warns of measurements that are of few bytes.
func (r *Report) scanty() []string {
	few := 0
	for i := range r.Cells {
		for j := range r.Cells[i].Rounds {
			if r.Cells[i].Rounds[j].Body < enoughBytes {
				few++
			}
		}
	}
	if few == 0 || r.Options.Responses > 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d measurements are of less than 32 MiB: their figures per byte are rough. Make --duration longer.", few, r.Done())}
}

// Done is how many measurements the report is of, and Planned how many were asked for.
func (r *Report) Done() (n int) {
	for i := range r.Cells {
		n += len(r.Cells[i].Rounds)
	}
	return n
}

// Planned is how many measurements there would have been.
func (r *Report) Planned() int { return len(r.Options.keys()) * r.Options.Rounds }

// find returns a cell, nil if it was not measured.
func (r *Report) find(m ktls.Mode, loss float64, conns int) *Cell {
	for i := range r.Cells {
		if r.Cells[i].Key == (Key{m, loss, conns}) {
			return &r.Cells[i]
		}
	}
	return nil
}

// groups calls f for the cells of each number of connections and loss rate, in order.
func (r *Report) groups(f func(conns int, loss float64, cells []*Cell)) {
	for i := 0; i < len(r.Cells); {
		first := &r.Cells[i]
		var cells []*Cell
		for ; i < len(r.Cells) && r.Cells[i].Conns == first.Conns && r.Cells[i].Loss == first.Loss; i++ {
			cells = append(cells, &r.Cells[i])
		}
		f(first.Conns, first.Loss, cells)
	}
}

// best is the cell with the least median of a metric; nil if none is known.
func best(cells []*Cell, key string) *Cell {
	known := slices.DeleteFunc(slices.Clone(cells), func(c *Cell) bool { return math.IsNaN(c.Median(key)) })
	if len(known) == 0 {
		return nil
	}
	return slices.MinFunc(known, func(a, b *Cell) int { return cmp.Compare(a.Median(key), b.Median(key)) })
}
