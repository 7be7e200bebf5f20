package origin

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	for _, tc := range []struct {
		field string
		size  int64
		want  string // "ignore", "none", or the ranges as off+length
	}{
		{"bytes=0-0", 10, "0+1"},
		{"bytes=0-9", 10, "0+10"},
		{"bytes=0-10", 10, "0+10"},
		{"bytes=9-", 10, "9+1"},
		{"bytes=10-", 10, "none"},
		{"bytes=-1", 10, "9+1"},
		{"bytes=-10", 10, "0+10"},
		{"bytes=-11", 10, "0+10"},
		{"bytes=-0", 10, "none"},
		{"bytes=-0,0-0", 10, "0+1"},
		{"bytes=5-4", 10, "ignore"},
		{"bytes=0-1,5-4", 10, "ignore"},
		{"Bytes = 0-0", 10, "0+1"},
		{"bytes= 0-0 , ,2-2,", 10, "0+1 2+1"},
		{"bytes=", 10, "ignore"},
		{"bytes=,", 10, "ignore"},
		{"bytes", 10, "ignore"},
		{"bits=0-1", 10, "ignore"},
		{"bytes=a-b", 10, "ignore"},
		{"bytes=1", 10, "ignore"},
		{"bytes=-", 10, "ignore"},
		{"bytes=--1", 10, "ignore"},
		{"bytes=0--1", 10, "ignore"},
		{"bytes=0x0-1", 10, "ignore"},
		{"bytes=0 -1", 10, "ignore"},
		{"bytes=+0-1", 10, "ignore"},
		// 2^63 and beyond (CVE-2017-7529)
		{"bytes=0-9223372036854775807", 10, "0+10"},
		{"bytes=0-9223372036854775808", 10, "0+10"},
		{"bytes=0-18446744073709551616", 10, "0+10"},
		{"bytes=9223372036854775807-", 10, "none"},
		{"bytes=9223372036854775808-9223372036854775809", 10, "none"},
		{"bytes=-9223372036854775808", 10, "0+10"},
		{"bytes=-99999999999999999999999999", 10, "0+10"},
		{"bytes=9223372036854775806-9223372036854775807", 1<<63 - 1, "9223372036854775806+1"},
		{"bytes=0-,-9223372036854775807", 1<<63 - 1, "0+9223372036854775807"},
		// joined: overlapping, touching, transitively; the union stands where its first part stood
		{"bytes=0-1,1-2", 10, "0+3"},
		{"bytes=0-1,2-3", 10, "0+4"},
		{"bytes=0-1,3-4", 10, "0+2 3+2"},
		{"bytes=8-8,0-1,3-4,2-2", 10, "8+1 0+5"},
		{"bytes=4-5,0-1,2-9", 10, "0+10"},
		{"bytes=4-5,0-1,2-3", 10, "0+6"},
		{"bytes=20-,1-1", 10, "1+1"},
		// an empty file has no bytes to give
		{"bytes=0-", 0, "none"},
		{"bytes=-5", 0, "ignore"},
		{"bytes=-0", 0, "none"},
		// too many
		{"bytes=" + strings.Repeat("0-0,", 16), 10, "0+1"},
		{"bytes=" + strings.Repeat("0-0,", 17), 10, "ignore"},
	} {
		var s rangeSet
		if got := verdictText(&s, s.parse([]byte(tc.field), tc.size)); got != tc.want {
			t.Errorf("%.60q of %d: %s, want %s", tc.field, tc.size, got, tc.want)
		}
	}
}

func verdictText(s *rangeSet, v rangeResult) string {
	switch v {
	case rangeIgnore:
		return "ignore"
	case rangeNoneThat:
		return "none"
	}
	var out []string
	for _, r := range s.list() {
		out = append(out, fmt.Sprintf("%d+%d", r.off, r.length))
	}
	return strings.Join(out, " ")
}

var rangeGrammar = regexp.MustCompile(`(?i)^[ \t]*bytes[ \t]*=(.*)$`)
var specGrammar = regexp.MustCompile(`^(?:([0-9]+)-([0-9]*)|-([0-9]+))$`)

