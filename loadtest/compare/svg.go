package compare

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// A canvas is an SVG picture that is drawn top to bottom. Colours are classes of the page's style sheet, so that
// light and dark are settled there.
type canvas struct {
	width, height float64
	title         string // what a reader who does not see it is told
	body          strings.Builder
}

func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (c *canvas) rect(x, y, w, h float64, class, tip string) {
	fmt.Fprintf(&c.body, `<rect x="%s" y="%s" width="%s" height="%s" class="%s">`, num(x), num(y), num(max(w, 0)), num(h), class)
	c.tip(tip)
	c.body.WriteString("</rect>\n")
}

func (c *canvas) circle(x, y, r float64, class, tip string) {
	fmt.Fprintf(&c.body, `<circle cx="%s" cy="%s" r="%s" class="%s">`, num(x), num(y), num(r), class)
	c.tip(tip)
	c.body.WriteString("</circle>\n")
}

// tip is what a pointer that rests on the shape brings up.
func (c *canvas) tip(text string) {
	if text != "" {
		fmt.Fprintf(&c.body, "<title>%s</title>", html.EscapeString(text))
	}
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.body, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`+"\n", num(x1), num(y1), num(x2), num(y2), class)
}

// text writes at x; anchor is start, middle or end.
func (c *canvas) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(&c.body, `<text x="%s" y="%s" text-anchor="%s" class="%s">%s</text>`+"\n", num(x), num(y), anchor, class, html.EscapeString(text))
}

// textWidth is about how wide a text of the style sheet's size is, in a wide font.
func textWidth(text string) (w float64) {
	const size = 11.5
	for _, r := range text {
		switch r {
		case '.', ',', ' ', ':':
			w += 0.32 * size
		case '%', '+', 'm', 'w', 'M', 'N', 'C':
			w += 0.95 * size
		default:
			w += 0.64 * size
		}
	}
	return w
}

// path draws a line through points.
func (c *canvas) path(class string, points [][2]float64) {
	var d strings.Builder
	for i, p := range points {
		d.WriteByte("ML"[min(i, 1)])
		d.WriteString(num(p[0]) + " " + num(p[1]))
	}
	fmt.Fprintf(&c.body, `<path d="%s" class="%s"/>`+"\n", d.String(), class)
}

// html is the picture as an element of a page.
func (c *canvas) html() template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %s %s" role="img" aria-label="%s">`+"\n%s</svg>",
		num(c.width), num(c.height), html.EscapeString(c.title), c.body.String()))
}

// ticks are round values from 0 to at least high, about n of them.
func ticks(high float64, n int) (list []float64) {
	if !(high > 0) {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(high/float64(n))))
	for _, f := range []float64{1, 2, 2.5, 5, 10} {
		if step*f*float64(n) >= high {
			step *= f
			break
		}
	}
	for i := 0; ; i++ {
		v := float64(i) * step
		list = append(list, v)
		if v >= high*(1-1e-9) {
			return list
		}
	}
}

// short is a number as an axis shows it.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
