package compare

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"ocaserve/ktls"
)

const (
	chartWidth = 440.0
	leftEdge   = 52.0            // names of modes stand before it
	rightEdge  = chartWidth - 70 // of the times, whose last label may be as wide as 140
	besideBar  = 5               // between a bar and its value
	rowHeight  = 17.0
	groupGap   = 24.0
)

// A layer is a part of a stacked bar: what it is called, its class, and a cell's value.
type layer struct {
	name, class string
	of          func(*Cell) float64
}

// A bars is a chart of horizontal bars: a row for each mode, a group for each loss rate.
type bars struct {
	title  string
	layers []layer
	spread string // the metric whose range is drawn over the first layer; "": none
	format func(float64) string
	apart  bool // the layers are written one by one: medians of parts need not add up to the median of the sum
}

func median(key string, scale float64) func(*Cell) float64 {
	return func(c *Cell) float64 {
		if v := c.Median(key) * scale; !math.IsNaN(v) {
			return v
		}
		return 0
	}
}

// draw makes the chart of the cells with n connections.
func (b *bars) draw(r *Report, n int) template.HTML {
	cv, groups := &canvas{width: chartWidth, title: b.title}, r.groupsOf(n)
	high, widest := 0.0, 0.0
	for _, g := range groups {
		for _, c := range g.cells {
			high = max(high, b.total(c), c.Figures[b.spread].Max)
			widest = max(widest, textWidth(b.value(c)))
		}
	}
	scale := ticks(high, 4)
	right := chartWidth - besideBar - widest - 4
	x := func(v float64) float64 { return leftEdge + (right-leftEdge)*v/scale[len(scale)-1] }
	y := 4.0
	bottom := y + rowsHeight(groups)
	cv.grid(scale, x, y, bottom)
	for _, g := range groups {
		y = cv.group(y, g.loss)
		for _, c := range g.cells {
			b.row(cv, c, x, y)
			y += rowHeight
		}
	}
	cv.height = bottom + 22
	return cv.html()
}

func (b *bars) total(c *Cell) (sum float64) {
	for _, l := range b.layers {
		sum += l.of(c)
	}
	return sum
}

// row draws the bar of one cell.
func (b *bars) row(cv *canvas, c *Cell, x func(float64) float64, y float64) {
	cv.text(leftEdge-6, y+12, "end", "name", c.Mode.String())
	at := 0.0
	for _, l := range b.layers {
		v := l.of(c)
		tip := fmt.Sprintf("%v, loss %s: %s %s", c.Mode, percent(c.Loss), l.name, b.format(v))
		cv.rect(x(at), y+2.5, x(at+v)-x(at), rowHeight-5, l.class+" "+c.Mode.String(), tip)
		at += v
	}
	if s, ok := c.Figures[b.spread]; ok && s.Min < s.Max {
		cv.line(x(s.Min), y+rowHeight/2, x(s.Max), y+rowHeight/2, "whisker")
	}
	cv.text(x(max(at, c.Figures[b.spread].Max))+besideBar, y+12, "start", "value", b.value(c))
}

// value is what stands behind a cell's bar.
func (b *bars) value(c *Cell) string {
	if !b.apart {
		return b.format(b.total(c))
	}
	var parts []string
	for _, l := range b.layers {
		parts = append(parts, b.format(l.of(c)))
	}
	return strings.Join(parts, " + ")
}

// grid draws the lines and numbers of the x axis.
func (c *canvas) grid(scale []float64, x func(float64) float64, top, bottom float64) {
	for _, v := range scale {
		c.line(x(v), top+14, x(v), bottom+2, "grid")
		c.text(x(v), bottom+16, "middle", "axis", short(v))
	}
}

// group writes the heading of a loss rate, and returns where its rows begin.
func (c *canvas) group(y, loss float64) float64 {
	c.text(leftEdge, y+groupGap-8, "start", "group", "loss "+percent(loss))
	return y + groupGap
}

// A group is the cells at one loss rate.
type group struct {
	loss  float64
	cells []*Cell
}

func (r *Report) groupsOf(n int) (list []group) {
	r.groups(func(conns int, loss float64, cells []*Cell) {
		if conns == n {
			list = append(list, group{loss, cells})
		}
	})
	return list
}

func rowsHeight(groups []group) (h float64) {
	for _, g := range groups {
		h += groupGap + rowHeight*float64(len(g.cells))
	}
	return h
}

// waits draws the times to first byte: from the median to the 99th percentile, on a logarithmic scale.
func (r *Report) waits(n int) template.HTML {
	cv, groups := &canvas{width: chartWidth, title: "Time to first byte"}, r.groupsOf(n)
	low, high := math.Inf(1), 0.0
	for _, g := range groups {
		for _, c := range g.cells {
			if p50, p99 := c.Median(TTFB50), c.Median(TTFB99); p50 > 0 {
				low, high = min(low, p50), max(high, p99)
			}
		}
	}
	if high == 0 {
		return ""
	}
	from, to := math.Floor(math.Log10(low*1e3)), math.Ceil(math.Log10(high*1e3))
	to = max(to, from+1)
	x := func(seconds float64) float64 {
		return leftEdge + (rightEdge-leftEdge)*(math.Log10(seconds*1e3)-from)/(to-from)
	}
	y := 4.0
	bottom := y + rowsHeight(groups)
	for e := from; e <= to; e++ {
		at := x(math.Pow(10, e) / 1e3)
		cv.line(at, y+14, at, bottom+2, "grid")
		cv.text(at, bottom+16, "middle", "axis", short(math.Pow(10, e))+" ms")
	}
	for _, g := range groups {
		y = cv.group(y, g.loss)
		for _, c := range g.cells {
			cv.wait(c, x, y)
			y += rowHeight
		}
	}
	cv.height = bottom + 22
	return cv.html()
}

