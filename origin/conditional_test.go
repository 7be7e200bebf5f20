package origin

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	before = "Thu, 29 Feb 2024 11:59:59 GMT"
	after  = "Thu, 29 Feb 2024 12:00:01 GMT"
)

// A condition is a field and what it says about a.txt: 'y' true, 'n' false, '-' absent or to be ignored.
type condition struct {
	field string
	truth byte
}

// TestConditionMatrix holds every combination of conditions against the steps of RFC 9110 section 13.2.2.
func TestConditionMatrix(t *testing.T) {
	r := newRig(t, someFiles)
	tag := etagOf(t, r, "/a.txt")
	match := []condition{
		{"", '-'}, {"If-Match: " + tag, 'y'}, {"If-Match: *", 'y'}, {`If-Match: "x", ` + tag, 'y'},
		{`If-Match: "x"`, 'n'}, {"If-Match: W/" + tag, 'n'}, {"If-Match: ", 'n'},
	}
	unmodified := []condition{
		{"", '-'}, {"If-Unmodified-Since: " + fileDate, 'y'}, {"If-Unmodified-Since: " + before, 'n'},
		{"If-Unmodified-Since: yesterday", '-'},
	}
	none := []condition{
		{"", '-'}, {"If-None-Match: " + tag, 'n'}, {"If-None-Match: W/" + tag, 'n'}, {"If-None-Match: *", 'n'},
		{`If-None-Match: "x"`, 'y'}, {"If-None-Match: \"x\"\r\nIf-None-Match: \"a,b\", " + tag, 'n'},
	}
	modified := []condition{
		{"", '-'}, {"If-Modified-Since: " + fileDate, 'n'}, {"If-Modified-Since: " + after, 'n'},
		{"If-Modified-Since: " + before, 'y'}, {"If-Modified-Since: ", '-'},
		{"If-Modified-Since: Thursday, 29-Feb-24 12:00:00 GMT", 'n'}, {"If-Modified-Since: Thu Feb 29 12:00:00 2024", 'n'},
	}
	p := r.dial()
	for _, im := range match {
		for _, ius := range unmodified {
			for _, inm := range none {
				for _, ims := range modified {
					want := "200"
					switch {
					case im.truth == 'n', im.field == "" && ius.truth == 'n':
						want = "412"
					case inm.truth == 'n', inm.field == "" && ims.truth == 'n':
						want = "304"
					}
					var fields []string
					for _, c := range []condition{ims, inm, ius, im} {
						if c.field != "" {
							fields = append(fields, c.field)
						}
					}
					if got := p.roundTrip(get("/a.txt", fields...)); got[9:12] != want {
						t.Errorf("%q: %s, want %s", fields, got[9:12], want)
					}
				}
			}
		}
	}
}

func TestIfRange(t *testing.T) {
	r := newRig(t, someFiles)
	tag := etagOf(t, r, "/a.txt")
	for _, tc := range []struct {
		field string
		want  string
	}{
		{"If-Range: " + tag, "206"},
		{"If-Range: W/" + tag, "200"},
		{`If-Range: "x"`, "200"},
		{"If-Range: " + fileDate, "206"},
		{"If-Range: " + after, "200"},
		{"If-Range: " + before, "200"},
		{"If-Range: rubbish", "200"},
		{"If-Range: ", "200"},
		{"If-Range: " + tag + "\r\nIf-Range: " + tag, "200"},
		{"Range: bytes=1-1", "200"}, // a second Range field: neither counts
	} {
		got := r.dial().roundTrip(get("/a.txt", "Range: bytes=0-0", tc.field))
		if got[9:12] != tc.want {
			t.Errorf("%q: %s, want %s", tc.field, got[9:12], tc.want)
		}
	}
	// Step 5 comes last: a precondition that fails wins over the range, and over a range that does not exist.
	for _, tc := range []struct{ field, want string }{
		{"If-None-Match: " + tag, "304"}, {`If-Match: "x"`, "412"}, {"If-Match: *", "416"},
	} {
		if got := r.dial().roundTrip(get("/a.txt", "Range: bytes=99-", tc.field)); got[9:12] != tc.want {
			t.Errorf("%q with an impossible range: %s, want %s", tc.field, got[9:12], tc.want)
		}
	}
}

