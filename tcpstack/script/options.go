package script

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Kinds of TCP options, and their lengths where fixed.
const (
	optEOL    = 0
	optNOP    = 1
	optMSS    = 2
	optWScale = 3
	optSackOK = 4
	optSack   = 5
	optTS     = 8
	optFO     = 34
)

// An option is one TCP option in the order of the packet. Package wire keeps neither order nor padding,
// which scripts spell out, so that this package reads and writes option bytes by itself.
type option struct {
	kind     uint8
	a, b     uint32 // mss; shift; val and ecr
	blocks   [][2]uint32
	raw      []byte // of a kind not known: its value
	cookie   bool   // of optFO: the cookie that the stack gave last, whatever it is; written TFO_COOKIE
	unparsed bool   // the rest of the header cannot be read as options
}

// size is the length on the wire, bytes.
func (o *option) size() int {
	switch o.kind {
	case optEOL, optNOP:
		return 1
	case optMSS:
		return 4
	case optWScale:
		return 3
	case optSackOK:
		return 2
	case optTS:
		return 10
	case optSack:
		return 2 + 8*len(o.blocks)
	case optFO:
		if o.cookie {
			return 2 + 8 // the length of our stack's
		}
	}
	return 2 + len(o.raw)
}

// put appends the option's bytes.
func (o *option) put(b []byte) []byte {
	if o.kind == optEOL || o.kind == optNOP {
		return append(b, o.kind)
	}
	b = append(b, o.kind, byte(o.size()))
	switch o.kind {
	case optMSS:
		return binary.BigEndian.AppendUint16(b, uint16(o.a))
	case optWScale:
		return append(b, byte(o.a))
	case optTS:
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, o.a), o.b)
	}
	for _, e := range o.blocks {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, e[0]), e[1])
	}
	return append(b, o.raw...)
}

// String is packetdrill's notation.
func (o *option) String() string {
	switch o.kind {
	case optEOL:
		return "eol"
	case optNOP:
		return "nop"
	case optMSS:
		return fmt.Sprintf("mss %d", o.a)
	case optWScale:
		return fmt.Sprintf("wscale %d", o.a)
	case optSackOK:
		return "sackOK"
	case optTS:
		return fmt.Sprintf("TS val %d ecr %d", o.a, o.b)
	case optSack:
		s := "sack"
		for _, e := range o.blocks {
			s += fmt.Sprintf(" %d:%d", e[0], e[1])
		}
		return s
	case optFO:
		if o.cookie {
			return "FO TFO_COOKIE"
		}
		return strings.TrimSpace(fmt.Sprintf("FO %x", o.raw))
	}
	return fmt.Sprintf("option %d 0x%x", o.kind, o.raw)
}

// formatOptions is a list in packetdrill's notation, with the brackets.
func formatOptions(list []option) string {
	parts := make([]string, len(list))
	for i := range list {
		parts[i] = list[i].String()
	}
	return "<" + strings.Join(parts, ",") + ">"
}

// parseOptions reads the option bytes of a header.
func parseOptions(b []byte) []option {
	var list []option
	for len(b) > 0 {
		o := option{kind: b[0]}
		if o.kind == optEOL || o.kind == optNOP {
			list, b = append(list, o), b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return append(list, option{kind: b[0], raw: b[1:], unparsed: true})
		}
		o.parse(b[2:b[1]])
		list, b = append(list, o), b[b[1]:]
	}
	return list
}

// parse takes the option's value; one of a wrong length stays raw.
func (o *option) parse(v []byte) {
	switch {
	case o.kind == optMSS && len(v) == 2:
		o.a = uint32(binary.BigEndian.Uint16(v))
	case o.kind == optWScale && len(v) == 1:
		o.a = uint32(v[0])
	case o.kind == optSackOK && len(v) == 0:
	case o.kind == optFO:
		o.raw = v
	case o.kind == optTS && len(v) == 8:
		o.a, o.b = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	case o.kind == optSack && len(v) > 0 && len(v)%8 == 0:
		for ; len(v) > 0; v = v[8:] {
			o.blocks = append(o.blocks, [2]uint32{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])})
		}
	default:
		o.raw, o.unparsed = v, true
	}
}

// timestamps returns the timestamps option of a list, or nil.
func timestamps(list []option) *option {
	for i := range list {
		if list[i].kind == optTS && !list[i].unparsed {
			return &list[i]
		}
	}
	return nil
}
