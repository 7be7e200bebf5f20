package origin

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var someFiles = map[string]string{
	"a.txt": "0123456789", "empty.bin": "", "v/master.m3u8": "#EXTM3U\n", "v/s1.m4s": strings.Repeat("segment ", 2000),
	"v/sp ace.vtt": "WEBVTT\n", "dir/index.html": "<p>hello", "list/x<y>.txt": "x", "list/sub/": "",
}

const cors = "Access-Control-Allow-Origin: *\r\n" +
	"Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, Date, ETag, Last-Modified, Server\r\n" +
	"Timing-Allow-Origin: *\r\n"

// head is the beginning of every response.
func head(status string, length int, extra string) string {
	h := "HTTP/1.1 " + status + "\r\nServer: ocaserve\r\nDate: " + epochDate + "\r\n"
	if length >= 0 {
		h += fmt.Sprintf("Content-Length: %d\r\n", length)
	}
	return h + extra + cors
}

// errorOf is a whole error response; fields come before Cache-Control.
func errorOf(status, connection, fields string, body bool) string {
	text := status + "\n"
	r := head(status, len(text), connection) +
		"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n" + fields
	if status[0] >= '4' {
		r += "Cache-Control: no-store\r\n"
	}
	if r += "\r\n"; body {
		r += text
	}
	return r
}

const closing = "Connection: close\r\n"

// etagOf asks the server for the entity tag of a file.
func etagOf(t testing.TB, r *rig, path string) string {
	t.Helper()
	p := r.dial()
	m := regexp.MustCompile(`(?m)^ETag: ("[^"]+")\r$`).FindStringSubmatch(p.roundTrip("HEAD " + path + " HTTP/1.1\r\nHost: h\r\n\r\n"))
	if m == nil {
		t.Fatal("no strong ETag for " + path)
	}
	return m[1]
}

