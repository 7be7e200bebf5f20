package origin

import (
	"bytes"
	"time"

	"github.com/valyala/fasthttp"
)

// validators are what a representation is compared by.
type validators struct {
	etag     string // strong, with its quotes; empty: none
	modified int64  // Unix seconds, as Last-Modified says it; 0: none
}

// preconditions are the conditional fields of a request (RFC 9110 section 13.1), aliasing its head.
type preconditions struct {
	ifMatch, ifNoneMatch       [][]byte // field lines; nil: absent
	ifModified, ifUnmodified   []byte
	ifRange                    []byte
	hasModified, hasUnmodified bool
	hasRange                   bool // If-Range is there, perhaps empty, malformed or repeated
}

// evaluate returns 0 to go on, 304 or 412, in the order of RFC 9110 section 13.2.2, for GET and HEAD.
func (p *preconditions) evaluate(v validators) int {
	switch {
	case p.ifMatch != nil: // step 1
		if !matchesAny(p.ifMatch, v.etag, strongMatch) {
			return 412
		}
	case p.hasUnmodified: // step 2
		if at, ok := parseDate(p.ifUnmodified); ok && v.modified != 0 && v.modified > at {
			return 412
		}
	}
	switch {
	case p.ifNoneMatch != nil: // step 3: 304 because the method is GET or HEAD
		if matchesAny(p.ifNoneMatch, v.etag, weakMatch) {
			return 304
		}
	case p.hasModified: // step 4
		if at, ok := parseDate(p.ifModified); ok && v.modified != 0 && v.modified <= at {
			return 304
		}
	}
	return 0
}

// rangeApplies is step 5: whether If-Range, if there is one, lets the Range field count (RFC 9110 section
// 13.1.5). now is Unix seconds.
func (p *preconditions) rangeApplies(v validators, now int64) bool {
	if !p.hasRange {
		return true
	}
	if isEntityTag(p.ifRange) {
		return strongMatch(p.ifRange, v.etag)
	}
	// A date is a strong validator only if it is at least a second older than the response (section
	// 8.8.2.2): within that second the file may have changed again.
	at, ok := parseDate(p.ifRange)
	return ok && v.modified != 0 && at == v.modified && now > v.modified
}

// matchesAny reports whether "*" or a listed entity tag matches. A list that does not parse matches up to
// its first error.
func matchesAny(lines [][]byte, etag string, match func(tag []byte, etag string) bool) bool {
	for _, line := range lines {
		if string(trimOWS(line)) == "*" {
			return true // there is a representation, or we would have answered 404
		}
		for {
			tag, rest := nextEntityTag(line)
			if tag == nil {
				break
			}
			if match(tag, etag) {
				return true
			}
			line = rest
		}
	}
	return false
}

// nextEntityTag cuts the next entity tag off a list. Tags may hold commas, so that the quotes decide.
func nextEntityTag(list []byte) (tag, rest []byte) {
	list = bytes.TrimLeft(list, " \t,")
	start := 0
	if bytes.HasPrefix(list, []byte("W/")) {
		start = 2
	}
	if len(list) <= start || list[start] != '"' {
		return nil, nil
	}
	end := bytes.IndexByte(list[start+1:], '"')
	if end < 0 {
		return nil, nil
	}
	end += start + 2
	return list[:end], list[end:]
}

func isEntityTag(b []byte) bool {
	return len(b) > 0 && (b[0] == '"' || bytes.HasPrefix(b, []byte("W/")))
}

// strongMatch is the strong comparison (RFC 9110 section 8.8.3.2): equal, and neither is weak.
func strongMatch(tag []byte, etag string) bool {
	return len(tag) > 0 && tag[0] == '"' && string(tag) == etag
}

// weakMatch compares the opaque parts alone; ours is never weak.
func weakMatch(tag []byte, etag string) bool {
	return strongMatch(bytes.TrimPrefix(tag, []byte("W/")), etag)
}

// The obsolete forms of a date, which a recipient MUST accept (RFC 9110 section 5.6.7).
const (
	rfc850Date  = "Monday, 02-Jan-06 15:04:05 GMT"
	asctimeDate = "Mon Jan _2 15:04:05 2006"
)

// parseDate returns an HTTP-date in Unix seconds. A field that holds none is ignored by its callers.
func parseDate(b []byte) (unix int64, ok bool) {
	if t, err := fasthttp.ParseHTTPDate(b); err == nil {
		return t.Unix(), true
	}
	// A valid date is at most 33 bytes long; do not let a client make us format errors over kilobytes.
	if len(b) > 40 {
		return 0, false
	}
	for _, layout := range [...]string{rfc850Date, asctimeDate} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			return t.Unix(), true
		}
	}
	return 0, false
}

const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// appendDate writes an HTTP-date.
func appendDate(dst []byte, unix int64) []byte {
	return time.Unix(unix, 0).UTC().AppendFormat(dst, dateLayout)
}