// wait draws one cell's times.
func (c *canvas) wait(cell *Cell, x func(float64) float64, y float64) {
	c.text(leftEdge-6, y+12, "end", "name", cell.Mode.String())
	p50, p99, mode := cell.Median(TTFB50), cell.Median(TTFB99), cell.Mode.String()
	if !(p50 > 0) {
		return
	}
	mid := y + rowHeight/2
	c.line(x(p50), mid, x(p99), mid, "range "+mode)
	c.circle(x(p50), mid, 4.5, "dot "+mode, fmt.Sprintf("%s, loss %s: p50 %.2f ms", mode, percent(cell.Loss), p50*1e3))
	c.circle(x(p99), mid, 4.5, "ring "+mode, fmt.Sprintf("%s, loss %s: p99 %.2f ms", mode, percent(cell.Loss), p99*1e3))
}

// redma draws what the adapter fetched for each byte it sent, against loss, and what the arithmetic says.
func (r *Report) redma(n int) template.HTML {
	var cells []*Cell
	for _, loss := range r.losses(n) {
		if c := r.find(ktls.ModeNIC, loss, n); c != nil && !c.unused() {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return ""
	}
	const height, bottom, top = 300.0, 256.0, 16.0
	const left, right = leftEdge + 4, chartWidth - 24 // half of a label stands beyond
	cv := &canvas{width: chartWidth, height: height, title: "Bytes fetched over the bus for each byte sent, against loss"}
	last := cells[len(cells)-1]
	most := max(last.Loss, 0.01) * 1.15
	record := recordLen(cells)
	xs, ys := ticks(most*100, 5), ticks(100*max(amplification(most, record, segment), highest(cells))-100, 4)
	x := func(p float64) float64 { return left + (right-left)*p*100/xs[len(xs)-1] }
	y := func(f float64) float64 { return bottom - (bottom-top)*(f-1)*100/ys[len(ys)-1] }
	for _, v := range ys {
		cv.line(left, y(1+v/100), right, y(1+v/100), "grid")
		cv.text(left-6, y(1+v/100)+4, "end", "axis", "+"+short(v)+"%")
	}
	for _, v := range xs {
		cv.text(x(v/100), bottom+18, "middle", "axis", short(v)+"%")
	}
	cv.text((left+right)/2, height-6, "middle", "axis", "packets lost")
	end := xs[len(xs)-1] / 100
	cv.arithmetic("curve", record, end, x, y)
	cv.arithmetic("curve faint", 4<<10, end, x, y)
	for _, c := range cells {
		cv.fetched(c, x, y)
	}
	return cv.html()
}

// arithmetic draws what the adapter fetches if it seals everything, by the length of records, up to a loss rate.
func (c *canvas) arithmetic(class string, record, end float64, x, y func(float64) float64) {
	const parts = 8
	var points [][2]float64
	for i := range parts + 1 {
		p := end * float64(i) / parts
		points = append(points, [2]float64{x(p), y(amplification(p, record, segment))})
	}
	c.path(class, points)
}

// fetched draws one measured point with its spread and its prediction, and how much the adapter sealed if that is not all.
func (c *canvas) fetched(cell *Cell, x, y func(float64) float64) {
	s, p := cell.Figures[ReDMA], cell.Median(Predicted)
	c.circle(x(cell.Loss), y(p), 7.5, "ring nic", fmt.Sprintf("loss %s: predicted factor %.3f", percent(cell.Loss), p))
	c.line(x(cell.Loss), y(s.Min), x(cell.Loss), y(s.Max), "whisker")
	text := fmt.Sprintf("%.0f%% by NIC", 100*cell.Median(Offloaded))
	c.circle(x(cell.Loss), y(s.Median), 5, "dot nic", fmt.Sprintf("loss %s: factor %.3f, %s", percent(cell.Loss), s.Median, text))
	if cell.Median(Offloaded) >= 0.995 {
		return
	}
	const beside = 9
	at, anchor := x(cell.Loss)+beside, "start"
	if at+textWidth(text) > c.width {
		at, anchor = x(cell.Loss)-beside, "end"
	}
	c.text(at, y(s.Median)+4, anchor, "value", text)
}

// recordLen is the length of records that were measured, bytes, which amplification is linear in.
func recordLen(cells []*Cell) float64 {
	for i := len(cells) - 1; i >= 0; i-- {
		if c := cells[i]; c.Loss > 0 {
			return segment * (1 + (c.Median(AllSealed)-1)/(amplification(c.Loss, 2*segment, segment)-1))
		}
	}
	return maxRecord
}

func highest(cells []*Cell) (f float64) {
	for _, c := range cells {
		f = max(f, c.Figures[ReDMA].Max)
	}
	return f
}
