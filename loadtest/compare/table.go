package compare

import (
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"ocaserve/ktls"
)

// percent is a share as people write it.
func percent(p float64) string { return strconv.FormatFloat(math.Round(p*1e6)/1e4, 'f', -1, 64) + "%" }

// A row is a metric in the table: its name, its unit, and a figure in that unit.
type row struct {
	name, unit string
	key        string
	format     func(float64) string
}

func fixed(digits int, scale float64) func(float64) string {
	return func(v float64) string { return strconv.FormatFloat(v*scale, 'f', digits, 64) }
}

var rows = []row{
	{"goodput", "GB/s", Goodput, fixed(2, 1e-9)},
	{"host CPU", "s/GB", HostCPU, fixed(3, 1)},
	{"NIC CPU", "s/GB", NICCPU, fixed(3, 1)},
	{"host cycles", "/byte", Cycles, fixed(2, 1)},
	{"copies", "/byte", Copies, fixed(2, 1)},
	{"touches", "/byte", Touches, fixed(2, 1)},
	{"re-DMA", "factor", ReDMA, fixed(3, 1)},
	{"  predicted", "factor", Predicted, fixed(3, 1)},
	{"  if all by NIC", "factor", AllSealed, fixed(3, 1)},
	{"retained", "/byte", Retained, fixed(3, 1)},
	{"live heap", "MiB", Heap, fixed(1, 1.0/(1<<20))},
	{"TTFB p50", "ms", TTFB50, fixed(2, 1e3)},
	{"TTFB p99", "ms", TTFB99, fixed(2, 1e3)},
	{"retransmitted", "%", Retransmit, fixed(2, 100)},
	{"resyncs", "/GB", Resyncs, fixed(0, 1)},
	{"sealed by NIC", "%", Offloaded, fixed(1, 100)},
}

// unknown stands where there is no figure.
const unknown = "-"

// median is a figure of the table.
func (w *row) median(c *Cell) string {
	s, ok := c.Figures[w.key]
	if !ok {
		return unknown
	}
	return w.format(s.Median)
}

// spread is the range of what was measured; empty if that is one value.
func (w *row) spread(c *Cell) string {
	s, ok := c.Figures[w.key]
	if low, high := w.format(s.Min), w.format(s.Max); ok && low != high {
		return low + ".." + high
	}
	return ""
}

// WriteTable prints medians with their spread, and the verdict.
func (r *Report) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s\n", r.describe(), r.Machine.describe())
	if done, planned := r.Done(), r.Planned(); done < planned {
		fmt.Fprintf(w, "not finished: %d of %d measurements\n", done, planned)
	}
	r.groups(func(conns int, loss float64, cells []*Cell) {
		fmt.Fprintf(w, "\n%s, loss %s\n", connections(conns), percent(loss))
		writeGroup(w, cells)
	})
	fmt.Fprintln(w)
	for _, n := range r.Warnings {
		fmt.Fprintln(w, fold(n, "", 100))
	}
	for _, v := range r.Verdict {
		fmt.Fprintln(w, fold(v, "", 100))
	}
	fmt.Fprintln(w)
	for _, n := range r.Notes {
		fmt.Fprintln(w, fold(n, "  ", 100))
	}
}

// writeGroup prints what was measured at one loss rate: a column for each mode, medians with their spread behind.
func writeGroup(w io.Writer, cells []*Cell) {
	line := func(name, unit string, cell func(*Cell) (string, string)) {
		text := fmt.Sprintf("%-16s%-6s", name, unit)
		for _, c := range cells {
			median, spread := cell(c)
			text += fmt.Sprintf(" %8s %-15s", median, spread)
		}
		fmt.Fprintln(w, strings.TrimRight(text, " "))
	}
	line("", "", func(c *Cell) (string, string) { return c.Mode.String(), "" })
	for i := range rows {
		line(rows[i].name, rows[i].unit, func(c *Cell) (string, string) { return rows[i].median(c), rows[i].spread(c) })
	}
	for _, c := range cells {
		if text := c.switches(); text != "" {
			fmt.Fprintf(w, "%v: %s\n", c.Mode, text)
		}
	}
}