// modelRanges marks the bytes asked for, one by one; numbers are of any length.
func modelRanges(field string, size int64) (verdict rangeResult, wanted []bool) {
	wanted = make([]bool, size)
	m := rangeGrammar.FindStringSubmatch(field)
	if m == nil || strings.Contains(field, "\n") {
		return rangeIgnore, nil
	}
	count, empty, some := 0, false, false
	number := func(s string) *big.Int { n, _ := new(big.Int).SetString(s, 10); return n }
	for _, spec := range strings.Split(m[1], ",") {
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue
		}
		count++
		f := specGrammar.FindStringSubmatch(spec)
		if f == nil || f[3] == "" && f[2] != "" && number(f[2]).Cmp(number(f[1])) < 0 {
			return rangeIgnore, nil
		}
		if f[3] != "" && size == 0 && number(f[3]).Sign() > 0 {
			empty = true
		}
		for i := range size {
			at, left := big.NewInt(i), big.NewInt(size-i)
			var in bool
			if f[3] != "" {
				in = left.Cmp(number(f[3])) <= 0
			} else {
				in = at.Cmp(number(f[1])) >= 0 && (f[2] == "" || at.Cmp(number(f[2])) <= 0)
			}
			wanted[i] = wanted[i] || in
			some = some || in
		}
	}
	switch {
	case count > maxRanges || count == 0:
		return rangeIgnore, nil
	case some:
		return rangePartial, wanted
	case empty:
		return rangeIgnore, nil
	}
	return rangeNoneThat, nil
}

func FuzzRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=1-2,4-5,-1", "bytes=9223372036854775807-", "bytes=5-,0-3,4-4", "bytes=-0", "bytes=3-2"} {
		f.Add(s, uint8(10))
	}
	f.Fuzz(func(t *testing.T, field string, n uint8) {
		if len(field) > 512 {
			return
		}
		size := int64(n % 48)
		want, wanted := modelRanges(field, size)
		var s rangeSet
		got := s.parse([]byte(field), size)
		if got != want {
			t.Fatalf("%q of %d: %s, want verdict %d", field, size, verdictText(&s, got), want)
		}
		if got != rangePartial {
			return
		}
		covered := make([]bool, size+2)
		for _, r := range s.list() {
			if r.off < 0 || r.length <= 0 || r.off+r.length > size {
				t.Fatalf("%q of %d: range %d+%d", field, size, r.off, r.length)
			}
			for i := r.off; i < r.off+r.length; i++ {
				if covered[i] {
					t.Fatalf("%q of %d: byte %d twice", field, size, i)
				}
				covered[i] = true
			}
			if r.off > 0 && slices.ContainsFunc(s.list(), func(q byteRange) bool { return q.off+q.length == r.off }) {
				t.Fatalf("%q of %d: neighbours not joined: %s", field, size, verdictText(&s, got))
			}
		}
		if !slices.Equal(covered[:size], wanted) {
			t.Fatalf("%q of %d: %s", field, size, verdictText(&s, got))
		}
	})
}

// The parts of a multipart response are the bytes asked for, and its length is what the head says.
func TestMultipart(t *testing.T) {
	data := strings.Repeat("0123456789abcdef", 2000)
	r := newRig(t, map[string]string{"f.mp4": data})
	p := r.dial()
	got := p.roundTrip(get("/f.mp4", "Range: bytes=30000-30003, 0-4, -2, 5-5, 8190-8193"))
	const b = "FEDCBA9876543210"
	boundary := regexp.MustCompile(`multipart/byteranges; boundary=(` + b + `[0-9A-F]{16})\r\n`).FindStringSubmatch(got)
	if boundary == nil {
		t.Fatalf("no boundary in %.600q", got)
	}
	body := ""
	for _, part := range []string{"30000-30003", "0-5", "31998-31999", "8190-8193"} {
		var from, to int
		fmt.Sscanf(part, "%d-%d", &from, &to)
		body += "\r\n--" + boundary[1] + "\r\nContent-Type: video/mp4\r\nContent-Range: bytes " + part + "/32000\r\n\r\n" + data[from:to+1]
	}
	body += "\r\n--" + boundary[1] + "--\r\n"
	_, gotBody, _ := strings.Cut(got, "\r\n\r\n")
	if gotBody != body {
		t.Errorf("body\ngot  %q\nwant %q", gotBody, body)
	}
	if !strings.HasPrefix(got, head("206 Partial Content", len(body), "")) {
		t.Errorf("head %.200q, want a body of %d bytes", got, len(body))
	}
	if again := p.roundTrip(get("/f.mp4", "Range: bytes=0-0,2-2")); strings.Contains(again, boundary[1]) {
		t.Error("the boundary was used twice")
	}
	if one := p.roundTrip(get("/f.mp4", "Range: bytes=4-5,0-3")); !strings.HasSuffix(one, "\r\n\r\n012345") {
		t.Errorf("ranges that join to one are not answered as one: %q", one)
	}
}
