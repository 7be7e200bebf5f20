package origin

import "bytes"

var (
	space = []byte{' '}
	colon = []byte{':'}
)

// charClass says where RFC 9110 and RFC 3986 allow a byte.
type charClass uint8

const (
	classToken  charClass = 1 << iota // tchar (RFC 9110 section 5.6.2)
	classTarget                       // in a request target as we take it
	classValue                        // in a field value (section 5.5)
	classHost                         // in reg-name or port (RFC 3986 section 3.2.2)
	classIPv6                         // between the brackets of an IP literal
)

var class = func() (t [256]charClass) {
	set := func(c charClass, s string) {
		for i := range len(s) {
			t[s[i]] |= c
		}
	}
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	set(classToken, alnum+"!#$%&'*+-.^_`|~")
	set(classHost, alnum+"-._~%!$&'()*+,;=")
	set(classIPv6, "0123456789abcdefABCDEF:.")
	for c := 0x20; c < 0x100; c++ {
		if c == 0x7f {
			continue
		}
		t[c] |= classValue
		// We deviate from RFC 3986: bytes from 0x80 are taken in a target, because curl and many players
		// send UTF-8 names unencoded. They cannot be confused with a delimiter.
		if c != ' ' {
			t[c] |= classTarget
		}
	}
	t['\t'] |= classValue
	return t
}()

// all reports whether b is not empty and every byte of it is in c.
func all(b []byte, c charClass) bool {
	for _, x := range b {
		if class[x]&c == 0 {
			return false
		}
	}
	return len(b) > 0
}

func isDigit(c byte) bool        { return c-'0' <= 9 }
func isToken(b []byte) bool      { return all(b, classToken) }
func isFieldValue(b []byte) bool { return len(b) == 0 || all(b, classValue) }

// isTarget checks the form of a request target (RFC 9112 section 3.2): origin-form, absolute-form,
// asterisk-form, or the authority-form of CONNECT, which we only ever refuse. A fragment has no place in a
// target, but it is harmless and is treated as part of the path, where it names no file.
func isTarget(b []byte) bool {
	if !all(b, classTarget) {
		return false
	}
	if b[0] == '/' || string(b) == "*" {
		return true
	}
	if rest, ok := cutScheme(b); ok {
		host, _, _ := bytes.Cut(rest, []byte{'/'})
		host, _, _ = bytes.Cut(host, []byte{'?'})
		return isHost(host)
	}
	return false
}

// cutScheme cuts http:// or https:// off an absolute-form target.
func cutScheme(b []byte) (rest []byte, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(b) >= len(scheme) && equalFold(b[:len(scheme)], scheme) {
			return b[len(scheme):], true
		}
	}
	return nil, false
}

// isHost checks `uri-host [":" port]` (RFC 9110 section 7.2). An empty host names nothing we serve.
func isHost(b []byte) bool {
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		return i > 0 && all(b[1:i], classIPv6) && isPort(b[i+1:])
	}
	host := b
	if i := bytes.IndexByte(b, ':'); i >= 0 {
		host = b[:i]
		if !isPort(b[i:]) {
			return false
		}
	}
	return all(host, classHost)
}

// isPort checks what follows a host: nothing, or a colon and at most five digits.
func isPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) > 6 {
		return false
	}
	for _, c := range b[1:] {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

// isLength checks 1*DIGIT that fits an int64 with room to spare.
func isLength(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 18
}

func trimOWS(b []byte) []byte { return bytes.Trim(b, " \t") }

// equalFold compares b with s, which is lower case, ignoring the case of ASCII letters.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// nextElement cuts the next element off a comma-separated list (RFC 9110 section 5.6.1), without the white
// space around it. Empty elements are skipped; ok is false at the end. It does not know quoted strings.
func nextElement(list []byte) (element, rest []byte, ok bool) {
	for len(list) > 0 {
		element, list, _ = bytes.Cut(list, []byte{','})
		if element = trimOWS(element); len(element) > 0 {
			return element, list, true
		}
	}
	return nil, nil, false
}