func get(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// Every status, byte for byte: what is sent, what comes back, and whether the connection stays.
func TestStatuses(t *testing.T) {
	r := newRig(t, someFiles)
	tag := etagOf(t, r, "/a.txt")
	v := func(cc string) string {
		return "Accept-Ranges: bytes\r\nETag: " + tag + "\r\nLast-Modified: " + fileDate + "\r\nCache-Control: " + cc + "\r\n"
	}
	text := "Content-Type: text/plain; charset=utf-8\r\n"
	file := v("public, max-age=60")
	big := strings.Repeat("x", maxTarget)
	for _, tc := range []struct {
		name, req, want string
		open            bool
	}{
		{"200", get("/a.txt"), head("200 OK", 10, "") + text + file + "\r\n0123456789", true},
		{"200 HEAD", "HEAD /a.txt HTTP/1.1\r\nHost: h\r\n\r\n", head("200 OK", 10, "") + text + file + "\r\n", true},
		{"200 query", get("/a.txt?x=/../y"), head("200 OK", 10, "") + text + file + "\r\n0123456789", true},
		{"200 absolute", get("http://other/a.txt"), head("200 OK", 10, "") + text + file + "\r\n0123456789", true},
		{"200 close", get("/a.txt", "Connection: x, Close"), head("200 OK", 10, closing) + text + file + "\r\n0123456789", false},
		{"200 HTTP/1.0", "GET /a.txt HTTP/1.0\r\n\r\n", head("200 OK", 10, closing) + text + file + "\r\n0123456789", false},
		{"200 HTTP/1.0 keep", "GET /a.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
			head("200 OK", 10, "Connection: keep-alive\r\n") + text + file + "\r\n0123456789", true},
		{"200 HEAD ignores Range", "HEAD /a.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n\r\n", head("200 OK", 10, "") + text + file + "\r\n", true},
		{"204", "OPTIONS /a.txt HTTP/1.1\r\nHost: h\r\n\r\n", head("204 No Content", -1, "") + "Allow: GET, HEAD, OPTIONS\r\n" + preflightFields + "\r\n", true},
		{"204 *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", head("204 No Content", -1, "") + "Allow: GET, HEAD, OPTIONS\r\n" + preflightFields + "\r\n", true},
		{"206", get("/a.txt", "Range: bytes=2-4"), head("206 Partial Content", 3, "") + text + "Content-Range: bytes 2-4/10\r\n" + file + "\r\n234", true},
		{"301", get("/dir?q=1"), errorOf("301 Moved Permanently", "", "Location: /dir/?q=1\r\n", true), true},
		{"301 no open redirect", get("//evil/../list"), errorOf("301 Moved Permanently", "", "Location: /list/\r\n", true), true},
		{"304", get("/a.txt", "If-None-Match: "+tag), head("304 Not Modified", -1, "") + file + "\r\n", true},
		{"400", "GET /a.txt HTTP/1.1\r\n\r\n", errorOf("400 Bad Request", closing, "", true), false},
		{"400 above the root", get("/../a.txt"), errorOf("400 Bad Request", "", "", true), true},
		{"404", get("/nothing"), errorOf("404 Not Found", "", "", true), true},
		{"404 HEAD", "HEAD /nothing HTTP/1.1\r\nHost: h\r\n\r\n", errorOf("404 Not Found", "", "", false), true},
		{"405", "DELETE /a.txt HTTP/1.1\r\nHost: h\r\n\r\n", errorOf("405 Method Not Allowed", "", "Allow: GET, HEAD, OPTIONS\r\n", true), true},
		{"405 body", "POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", errorOf("405 Method Not Allowed", closing, "Allow: GET, HEAD, OPTIONS\r\n", true), false},
		{"412", get("/a.txt", `If-Match: "other"`), errorOf("412 Precondition Failed", "", "", true), true},
		{"413", get("/a.txt", "Content-Length: 5") + "hello", errorOf("413 Content Too Large", closing, "", true), false},
		{"414", get("/" + big), errorOf("414 URI Too Long", closing, "", true), false},
		{"414 unfinished", "GET /" + big + strings.Repeat("x", 100), errorOf("414 URI Too Long", closing, "", true), false},
		{"416", get("/a.txt", "Range: bytes=10-"), errorOf("416 Range Not Satisfiable", "", "Content-Range: bytes */10\r\n", true), true},
		{"416 suffix 0", get("/a.txt", "Range: bytes=-0"), errorOf("416 Range Not Satisfiable", "", "Content-Range: bytes */10\r\n", true), true},
		{"431", get("/a.txt", "X: "+strings.Repeat("y", maxHead)), errorOf("431 Request Header Fields Too Large", closing, "", true), false},
		{"501", "BREW /a.txt HTTP/1.1\r\nHost: h\r\n\r\n", errorOf("501 Not Implemented", "", "", true), true},
		{"501 chunked", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errorOf("501 Not Implemented", closing, "", true), false},
		{"505", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", errorOf("505 HTTP Version Not Supported", closing, "", true), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := r.dial()
			if got := p.roundTrip(tc.req); got != tc.want {
				t.Errorf("request %.200q\ngot  %q\nwant %q", tc.req, got, tc.want)
			}
			if open := !p.shut && !p.abort; open != tc.open {
				t.Errorf("connection open: %v, want %v", open, tc.open)
			}
		})
	}
}

func TestForbidden(t *testing.T) {
	r := newRig(t, map[string]string{"a.txt": "x"}, func(o *Options) { o.Listing = false })
	p := r.dial()
	if got, want := p.roundTrip(get("/")), errorOf("403 Forbidden", "", "", true); got != want {
		t.Errorf("listing switched off:\ngot  %q\nwant %q", got, want)
	}
}

// 408 goes to a client that began a head; an idle one is closed without a word.
func TestHeadTimeout(t *testing.T) {
	r := newRig(t, someFiles)
	slow := r.dial()
	slow.send("GET / HT")
	for range 14 { // one byte a second does not help
		r.advance(1e9)
		slow.send("T")
	}
	r.advance(1e9)
	want := strings.Replace(errorOf("408 Request Timeout", closing, "", true), "05:06:07", "05:06:22", 1)
	if got := slow.take(); got != want || !slow.shut {
		t.Errorf("slow head:\ngot  %q\nwant %q", got, want)
	}
	silent, idle := r.dial(), r.dial()
	idle.roundTrip(get("/a.txt"))
	r.advance(15e9)
	if got := silent.take(); got != "" || !silent.shut {
		t.Errorf("silent connection: sent %q, closed: %v", got, silent.shut)
	}
	if idle.shut {
		t.Error("idle connection closed after the head time-out")
	}
	r.advance(61e9)
	if got := idle.take(); got != "" || !idle.shut {
		t.Errorf("idle connection: sent %q, closed: %v", got, idle.shut)
	}
	if n := r.srv.Stats().Timeouts; n != 3 {
		t.Errorf("Timeouts = %d, want 3", n)
	}
}

