package origin

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// firstLine returns b up to its first line ending.
func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(bytes.TrimLeft(b, "\r\n"), []byte{'\n'})
	return bytes.TrimRight(line, "\r")
}

// appendCombined writes one line of the combined format:
//
//	client - - [time] "request" status bytes "referer" "user agent"
func appendCombined(b []byte, e *entry) []byte {
	b = e.client.Addr().AppendTo(b)
	b = append(b, " - - ["...)
	b = e.at.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] \""...)
	if len(e.method) > 0 {
		b = appendEscaped(b, e.method)
		b = append(b, ' ')
	}
	b = appendEscaped(b, e.target)
	if len(e.method) > 0 {
		b = append(b, " HTTP/1."...)
		b = appendInt(b, int64(e.minor))
	}
	b = append(b, "\" "...)
	b = appendInt(b, int64(e.status))
	b = append(b, ' ')
	b = appendInt(b, e.bytes)
	b = appendQuoted(b, e.referer)
	b = appendQuoted(b, e.agent)
	return append(b, '\n')
}

// appendQuoted writes a field in quotes, "-" for an empty one.
func appendQuoted(b, field []byte) []byte {
	b = append(b, ' ', '"')
	if len(field) == 0 {
		b = append(b, '-')
	}
	return append(appendEscaped(b, field), '"')
}

// appendEscaped writes what a client chose so that it can neither end the field nor the line, nor drive the
// terminal of whoever reads the log.
func appendEscaped(b, field []byte) []byte {
	for _, c := range field {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendJSON writes one line of JSON. Absent fields are left out.
func appendJSON(b []byte, e *entry) []byte {
	b = append(b, `{"time":"`...)
	b = e.at.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","client":"`...)
	b = e.client.AppendTo(b)
	b = append(b, '"')
	for _, f := range [...]struct {
		name  string
		value []byte
	}{
		{"method", e.method}, {"target", e.target}, {"host", e.host}, {"range", e.rangeField},
		{"referer", e.referer}, {"user_agent", e.agent},
	} {
		if len(f.value) > 0 {
			b = appendJSONField(b, f.name, f.value)
		}
	}
	b = append(b, `,"http":"1.`...)
	b = appendInt(b, int64(e.minor))
	b = append(b, `","status":`...)
	b = appendInt(b, int64(e.status))
	b = append(b, `,"bytes":`...)
	b = appendInt(b, e.bytes)
	b = append(b, `,"seconds":`...)
	b = strconv.AppendFloat(b, e.duration.Seconds(), 'f', 6, 64)
	if e.aborted {
		b = append(b, `,"aborted":true`...)
	}
	if t := e.tls; t != nil {
		b = appendJSONField(b, "tls", []byte(t.version))
		b = appendJSONField(b, "cipher", []byte(t.suite))
		if t.serverName != "" {
			b = appendJSONField(b, "sni", []byte(t.serverName))
		}
	}
	return append(b, "}\n"...)
}

func appendJSONField(b []byte, name string, value []byte) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, `":"`...)
	b = appendJSONText(b, value)
	return append(b, '"')
}

// appendJSONText escapes for a JSON string (RFC 8259 section 7). Bytes that are no UTF-8 become U+FFFD.
func appendJSONText(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029':
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		default:
			b = append(b, text[:n]...)
		}
		text = text[n:]
	}
	return b
}
