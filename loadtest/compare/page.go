package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"ocaserve/ktls"
)

//go:embed page.css
var pageCSS string

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// pageData is what the template shows.
type pageData struct {
	CSS      template.CSS
	Command  []string // parts between which a line may end
	When     string
	Setup    string
	Machine  string
	Progress string // how much was measured, if not all
	Warnings []string
	Verdict  []string
	Notes    []string
	Sections []section
}

// A section is what was measured with one number of connections.
type section struct {
	Title  string
	Tiles  []tile
	Charts []chart
	Tables []pageTable
}

// A tile is one figure in large.
type tile struct{ Label, Mode, Figure, Note string }

// A chart is a picture with what must be said of it.
type chart struct {
	Title, Note string
	Legend      []legend
	SVG         template.HTML
}

type legend struct{ Class, Text string }

// A pageTable is the table of one loss rate.
type pageTable struct {
	Title    string
	Modes    []string
	Rows     []pageRow
	Switches []string
}

type pageRow struct {
	Name, Unit string
	Cells      []pageCell
}

type pageCell struct{ Median, Spread string }

// WriteHTML writes the comparison as one page that needs nothing from outside.
func (r *Report) WriteHTML(w io.Writer) error {
	d := pageData{
		CSS: template.CSS(pageCSS), Command: parts(r.Command), When: r.When.Format("2 January 2006, 15:04 MST"),
		Setup: r.describe(), Machine: r.Machine.describe(), Warnings: r.Warnings, Verdict: r.Verdict, Notes: r.Notes,
	}
	if done, planned := r.Done(), r.Planned(); done < planned {
		d.Progress = fmt.Sprintf("%d of %d measurements", done, planned)
	}
	for _, n := range r.conns() {
		d.Sections = append(d.Sections, r.section(n))
	}
	return page.Execute(w, &d)
}

// parts are a command's words, each flag with its value.
func parts(command string) (list []string) {
	value := false // the next word may be the last one's
	for word := range strings.SplitSeq(command, " ") {
		flag := strings.HasPrefix(word, "-")
		if value && !flag {
			list[len(list)-1] += " " + word
		} else {
			list = append(list, word)
		}
		value = flag && !strings.Contains(word, "=")
	}
	return list
}

func (r *Report) section(n int) section {
	s := section{Title: connections(n), Tiles: r.tiles(n), Charts: r.charts(n)}
	for _, g := range r.groupsOf(n) {
		s.Tables = append(s.Tables, g.table())
	}
	return s
}

// tiles are the winners where there is least loss.
func (r *Report) tiles(n int) (list []tile) {
	loss := r.losses(n)[0]
	cells := r.sealing(n, loss)
	for _, m := range []struct{ key, label, unit, format string }{
		{HostCPU, "Least host CPU", "s/GB", "%.3f"},
		{TotalCPU, "Least CPU, host and NIC", "s/GB", "%.3f"},
		{Touches, "Fewest touches of memory", "per byte", "%.2f"},
	} {
		first := best(cells, m.key)
		if first == nil {
			continue
		}
		t := tile{Label: m.label, Mode: first.Mode.String(), Figure: fmt.Sprintf(m.format+" %s", first.Median(m.key), m.unit)}
		t.Note = "of the modes that encrypt, loss " + percent(loss)
		if off := r.find(ktls.ModeOff, loss, n); off != nil && !math.IsNaN(off.Median(m.key)) {
			t.Note += fmt.Sprintf("; off: "+m.format, off.Median(m.key))
		}
		if second := runnerUp(cells, first, m.key); second != nil {
			if _, agreed := against(first, second, m.key); !agreed {
				t.Note = fmt.Sprintf("the rounds disagree: it may be %v; %s", second.Mode, t.Note)
			}
		}
		list = append(list, t)
	}
	return list
}

// charts draws what was measured with n connections; charts without data are left out.
func (r *Report) charts(n int) (list []chart) {
	cpu := bars{title: "CPU seconds per GB", format: fixed(2, 1), spread: HostCPU, apart: true, layers: []layer{
		{"host", "solid", median(HostCPU, 1)}, {"NIC", "pale", median(NICCPU, 1)},
	}}
	touches := bars{title: "Memory touched per byte", format: fixed(2, 1), layers: []layer{
		{"from memory", "solid", median(Memory, 1)}, {"in cache, by the model", "pale", func(c *Cell) float64 { return median(Touches, 1)(c) - median(Memory, 1)(c) }},
	}}
	goodput := bars{title: "Goodput, GB/s", format: fixed(2, 1), layers: []layer{{"goodput", "solid", median(Goodput, 1e-9)}}}
	kept := bars{title: "Kept per byte in the send queue", format: fixed(3, 1), spread: Retained, layers: []layer{{"kept", "solid", median(Retained, 1)}}}
	all := []chart{
		{"CPU per GB delivered", "Seconds. The thin line is the spread of the host's part. The emulated adapter's seconds are silicon on a real one.",
			[]legend{{"solid", "host"}, {"pale", "NIC"}}, cpu.draw(r, n)},
		{"Touches of memory per byte", "Reads and writes of payload, from the ledger of every byte.",
			[]legend{{"solid", "memory"}, {"pale", "in a CPU's cache, by the model"}}, touches.draw(r, n)},
		{"Fetched again over the bus", "A retransmission makes the adapter read the record again from its start. Ring: the arithmetic for the measured shares of retransmissions and of bytes that the adapter sealed; line: if it seals everything; faint: with records of 4 KiB. Connections that retransmit more than " + percent(r.Options.MaxRexmit) + " leave the adapter.",
			[]legend{{"key dot nic", "measured"}, {"key ring nic", "arithmetic"}, {"key curve", "if all by NIC"}}, r.redma(n)},
		{"Time to first byte", "From the request to the first byte of its response, while all connections load. Logarithmic.",
			[]legend{{"key dot", "p50"}, {"key ring", "p99"}}, r.waits(n)},
		{"Kept for each byte in the send queue", "Records, tags, buffers: bytes of memory beside references to pages, until the acknowledgment.",
			nil, kept.draw(r, n)},
		{"Goodput", "GB/s of files, clients and adapter on the same cores.", nil, goodput.draw(r, n)},
	}
	for _, c := range all {
		if c.SVG != "" {
			list = append(list, c)
		}
	}
	return list
}

// table is that of one loss rate.
func (g *group) table() pageTable {
	t := pageTable{Title: "loss " + percent(g.loss)}
	for _, c := range g.cells {
		t.Modes = append(t.Modes, c.Mode.String())
		if text := c.switches(); text != "" {
			t.Switches = append(t.Switches, c.Mode.String()+": "+text)
		}
	}
	for i := range rows {
		row := pageRow{Name: rows[i].name, Unit: rows[i].unit}
		for _, c := range g.cells {
			row.Cells = append(row.Cells, pageCell{rows[i].median(c), rows[i].spread(c)})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
