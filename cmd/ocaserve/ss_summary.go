package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/ledger"
)

// statsVerb sends the counters of all shards, summed, by name.
func statsVerb(ctx context.Context, s *server, r *adminRequest) error {
	if err := r.Args(&struct{}{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	st, err := s.stack.Stats(ctx)
	if err != nil {
		return err
	}
	m, err := statsByName(&st)
	if err != nil {
		return err
	}
	return r.Send(m)
}

// statsByName takes the names from the fields, so that a counter added there shows here.
func statsByName(st *tcpstack.ShardStats) (map[string]int64, error) {
	b, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	m := make(map[string]int64)
	for name, v := range fields {
		var n int64
		if json.Unmarshal(v, &n) == nil { // else one of the tables of drops
			m[name] = n
		}
	}
	for name, n := range st.DropCounts() {
		m["Drops."+name] = int64(n)
	}
	for e := range ledger.NumEvents {
		m[bookPrefix+e.String()] = int64(st.Book.Sum(e))
	}
	return m, nil
}

// bookPrefix stands before the names of the ledger's events among the counters.
const bookPrefix = "Book."

// bookOf is the ledger in the counters of a server.
func bookOf(m map[string]int64) *ledger.Book {
	b := new(ledger.Book)
	for e := range ledger.NumEvents {
		b.Add(e, int(m[bookPrefix+e.String()]))
	}
	return b
}

// bookText is what the ledger says of each byte sent.
func bookText(b *ledger.Book) string {
	m := b.Measures()
	if b.Sum(ledger.Sent) == 0 {
		return ""
	}
	text := fmt.Sprintf("Per byte sent: %.2f copied, %.2f touched in memory, %.2f of it outside caches, %.2f sealed",
		m.Copies, m.Touches, m.Memory, m.Crypto)
	if m.Amplification > 0 {
		text += fmt.Sprintf("; re-DMA x%.3f", m.Amplification)
	}
	return text + fmt.Sprintf("; %.2f %% retransmitted\n", 100*m.Retransmits)
}

// summary is ss -s: how many connections there are, what they hold, and what has been counted since the start.
func (f *ssFlags) summary(stdout io.Writer) error {
	c, err := f.dial()
	if err != nil {
		return err
	}
	var m map[string]int64
	if err := callAdmin(c, "stats", nil, func(b []byte) error { return unmarshal(b, &m) }); err != nil {
		return err
	}
	if f.JSON {
		return json.NewEncoder(stdout).Encode(m)
	}
	return printSummary(stdout, m)
}

func printSummary(stdout io.Writer, m map[string]int64) error {
	fmt.Fprintf(stdout, "TCP: %d connections, %d half-open; memory %s of %s\n", m["Connections"], m["HalfOpen"],
		size(m["MemoryUsed"]), size(m["MemoryBudget"]))
	io.WriteString(stdout, bookText(bookOf(m))) //nolint:errcheck // the table below reports it
	w := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if n := m[name]; n != 0 && !slices.Contains(gauges, name) {
			fmt.Fprintf(w, "%s\t%d\n", name, n)
		}
	}
	return w.Flush()
}

// gauges are in the first line, or part of what is.
var gauges = []string{"Connections", "HalfOpen", "MemoryUsed", "MemoryBudget", "BlockBytes"}
