package origin

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Each of these has let a request through some proxy that its origin saw differently. The status is what we
// answer; 0 means that it is fine, and that nothing stricter may be made of it.
var smuggling = []struct {
	name, head string
	status     int
}{
	{"plain", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"leading empty line", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"five leading empty lines", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"bare LF ends the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
	{"bare LF ends a field", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
	{"bare LF ends the head", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400},
	{"bare LF comes first", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", 400},
	{"bare CR in the target", "GET /\rx HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x7fb\r\n\r\n", 400},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"tab in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\r\n\r\n", 0},
	{"obs-text in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n", 0},
	{"UTF-8 in the target", "GET /\u00e4 HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"obs-fold", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
	{"obs-fold with a tab", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb: c\r\n\r\n", 400},
	{"first field folded", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
	{"space in a name", "GET / HTTP/1.1\r\nHost: h\r\nX Y: z\r\n\r\n", 400},
	{"empty name", "GET / HTTP/1.1\r\nHost: h\r\n: z\r\n\r\n", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length\r\n\r\n", 400},
	{"empty value", "GET / HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n", 0},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"tab for a space", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"space behind the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
	{"space before the method", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"HTTP/0.9", "GET /\r\n\r\n", 400},
	{"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"relative target", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"authority-form", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"absolute-form", "GET HTTPS://h:443/x?y HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"absolute-form without a path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"absolute-form without a host", "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"absolute-form with userinfo", "GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 0},
	{"version 3.0", "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
	{"version 0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
	{"method with a bracket", "G[T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"endless method", strings.Repeat("G", 40) + " / HTTP/1.1\r\nHost: h\r\n\r\n", 501},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", 0},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
	{"two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: h\r\nhost: i\r\n\r\n", 400},
	{"empty Host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400},
	{"Host list", "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n", 400},
	{"Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 400},
	{"Host with userinfo", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
	{"Host with a bad port", "GET / HTTP/1.1\r\nHost: h:8o\r\n\r\n", 400},
	{"Host with a port", "GET / HTTP/1.1\r\nHost: h:8443\r\n\r\n", 0},
	{"Host is IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
	{"Host is open IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
	{"Content-Length 0", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 0},
	{"two Content-Lengths", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
	{"two equal Content-Lengths", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n", 400},
	{"Content-Length list", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n", 400},
	{"signed Content-Length", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", 400},
	{"negative Content-Length", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
	{"hex Content-Length", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n", 400},
	{"empty Content-Length", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400},
	{"Content-Length beyond 2^64", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\n", 400},
	{"chunked", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
	{"identity", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 501},
	{"obscure coding", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
	{"CL.TE", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"TE.CL", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
	{"chunked in 1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"too many fields", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", maxFields) + "\r\n", 431},
}

// Whole, and one byte at a time, a head gets the same verdict (RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.1 and 6.3); and what we
// take, fasthttp's parser takes.
func TestSmuggling(t *testing.T) {
	for _, tc := range smuggling {
		t.Run(tc.name, func(t *testing.T) {
			var whole, drip headScan
			n, status := whole.scan([]byte(tc.head))
			if status != tc.status || (status == 0) != (n == len(tc.head)) {
				t.Errorf("%q: %d bytes, status %d, want %d", tc.head, n, status, tc.status)
			}
			dn, ds := 0, 0
			for i := 1; i <= len(tc.head) && dn == 0 && ds == 0; i++ {
				dn, ds = drip.scan([]byte(tc.head[:i]))
			}
			if dn != n || ds != status {
				t.Errorf("byte by byte: %d, %d; whole: %d, %d", dn, ds, n, status)
			}
			if status == 0 && !newRequest().parse([]byte(tc.head), &whole) {
				t.Error("fasthttp's parser refuses what we take")
			}
		})
	}
}

// The connection ends with a head that is not understood: what follows it is never taken for a request.
func TestNothingIsReadBehindABadHead(t *testing.T) {
	r := newRig(t, someFiles)
	for _, tc := range smuggling {
		if tc.status == 0 {
			continue
		}
		p := r.dial()
		got := p.roundTrip(tc.head + get("/a.txt"))
		if n := strings.Count(got, "HTTP/1.1 "); n != 1 || !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", tc.status)) || !p.shut {
			t.Errorf("%s: %d answers, closed: %v: %.60q", tc.name, n, p.shut, got)
		}
	}
}

func TestHeadLimits(t *testing.T) {
	build := func(target, field int) []byte {
		return []byte("GET /" + strings.Repeat("t", target-1) + " HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("v", field) + "\r\n\r\n")
	}
	overhead := len(build(1, 0))
	for _, tc := range []struct {
		head   []byte
		status int
	}{
		{build(maxTarget, 0), 0},
		{build(maxTarget+1, 0), 414},
		{build(1, maxHead-overhead), 0},
		{build(1, maxHead-overhead+1), 431},
		{build(1, maxHead-overhead+1)[:maxHead], 431},
		{[]byte("GET /" + strings.Repeat("x", maxTarget+maxMethod)), 414},
	} {
		var h headScan
		if n, status := h.scan(tc.head); status != tc.status {
			t.Errorf("head of %d bytes: %d, status %d, want %d", len(tc.head), n, status, tc.status)
		}
	}
}

// The model of the fuzz test is the grammar, written down once more as expressions.
var (
	grammarLine = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) " +
		`(\*|/[^\x00-\x20\x7f]*|(?i:https?)://` + grammarHost + `(?:[/?][^\x00-\x20\x7f]*)?) HTTP/1\.([0-9])$`)
	grammarField = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):" + `([\t\x20-\x7e\x80-\xff]*)$`)
	grammarName  = regexp.MustCompile(`^` + grammarHost + `$`)
	grammarInt   = regexp.MustCompile(`^[0-9]{1,18}$`)
)

const grammarHost = `(?:\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?`

// latin1 turns bytes into code points, so that an expression sees bytes.
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// modelAccepts says whether b is exactly one head that we answer with something better than a refusal.
func modelAccepts(b []byte) bool {
	text := latin1(b)
	if !strings.HasSuffix(text, "\r\n\r\n") || len(b) > maxHead {
		return false
	}
	blank := 0
	for strings.HasPrefix(text, "\r\n") {
		text, blank = text[2:], blank+1
	}
	lines := strings.Split(strings.TrimSuffix(text, "\r\n\r\n"), "\r\n")
	m := grammarLine.FindStringSubmatch(lines[0])
	if m == nil || blank > maxLeading || len([]rune(m[2])) > maxTarget || len(lines)-1 > maxFields || m[2] == "*" && m[1] != "OPTIONS" {
		return false
	}
	seen := map[string]int{}
	for _, line := range lines[1:] {
		f := grammarField.FindStringSubmatch(line)
		if f == nil {
			return false
		}
		name, value := strings.ToLower(f[1]), strings.Trim(f[2], " \t")
		seen[name]++
		if name == "host" && !grammarName.MatchString(value) || name == "content-length" && !grammarInt.MatchString(value) {
			return false
		}
	}
	return seen["host"] <= 1 && seen["content-length"] <= 1 && seen["transfer-encoding"] == 0 && (m[3] == "0" || seen["host"] == 1)
}

func FuzzHead(f *testing.F) {
	for _, tc := range smuggling {
		f.Add([]byte(tc.head), uint16(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var whole, split headScan
		n, status := whole.scan(b)
		first := min(int(cut), len(b))
		sn, ss := split.scan(b[:first])
		if sn == 0 && ss == 0 {
			sn, ss = split.scan(b)
		}
		if status == 414 || status == 431 {
			// Which limit speaks first may depend on how the bytes arrive; that one speaks does not.
			if ss == 0 {
				t.Fatalf("whole: %d; cut at %d: accepted", status, first)
			}
		} else if sn != n || ss != status && (ss != 414 && ss != 431) {
			t.Fatalf("whole: %d, %d; cut at %d: %d, %d", n, status, first, sn, ss)
		}
		if status == 0 && n == 0 {
			if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 && len(bytes.TrimLeft(b[:i], "\r\n")) > 0 {
				t.Fatalf("no verdict on a whole head")
			}
			return
		}
		head := b
		if n > 0 {
			head = b[:n]
		}
		ok := status == 0 && newRequest().parse(head, &whole)
		if want := modelAccepts(head); ok != want {
			t.Fatalf("accepted: %v (status %d), the grammar says %v\n%q", ok, status, want, head)
		}
	})
}
