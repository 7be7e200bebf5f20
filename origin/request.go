package origin

import (
	"bufio"
	"bytes"

	"github.com/valyala/fasthttp"
)

// A method is a request method as we tell them apart.
type method uint8

const (
	methodUnknown method = iota // 501
	methodRefused               // known, but not for files: 405
	methodGet
	methodHead
	methodOptions
)

// methodOf is case-sensitive (RFC 9110 section 9.1).
func methodOf(b []byte) method {
	switch string(b) {
	case "GET":
		return methodGet
	case "HEAD":
		return methodHead
	case "OPTIONS":
		return methodOptions
	case "POST", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE":
		return methodRefused
	}
	return methodUnknown
}

// A request is a parsed head. There is one per shard: a request is answered, or put back, before the next
// is parsed. All slices alias the parser's memory and end with the next parse.
type request struct {
	head   fasthttp.RequestHeader
	reader bytes.Reader
	buf    *bufio.Reader

	method    method
	minor     uint8 // HTTP/1.minor
	close     bool  // the client, or its version, wants the connection closed
	keepAlive bool  // an HTTP/1.0 client asked to keep it: say so in the answer
	target    target
	path      []byte // decoded and clean
	status    int    // of an unacceptable path; 0: fine
	cond      preconditions
	ranges    []byte // Range field of a GET; nil: absent, repeated or another method's
	lines     [2][4][]byte
}

func newRequest() *request {
	r := &request{buf: bufio.NewReaderSize(nil, maxHead)}
	// Special headers would be judged by other rules than ours (Trailer, for one); all we need is the list.
	r.head.DisableSpecialHeader()
	return r
}

// parse takes a complete head that headScan has accepted apart. It reports false if fasthttp's parser sees
// it differently, which is answered with 400: where two parsers disagree, somebody is being fooled.
func (r *request) parse(head []byte, scan *headScan) bool {
	r.reader.Reset(head)
	r.buf.Reset(&r.reader)
	if err := r.head.Read(r.buf); err != nil || r.buf.Buffered() > 0 || r.reader.Len() > 0 {
		return false
	}
	r.minor = scan.minor
	r.method = methodOf(r.head.Method())
	raw := r.head.RequestURI()
	r.target = splitTarget(raw)
	if string(raw) == "*" && r.method != methodOptions {
		return false // asterisk-form is for OPTIONS alone (RFC 9112 section 3.2.4)
	}
	r.path, r.status = appendPath(r.path[:0], r.target.path)
	if string(raw) == "*" {
		r.status = 0
	}
	r.connection()
	r.conditions()
	return true
}

// connection decides about persistence (RFC 9112 section 9.3).
func (r *request) connection() {
	r.close, r.keepAlive = r.minor == 0, false
	for _, line := range r.head.PeekAll("Connection") {
		for option, rest, ok := nextElement(line); ok; option, rest, ok = nextElement(rest) {
			switch {
			case equalFold(option, "close"):
				r.close, r.keepAlive = true, false
				return // "close" wins over whatever else is listed
			case equalFold(option, "keep-alive") && r.minor == 0:
				r.close, r.keepAlive = false, true
			}
		}
	}
}

// conditions collects the conditional fields and the range of a GET.
func (r *request) conditions() {
	c := &r.cond
	c.ifMatch = append(r.lines[0][:0], r.head.PeekAll("If-Match")...)
	c.ifNoneMatch = append(r.lines[1][:0], r.head.PeekAll("If-None-Match")...)
	if len(c.ifMatch) == 0 {
		c.ifMatch = nil
	}
	if len(c.ifNoneMatch) == 0 {
		c.ifNoneMatch = nil
	}
	c.ifModified, c.hasModified = r.single("If-Modified-Since")
	c.ifUnmodified, c.hasUnmodified = r.single("If-Unmodified-Since")
	// A repeated If-Range matches nothing; counting it as absent would let the Range field loose.
	c.hasRange = len(r.head.PeekAll("If-Range")) > 0
	c.ifRange, _ = r.single("If-Range")
	// RFC 9110 section 14.2: "A server MUST ignore a Range header field received with a request method that
	// is unrecognized or for which range handling is not defined"; GET is the only one it is defined for.
	r.ranges = nil
	if r.method == methodGet {
		r.ranges, _ = r.single("Range")
	}
}

// single returns a field that may occur once; repeated, it says nothing reliable and counts as absent.
func (r *request) single(name string) (value []byte, ok bool) {
	values := r.head.PeekAll(name)
	if len(values) != 1 {
		return nil, false
	}
	return values[0], true
}

// field returns the first line of a field for the log; empty if absent.
func (r *request) field(name string) []byte { return r.head.Peek(name) }

// reset makes r an empty request, for answers to what could not be parsed.
func (r *request) reset() *request {
	r.head.Reset()
	r.head.DisableSpecialHeader() // Reset forgets it
	r.method, r.minor, r.close, r.keepAlive = methodUnknown, 1, true, false
	r.target, r.cond, r.ranges = target{}, preconditions{}, nil
	return r
}
