package content

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	segmentSeconds = 4
	framesPerSec   = 25
	maxSegments    = 100000
)

// A Rung is one rendition of a title: 16:9 pictures of Height lines at Kbps kilobits per second, counted over
// whole segments, container included.
type Rung struct{ Height, Kbps int }

// DefaultLadder is what Gen writes unless told otherwise.
var DefaultLadder = []Rung{{360, 800}, {720, 3000}, {1080, 6000}}

// String is the rung's name and folder: "720p-3000k".
func (r Rung) String() string { return fmt.Sprintf("%dp-%dk", r.Height, r.Kbps) }

// width keeps 16:9, even.
func (r Rung) width() int { return (r.Height*16/9 + 1) &^ 1 }

// segmentBytes is the size of each media segment, unless that is too little for its pictures.
func (r Rung) segmentBytes() int64 { return int64(r.Kbps) * 1000 / 8 * segmentSeconds }

func (r Rung) check() error {
	if r.Height < 16 || r.Height > 4320 || r.Height%2 != 0 {
		return fmt.Errorf("content: rung %s: the height must be even, from 16 to 4320", r)
	}
	if r.Kbps < 1 || r.Kbps > 1000000 {
		return fmt.Errorf("content: rung %s: the bitrate must be from 1k to 1000000k", r)
	}
	return nil
}

// parseRung reads what String writes, and nothing else.
func parseRung(s string) (r Rung, ok bool) {
	h, k, _ := strings.Cut(s, "-")
	r.Height, _ = strconv.Atoi(strings.TrimSuffix(h, "p"))
	r.Kbps, _ = strconv.Atoi(strings.TrimSuffix(k, "k"))
	return r, r.String() == s && r.check() == nil
}

// ParseLadder reads rungs like "360p-800k,720p-3000k" (also "720p@3M", "720p:3000k").
func ParseLadder(s string) ([]Rung, error) {
	var ladder []Rung
	for field := range strings.SplitSeq(s, ",") {
		field = strings.TrimSpace(field)
		name := strings.NewReplacer("@", "-", ":", "-").Replace(field)
		if m, ok := strings.CutSuffix(name, "M"); ok {
			name = m + "000k"
		}
		r, ok := parseRung(name)
		if !ok {
			return nil, fmt.Errorf("content: %q is not a rung: write height and bitrate, like 720p-3000k", field)
		}
		ladder = append(ladder, r)
	}
	return ladder, nil
}

// A title is all that determines the bytes of one: its folder's name says it.
type title struct {
	number  int
	seconds int
	ladder  []Rung
}

// String is the title's folder: "title-0001_60s_360p-800k_720p-3000k".
func (t title) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "title-%04d_%ds", t.number, t.seconds)
	for _, r := range t.ladder {
		b.WriteByte('_')
		b.WriteString(r.String())
	}
	return b.String()
}

func (t title) segments() int { return t.seconds / segmentSeconds }

// parseTitle reads what String writes, and nothing else.
func parseTitle(s string) (t title, ok bool) {
	fields := strings.Split(s, "_")
	if len(fields) < 3 {
		return title{}, false
	}
	t.number, _ = strconv.Atoi(strings.TrimPrefix(fields[0], "title-"))
	t.seconds, _ = strconv.Atoi(strings.TrimSuffix(fields[1], "s"))
	for _, f := range fields[2:] {
		r, ok := parseRung(f)
		if !ok {
			return title{}, false
		}
		t.ladder = append(t.ladder, r)
	}
	whole := t.seconds > 0 && t.seconds%segmentSeconds == 0 && t.segments() <= maxSegments
	return t, whole && t.String() == s
}

// wholeSegments rounds a duration up to seconds that are a whole number of segments.
func wholeSegments(d time.Duration) int {
	const segment = segmentSeconds * time.Second
	return int((d+segment-1)/segment) * segmentSeconds
}