// A date counts as strong only when it is older than a second (RFC 9110 section 8.8.2.2).
func TestDateOfThisSecondIsWeak(t *testing.T) {
	v := validators{etag: `"t"`, modified: 1000}
	p := preconditions{ifRange: appendDate(nil, 1000), hasRange: true}
	if p.rangeApplies(v, 1000) || !p.rangeApplies(v, 1001) {
		t.Error("a date of the current second must not select a range")
	}
}

// RFC 9110 section 8.8.2.1: "An origin server with a clock MUST NOT generate a Last-Modified date that is later
// than the server's time of message origination".
func TestDateInTheFuture(t *testing.T) {
	r := newRig(t, someFiles)
	future := epoch.Add(time.Hour)
	if err := os.Chtimes(r.path("a.txt"), future, future); err != nil {
		t.Fatal(err)
	}
	if got := r.dial().roundTrip(get("/a.txt")); !strings.Contains(got, "\r\nLast-Modified: "+epochDate+"\r\n") {
		t.Errorf("got %q", got)
	}
	if got := r.dial().roundTrip(get("/a.txt", "If-Modified-Since: "+epochDate)); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("a date that stood for a later one: %.30q", got)
	}
}

func TestEntityTagLists(t *testing.T) {
	for list, want := range map[string]string{
		`"a"`: `"a"`, ` "a" , W/"b"`: `"a" W/"b"`, `"a,b","c"`: `"a,b" "c"`, `a`: ``, `"a`: ``, `W/`: ``, `,,"a"`: `"a"`, `"a" x "b"`: `"a"`,
	} {
		var got []string
		for rest := []byte(list); ; {
			var tag []byte
			if tag, rest = nextEntityTag(rest); tag == nil {
				break
			}
			got = append(got, string(tag))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", list, s, want)
		}
	}
}

// RFC 3986 sections 2.4 and 5.2.4: decoded once, then dot segments removed, and nothing climbs out.
func TestPaths(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a/b": "/a/b", "/a//b/": "/a/b/", "/a/./b": "/a/b", "/a/../b": "/b", "/a/b/..": "/a/", "/a/.": "/a/",
		"/%61": "/a", "/%2561": "/%61", "/a%20b": "/a b", "/..": "400", "/a/../..": "400", "/%2e%2e/x": "400", "/.%2E": "400",
		"/%2e/x": "/x", "/a%2fb": "404", "/%2F..%2f": "404", "/%00": "400", "/%0a": "400", "/%7f": "400", "/%": "400", "/%4": "400",
		"/%zz": "400", "/...": "/...", "/a\\..\\b": "/a\\..\\b", "/%5c": "/\\", "/%ff": "/\xff", "/;/..;x": "/;/..;x",
	} {
		got, status := appendPath(nil, []byte(in))
		if status != 0 {
			got = fmt.Append(nil, status)
		}
		if string(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e/", "/a//%2F", "/%00", "/a/b/./.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if in == "" || in[0] != '/' {
			return
		}
		got, status := appendPath(nil, []byte(in))
		if status != 0 {
			return
		}
		clean := string(got)
		for _, segment := range strings.Split(strings.TrimSuffix(clean[1:], "/"), "/") {
			if segment == "." || segment == ".." || segment == "" && clean != "/" {
				t.Fatalf("%q became %q", in, clean)
			}
		}
		// What we send out as a Location comes back as the same path.
		if again, status := appendPath(nil, appendEncoded(nil, got)); status != 0 || string(again) != clean {
			t.Fatalf("%q became %q, and encoded and decoded %q (%d)", in, clean, again, status)
		}
	})
}
