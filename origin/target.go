package origin

import (
	"bytes"
	"strconv"
)

// A target is a request target taken apart. Both parts alias the request head.
type target struct {
	path  []byte // still encoded, begins with '/'
	query []byte // behind the '?', which is not part of it; never part of a lookup
}

// splitTarget takes a checked origin-form or absolute-form target apart (RFC 9112 section 3.2.2: the
// authority of an absolute-form wins over Host; we serve the same tree under every name).
func splitTarget(b []byte) target {
	if rest, ok := cutScheme(b); ok {
		if i := bytes.IndexAny(rest, "/?"); i < 0 {
			b = nil
		} else {
			b = rest[i:]
		}
	}
	path, query, _ := bytes.Cut(b, []byte{'?'})
	if len(path) == 0 {
		path = []byte{'/'}
	}
	return target{path, query}
}

// appendPath appends the decoded and cleaned path to dst: it begins with '/', holds no empty, "." or ".."
// segment, and ends with '/' only if the target named a directory. It returns 0 or the status to answer.
//
// Percent-encoding is undone exactly once (RFC 3986 section 2.4), per segment: an encoded slash is data, no
// file name can hold it, so it is 404 rather than a way to build a path. Dot segments count after decoding,
// as browsers see them. Where RFC 3986 section 5.2.4 lets ".." stop at the root we answer 400.
func appendPath(dst, path []byte) (clean []byte, status int) {
	dst = append(dst, '/')
	root := len(dst)
	for rest, more := path[1:], true; more; {
		var segment []byte
		segment, rest, more = bytes.Cut(rest, []byte{'/'})
		mark := len(dst) // behind a slash
		if dst, status = appendDecoded(dst, segment); status != 0 {
			return dst, status
		}
		switch string(dst[mark:]) {
		case "", ".":
			dst = dst[:mark]
		case "..":
			if mark == root {
				return dst, 400
			}
			dst = dst[:bytes.LastIndexByte(dst[:mark-1], '/')+1]
		default:
			if more {
				dst = append(dst, '/')
			}
		}
	}
	return dst, 0
}

// appendDecoded undoes the percent-encoding of one segment. NUL and other control characters are refused:
// what follows NUL would be cut off by the system call, and the rest only ever served to forge log lines.
func appendDecoded(dst, segment []byte) ([]byte, int) {
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) || unhex(segment[i+1]) > 15 || unhex(segment[i+2]) > 15 {
				return dst, 400
			}
			c = unhex(segment[i+1])<<4 | unhex(segment[i+2])
			i += 2
			if c == '/' {
				return dst, 404
			}
		}
		if c < ' ' || c == 0x7f {
			return dst, 400
		}
		dst = append(dst, c)
	}
	return dst, 0
}

// unhex returns the value of a hex digit, or something above 15.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

const hexDigits = "0123456789ABCDEF"

// appendEncoded percent-encodes a decoded path or segment for a Location field or a link. Slashes stay.
func appendEncoded(dst []byte, path []byte) []byte {
	for _, c := range path {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c),
			c == '/', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// appendQuery passes a query on as it came, but for the bytes that no URI may hold.
func appendQuery(dst []byte, query []byte) []byte {
	for _, c := range query {
		if c >= 0x80 || c == '"' || c == '<' || c == '>' || c == '\\' {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
