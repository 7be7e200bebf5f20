package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ocaserve/ktls"
)

// verdict says in words what the figures say: for each number of connections who wins, how far that carries as
// loss grows, and what would have to be different. Modes are compared round by round, since what disturbs the
// machine disturbs those of one round alike; where the rounds disagree nobody is said to win.
func verdict(r *Report) []string {
	var list []string
	for _, n := range r.conns() {
		list = append(list, r.winners(n)...)
		if text := r.price(n); text != "" {
			list = append(list, text)
		}
		if text := r.paying(n); text != "" {
			list = append(list, text)
		}
		if text := r.change(n); text != "" {
			list = append(list, text)
		}
	}
	return list
}

// conns lists the numbers of connections that were measured, in order.
func (r *Report) conns() (list []int) {
	for i := range r.Cells {
		if !slices.Contains(list, r.Cells[i].Conns) {
			list = append(list, r.Cells[i].Conns)
		}
	}
	return list
}

// losses lists the loss rates at which n connections were measured, ascending.
func (r *Report) losses(n int) (list []float64) {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Conns == n && !slices.Contains(list, c.Loss) {
			list = append(list, c.Loss)
		}
	}
	slices.Sort(list)
	return list
}

// sealing lists the cells of modes that encrypt, the adapter's if it did.
func (r *Report) sealing(n int, loss float64) (list []*Cell) {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Conns == n && c.Loss == loss && c.Mode != ktls.ModeOff && !c.unused() {
			list = append(list, c)
		}
	}
	return list
}

// unused reports whether the cell is mode nic and the adapter sealed nothing: what was measured is inline.
func (c *Cell) unused() bool { return c.Mode == ktls.ModeNIC && c.Median(Offloaded) == 0 }