// switches says how often connections left the adapter and came back, over all rounds, and why.
func (c *Cell) switches() string {
	var parts []string
	if n := c.ToNIC; n > 0 {
		parts = append(parts, fmt.Sprintf("inline to nic %d", n))
	}
	for _, why := range slices.Sorted(maps.Keys(c.ToInline)) {
		parts = append(parts, fmt.Sprintf("nic to inline %d (%s)", c.ToInline[why], why))
	}
	for _, why := range slices.Sorted(maps.Keys(c.Failed)) {
		parts = append(parts, fmt.Sprintf("nic not to be had %d (%s)", c.Failed[why], why))
	}
	return strings.Join(parts, ", ")
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return strconv.Itoa(n) + " connections"
}

// measured is how many rounds the medians are of: fewer than asked for, or not as many everywhere, if the comparison was
// interrupted.
func (r *Report) measured() string {
	least, most := r.Options.Rounds, 0
	for i := range r.Cells {
		n := len(r.Cells[i].Rounds)
		least, most = min(least, n), max(most, n)
	}
	switch {
	case least == r.Options.Rounds:
		return strconv.Itoa(least)
	case least == most:
		return fmt.Sprintf("%d (of %d rounds)", least, r.Options.Rounds)
	}
	return fmt.Sprintf("%d to %d (of %d rounds)", least, most, r.Options.Rounds)
}

// describe is the comparison in one line.
func (r *Report) describe() string {
	o := &r.Options
	length := o.Duration.String()
	if o.Responses > 0 {
		length = fmt.Sprintf("%d responses", o.Responses)
	}
	text := fmt.Sprintf("%v, %v, %.4g MiB per response, %s per measurement, medians of %s",
		o.Version, o.Cipher, float64(o.Size)/(1<<20), length, r.measured())
	if o.Net == NetTUN {
		text += ", kernel clients over a TUN"
	}
	if o.RTT > 0 {
		text += fmt.Sprintf(", round trip %v", o.RTT)
	}
	if s := o.NIC.String(); s != "" {
		text += ", adapter " + s
	}
	if o.MaxRexmit != ktls.DefaultMaxRexmit {
		text += ", on the adapter up to " + percent(o.MaxRexmit) + " retransmissions"
	}
	return text
}

func machine() Machine {
	return Machine{
		CPU: cpuid.CPU.BrandName, Cores: runtime.NumCPU(), Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, ClockHz: clockRate(),
	}
}

func (m *Machine) describe() string {
	return fmt.Sprintf("%s, %d cores, %s, %s", m.CPU, m.Cores, m.System, m.Go)
}

// fold breaks text into lines of at most width characters.
func fold(text, indent string, width int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			b.WriteString(indent)
			at = len(indent)
		case at+1+len(word) > width:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

// notes say what must be known to read the figures.
func (o *Options) notes() []string {
	list := []string{
		"Host CPU is the time of the server's thread (RUSAGE_THREAD): TCP, HTTP, records, and sealing where the host does it. NIC CPU is the time of the emulated adapter's thread, the same in all modes but for sealing; on a real adapter it is silicon. GB are bytes of files that arrived. Handshakes and warming up are not in any figure.",
		"Clients, adapter and server share this machine's cores: goodput is what all of them together reach, CPU per GB is what the server costs.",
		fmt.Sprintf("One response in %d was opened and compared with the file byte for byte, and the first record of each; of the others the records' headers were followed.", verifyEvery),
		"Copies and touches follow from the ledger of every byte, by the model in package ledger. Predicted re-DMA is about 1 + f*p(r-s)/s, less where a window has several losses, for the share p of retransmissions and the share f of bytes sealed by the adapter that were measured, records of r bytes (the mean over bytes, not over records) and segments of s; \"if all by NIC\" is that for p = loss and f = 1. Retained is what a byte in the send queue costs beside a reference to its page.",
	}
	if o.Net == NetTUN {
		text := "Over a TUN the adapter's thread runs the kernel's side of the TUN too, and with it a part of the clients' TCP: NIC CPU is more than the adapter."
		if o.badWire() {
			text += " The wire that loses stands there as well, and cuts superframes into packets."
		}
		list = append(list, text)
	}
	if clockRate() > 0 {
		list = append(list, fmt.Sprintf("Cycles are reference cycles: host CPU seconds times the clock of %.3f GHz that the CPU names.", clockRate()/1e9))
	} else {
		list = append(list, "Cycles are left out: neither CPUID nor /proc/cpuinfo says what clock the CPU has.")
	}
	return list
}