func TestListing(t *testing.T) {
	r := newRig(t, someFiles)
	got := r.dial().roundTrip(get("/list/"))
	for _, want := range []string{
		"Content-Type: text/html; charset=utf-8\r\n", "<title>/list/</title>", `<a href="../">../</a>`,
		`<a href="./x%3Cy%3E.txt">x&lt;y&gt;.txt</a></td><td>1 B</td><td>2024-02-29 12:00</td>`, `<a href="./sub/">sub/</a>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("listing lacks %q:\n%s", want, got)
		}
	}
	if got := r.dial().roundTrip(get("/dir/")); !strings.HasSuffix(got, "\r\n\r\n<p>hello") {
		t.Errorf("index.html is not served for its directory: %q", got)
	}
}

// A large listing is rendered once, however many clients are sent it, and queued as a file would be; and what
// clients that do not read can hold of listings is bounded.
func TestListingIsShared(t *testing.T) {
	files := map[string]string{}
	for i := range 900 {
		files[fmt.Sprintf("big/%0200d", i)] = ""
		files["other/x"] = ""
	}
	r := newRig(t, files)
	want := r.dial().roundTrip(get("/big/"))
	size := r.sh.listingBytes
	if size < 350<<10 || !strings.HasSuffix(want, "</html>\n") {
		t.Fatalf("a page of %d bytes", size)
	}
	lazy := make([]*pipe, 20)
	for i := range lazy {
		lazy[i] = r.dial()
		lazy[i].limit = 0
		lazy[i].send(get("/big/"))
		if n := lazy[i].Unsent(); n > lazy[i].lowat+listingPiece {
			t.Errorf("%d bytes queued", n)
		}
	}
	if r.sh.listingBytes != size {
		t.Errorf("%d bytes for 20 clients, %d for one", r.sh.listingBytes, size)
	}
	r.dial().roundTrip(get("/other/")) // the shard's own hold goes over
	r.sh.listingBytes += listingMemory // as if others held it
	if got := r.dial().roundTrip(get("/big/")); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("beyond the bound: %.40q", got)
	}
	r.sh.listingBytes -= listingMemory
	for _, p := range lazy {
		p.limit = 1 << 40
	}
	r.settle()
	if got := lazy[7].take(); got != want {
		t.Error("the page changed while it was sent")
	}
	if r.sh.listingBytes >= size {
		t.Errorf("%d bytes are held after everything was sent", r.sh.listingBytes)
	}
}

func TestMediaCacheControl(t *testing.T) {
	r := newRig(t, someFiles)
	for path, want := range map[string]string{
		"/v/master.m3u8":   "no-cache",
		"/v/s1.m4s":        "public, max-age=3600",
		"/v/sp%20ace.vtt":  "public, max-age=3600",
		"/empty.bin":       "public, max-age=60",
		"/v/%2e/s1%2Em4s":  "public, max-age=3600",
		"/v/../v//s1.m4s?": "public, max-age=3600",
	} {
		got := r.dial().roundTrip(get(path))
		if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(got, "\r\nCache-Control: "+want+"\r\n") {
			t.Errorf("%s: want Cache-Control: %s, got %.400q", path, want, got)
		}
	}
}

// A file that shrinks while it is served ends its response and its connection, nothing else.
func TestTruncatedFile(t *testing.T) {
	const size = 1 << 20
	files := map[string]string{"f": strings.Repeat("x", size)}
	r := newRig(t, files)
	p := r.dial()
	p.lowat, p.limit = 64<<10, 100<<10
	p.send(get("/f"))
	if err := os.Truncate(r.path("f"), 1000); err != nil {
		t.Fatal(err)
	}
	p.limit = 1 << 40
	r.settle()
	if !p.abort {
		t.Error("the connection was not cut")
	}
	if n := len(p.take()); n >= size {
		t.Errorf("%d bytes were sent", n)
	}
	if st := r.srv.Stats(); st.Aborted != 1 {
		t.Errorf("Aborted = %d", st.Aborted)
	}
	if got := r.dial().roundTrip(get("/nothing")); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("afterwards: %q", got)
	}
}
