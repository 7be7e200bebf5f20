package origin

import "bytes"

// Limits of a request head. They bound what one connection can make us hold before we know who it is.
const (
	maxHead    = 16 << 10 // bytes up to and including the blank line; beyond: 431
	maxTarget  = 8 << 10  // bytes of the request target; beyond: 414
	maxMethod  = 32       // longer ones cannot be a method anybody has registered
	maxFields  = 128      // header lines; beyond: 431
	maxLeading = 4        // empty lines before the request line (RFC 9112 section 2.2 asks for at least one)
)

// headScan checks a request head line by line while it arrives. The zero value is ready for a new head.
// It keeps offsets only, so that the buffer may move between calls.
//
// It exists beside fasthttp's parser because a lenient parser behind a proxy is how requests are smuggled:
// bare LF, obs-fold, space before the colon and repeated framing fields are refused here (RFC 9112
// sections 2.2, 5.1, 5.2, 6.3), each with the status to answer.
type headScan struct {
	line    int32 // where the line being received begins
	next    int32 // bytes that hold no line feed from line on: the search goes on here
	fields  int16 // header lines seen
	blank   uint8 // empty lines before the request line
	minor   uint8 // of the HTTP version
	started bool  // the request line is done
	host    bool  // a Host field was seen
	length  bool  // a Content-Length field was seen
	body    bool  // and it is not 0
	coded   bool  // a Transfer-Encoding field was seen
}

// scan continues over b, which begins where the head begins and may have grown since the last call. It
// returns the length of the head once it is complete, 0 while it is not, and a status other than 0 as soon
// as the head is known to be unacceptable; the connection must then be closed after the answer.
func (h *headScan) scan(b []byte) (n int, status int) {
	for {
		i := bytes.IndexByte(b[h.next:], '\n')
		if i < 0 {
			h.next = int32(len(b))
			return 0, h.overlong(b)
		}
		end := int(h.next) + i + 1
		if end > maxHead {
			return 0, h.overlong(b[:end])
		}
		line := b[h.line:end]
		h.line, h.next = int32(end), int32(end)
		// RFC 9112 section 2.2: "a recipient MAY recognize a single LF as a line terminator". We deviate
		// from that leave: whoever sends bare LF and a proxy may count lines differently.
		if len(line) < 2 || line[len(line)-2] != '\r' {
			return 0, 400
		}
		done, status := h.take(line[:len(line)-2])
		if status != 0 {
			return 0, status
		}
		if done {
			return end, 0
		}
	}
}

// overlong judges an incomplete head by its length: the limit that is exceeded first answers.
func (h *headScan) overlong(b []byte) int {
	if !h.started && len(b)-int(h.line) > maxMethod+1+maxTarget {
		return 414
	}
	if len(b) >= maxHead {
		return 431
	}
	return 0
}

// take checks one line without its CRLF; done says that it was the blank line.
func (h *headScan) take(line []byte) (done bool, status int) {
	switch {
	case !h.started && len(line) == 0:
		if h.blank++; h.blank > maxLeading {
			return false, 400
		}
		return false, 0
	case !h.started:
		h.started = true
		return false, h.requestLine(line)
	case len(line) == 0:
		return true, h.framing()
	}
	if h.fields++; h.fields > maxFields {
		return false, 431
	}
	return false, h.field(line)
}

// requestLine checks `method SP target SP HTTP-version` (RFC 9112 section 3), single spaces only.
func (h *headScan) requestLine(line []byte) int {
	method, rest, ok := bytes.Cut(line, space)
	if !ok || !isToken(method) {
		return 400
	}
	if len(method) > maxMethod {
		return 501
	}
	target, version, ok := bytes.Cut(rest, space)
	if len(target) > maxTarget {
		return 414
	}
	if !ok || !isTarget(target) {
		return 400
	}
	return h.version(version)
}

// version takes HTTP/1.x; another major version is 505 (RFC 9110 section 15.6.6), anything else no HTTP.
func (h *headScan) version(v []byte) int {
	if len(v) != 8 || string(v[:5]) != "HTTP/" || v[6] != '.' || !isDigit(v[5]) || !isDigit(v[7]) {
		return 400
	}
	if v[5] != '1' {
		return 505
	}
	h.minor = v[7] - '0'
	return 0
}

// field checks `name ":" OWS value OWS` and notes the fields that decide framing. A line that begins with
// a space is obs-fold and fails as a name (RFC 9112 section 5.2 lets us answer 400), as does a space before
// the colon (section 5.1: "MUST reject").
func (h *headScan) field(line []byte) int {
	name, value, ok := bytes.Cut(line, colon)
	if !ok || !isToken(name) || !isFieldValue(value) {
		return 400
	}
	switch value = trimOWS(value); {
	case equalFold(name, "host"):
		// RFC 9112 section 3.2: more than one Host, or an invalid one, MUST be answered with 400.
		if h.host || !isHost(value) {
			return 400
		}
		h.host = true
	case equalFold(name, "content-length"):
		// Two of them are refused even if they agree; so is the list form "5, 5" (section 6.3 allows both).
		if h.length || !isLength(value) {
			return 400
		}
		h.length = true
		h.body = len(bytes.TrimLeft(value, "0")) > 0
	case equalFold(name, "transfer-encoding"):
		h.coded = true
	}
	return 0
}

// framing judges the head as a whole, at its blank line.
func (h *headScan) framing() int {
	switch {
	case h.minor >= 1 && !h.host:
		return 400 // RFC 9112 section 3.2
	case h.coded && (h.length || h.minor == 0):
		return 400 // section 6.1: faulty framing, an attempt at smuggling until proven otherwise
	case h.coded:
		return 501 // section 6.1: a transfer coding we do not understand; we read no coded body at all
	}
	return 0
}