// winners compares the modes that encrypt where there is least loss.
func (r *Report) winners(n int) []string {
	losses := r.losses(n)
	cells := r.sealing(n, losses[0])
	if len(cells) < 2 {
		return nil
	}
	var parts []string
	for _, m := range []struct{ key, what, unit string }{
		{HostCPU, "takes the least CPU of the host", "s/GB"}, {TotalCPU, "takes the least CPU of host and NIC together", "s/GB"},
		{Touches, "touches memory least", "times per byte"},
	} {
		if text := wins(cells, m.key, m.what, m.unit); text != "" {
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s, %s packets lost: of the modes that encrypt %s.", connections(n), percent(losses[0]), strings.Join(parts, "; "))}
}

// price says what sealing costs the host where there is least loss, against sending the same bytes in the clear, and
// what is left of that with an adapter. Nothing is said of differences that the rounds do not agree on.
func (r *Report) price(n int) string {
	loss := r.losses(n)[0]
	off, inline, nic := r.find(ktls.ModeOff, loss, n), r.find(ktls.ModeInline, loss, n), r.find(ktls.ModeNIC, loss, n)
	if off == nil || inline == nil || nic == nil || nic.unused() {
		return ""
	}
	if share, sure := against(off, inline, HostCPU); !sure || share <= 0 {
		return ""
	}
	of := func(c *Cell) float64 { return c.Median(HostCPU) - off.Median(HostCPU) }
	left := fmt.Sprintf("%.3f s/GB", of(nic))
	if share, sure := against(off, nic, HostCPU); !sure || share <= 0 {
		left = "nothing that the rounds agree on"
	}
	return fmt.Sprintf("%s, %s packets lost: sealing costs the host %.3f s/GB inline, above mode off, and %s in mode nic; the adapter spends %.3f s/GB more than in mode off.",
		connections(n), percent(loss), of(inline), left, nic.Median(NICCPU)-off.Median(NICCPU))
}

// wins says which mode has the least of a metric.
func wins(cells []*Cell, key, what, unit string) string {
	first := best(cells, key)
	if first == nil {
		return ""
	}
	second := runnerUp(cells, first, key)
	if second == nil {
		return ""
	}
	a, b := first.Median(key), second.Median(key)
	if saved, agreed := against(first, second, key); !agreed {
		return fmt.Sprintf("%v or %v %s (%.3f and %.3f %s, the rounds disagree)", first.Mode, second.Mode, what, a, b, unit)
	} else {
		return fmt.Sprintf("%v %s, %.3f %s, %s less than %v (%.3f)", first.Mode, what, a, unit, whole(saved), second.Mode, b)
	}
}

// runnerUp is the cell with the least median of a metric but for one; nil if there is none.
func runnerUp(cells []*Cell, first *Cell, key string) *Cell {
	return best(slices.DeleteFunc(slices.Clone(cells), func(c *Cell) bool { return c == first }), key)
}

// whole is a share in whole percents.
func whole(share float64) string { return fmt.Sprintf("%d%%", int(math.Round(100*share))) }

// against is how much less a has than b of a metric, as a share: the median of the rounds. agreed says that the
// rounds have the same sign, but for one in five.
func against(a, b *Cell, key string) (saved float64, agreed bool) {
	at := slices.IndexFunc(metrics, func(m metric) bool { return m.key == key })
	var values []float64
	for i := range min(len(a.Rounds), len(b.Rounds)) {
		values = append(values, 1-metrics[at].of(&a.Rounds[i])/metrics[at].of(&b.Rounds[i]))
	}
	s, ok := spreadOf(values)
	if !ok {
		return 0, false
	}
	slices.Sort(values)
	n, dissent := len(values), len(values)/5
	return s.Median, values[dissent] > 0 || values[n-1-dissent] < 0
}

// A pay is what the adapter saves of the host's processor time against inline at one loss rate.
type pay struct {
	loss  float64
	nic   *Cell
	saved float64 // share; below 0: it costs more
	sure  bool    // the rounds agree
}

// pays lists them, ascending by loss.
func (r *Report) pays(n int) (list []pay) {
	for _, loss := range r.losses(n) {
		nic, inline := r.find(ktls.ModeNIC, loss, n), r.find(ktls.ModeInline, loss, n)
		if nic == nil || inline == nil {
			continue
		}
		saved, sure := against(nic, inline, HostCPU)
		list = append(list, pay{loss, nic, saved, sure})
	}
	return list
}

// paying says how far the adapter's saving carries.
func (r *Report) paying(n int) string {
	pays := r.pays(n)
	if len(pays) == 0 {
		return ""
	}
	if !slices.ContainsFunc(pays, func(p pay) bool { return !p.nic.unused() }) {
		return fmt.Sprintf("%s: the adapter sealed nothing, so that mode nic is inline here: %s.", connections(n), pays[0].nic.switches())
	}
	var parts []string
	for _, p := range pays {
		text := fmt.Sprintf("%s at %s", whole(p.saved), percent(p.loss))
		if !p.sure {
			text += " (rounds disagree)"
		}
		parts = append(parts, text)
	}
	return fmt.Sprintf("%s: against inline the NIC saves of the host's CPU %s. %s", connections(n), strings.Join(parts, ", "), stops(pays))
}

// stops says where it stops to pay.
func stops(pays []pay) string {
	at := slices.IndexFunc(pays, func(p pay) bool { return p.saved <= 0 || !p.sure })
	switch {
	case at < 0:
		return "It pays at every loss rate measured."
	case !pays[at].sure:
		return fmt.Sprintf("At %s it is undecided: measure longer, or more rounds.", percent(pays[at].loss))
	case at == 0:
		return fmt.Sprintf("It does not pay at %s already.", percent(pays[0].loss))
	}
	return fmt.Sprintf("It stops paying between %s and %s.", percent(pays[at-1].loss), percent(pays[at].loss))
}

// change says what costs most where the adapter pays least, and what would change that.
func (r *Report) change(n int) string {
	pays := r.pays(n)
	if len(pays) == 0 {
		return ""
	}
	p := slices.MinFunc(pays, func(a, b pay) int {
		if a.saved < b.saved {
			return -1
		}
		return 1
	})
	if p.nic.unused() && p.loss == 0 {
		return ""
	}
	var parts []string
	if by := p.nic.Median(Offloaded); by < 0.9 {
		text := fmt.Sprintf("only %.0f%% of the bytes were sealed by it", 100*by)
		if why := p.nic.switches(); why != "" {
			text += ": " + why
		}
		parts = append(parts, text)
	}
	if text := p.resyncs(); text != "" {
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: where the NIC saves least, at a loss of %s, %s.", connections(n), percent(p.loss), strings.Join(parts, "; "))
}

// resyncs says what they fetch, and what shorter records would.
func (p *pay) resyncs() string {
	factor, n := p.nic.Median(ReDMA), p.nic.Median(Resyncs)
	if math.IsNaN(factor) || factor < 1.005 || p.loss == 0 {
		return ""
	}
	more := func(f float64) string { return fmt.Sprintf("%.1f%%", 100*(f-1)) }
	return fmt.Sprintf("%.0f resyncs per GB made it fetch %s more than it sent; by the arithmetic that is %s for the %s that it sealed, %s if it seals everything, and %s with records of 4 KiB",
		n, more(factor), more(p.nic.Median(Predicted)), whole(p.nic.Median(Offloaded)), more(p.nic.Median(AllSealed)), more(amplification(p.loss, 4<<10, segment)))
}
