package script

import (
	"fmt"
	"strings"
	"time"

	"ocaserve/tcpstack/wire"
)

// when says how the time of an event is meant.
type when uint8

const (
	whenAbsolute when = iota // seconds since the script began
	whenRelative             // seconds since the event before
	whenAny                  // *
)

// An event is one entry of a script.
type event struct {
	line     int
	when     when
	at       time.Duration
	until    time.Duration // end of a range
	isRange  bool
	packet   *packet
	call     *call
	code     *code
	blocking time.Duration // calls: when it ends, in the terms of at; 0 and !blocks: at once
	blocks   bool
}

// outbound reports whether e expects a packet.
func (e *event) outbound() bool { return e.packet != nil && e.packet.out }

// A packet is a line "< ..." or "> ..." in the script's numbers, or a packet of the stack translated to
// them.
type packet struct {
	out     bool
	flags   wire.Flags
	seq     uint32
	size    int // payload, bytes
	ack     uint32
	win     int // -1: not looked at
	urg     uint16
	opts    []option
	anyOpts bool // <...>
	tos     int  // -1: not looked at
	tosMask uint8
	ttl     int // -1: not looked at, or the default
	src     uint16
	dst     uint16 // 0: the script's own
	icmp    *icmp
}

// flagLetters in the order packetdrill writes them.
var flagLetters = []struct {
	letter byte
	flag   wire.Flags
}{
	{'F', wire.FIN}, {'S', wire.SYN}, {'R', wire.RST}, {'P', wire.PSH}, {'U', wire.URG}, {'E', wire.ECE},
	{'W', wire.CWR}, {'.', wire.ACK},
}

func formatFlags(f wire.Flags) string {
	s := ""
	for _, l := range flagLetters {
		if f&l.flag != 0 {
			s += string(l.letter)
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

// String is packetdrill's notation.
func (p *packet) String() string {
	var b strings.Builder
	b.WriteString(map[bool]string{false: "< ", true: "> "}[p.out])
	if p.tos >= 0 && (p.tosMask != 3 || p.tos != 0) {
		b.WriteString(p.formatTOS() + " ")
	}
	if p.icmp != nil {
		b.WriteString(p.icmp.String())
		return b.String()
	}
	if p.src != 0 {
		fmt.Fprintf(&b, "%d > %d ", p.src, p.dst)
	}
	fmt.Fprintf(&b, "%s %d:%d(%d)", formatFlags(p.flags), p.seq, p.seq+uint32(p.size), p.size)
	if p.flags&wire.ACK != 0 {
		fmt.Fprintf(&b, " ack %d", p.ack)
	}
	if p.win >= 0 {
		fmt.Fprintf(&b, " win %d", p.win)
	}
	if p.urg != 0 {
		fmt.Fprintf(&b, " urg %d", p.urg)
	}
	switch {
	case p.anyOpts:
		b.WriteString(" <...>")
	case len(p.opts) > 0:
		b.WriteString(" " + formatOptions(p.opts))
	}
	return b.String()
}

// formatTOS is the field in brackets.
func (p *packet) formatTOS() string {
	if p.tosMask == 3 {
		return "[" + ecnNames[p.tos&3] + "]"
	}
	return fmt.Sprintf("[tos 0x%x]", p.tos)
}

// ecnNames by codepoint (RFC 3168 section 5).
var ecnNames = [4]string{"noecn", "ect1", "ect0", "ce"}

// An icmp is an ICMP error about a segment that the stack has sent.
type icmp struct {
	typ, code string
	mtu       int
	seq       uint32 // of the quoted segment
	size      int
}

func (m *icmp) String() string {
	s := "icmp " + m.typ
	if m.code != "" {
		s += " " + m.code
	}
	if m.mtu > 0 {
		s += fmt.Sprintf(" mtu %d", m.mtu)
	}
	return s + fmt.Sprintf(" [%d:%d(%d)]", m.seq, m.seq+uint32(m.size), m.size)
}

// A call is a socket call with what it must return.
type call struct {
	name   string
	args   []expr
	result expr
	errno  string // "": no error is expected
}

func (c *call) String() string {
	parts := make([]string, len(c.args))
	for i := range c.args {
		parts[i] = c.args[i].String()
	}
	s := fmt.Sprintf("%s(%s) = %v", c.name, strings.Join(parts, ", "), c.result)
	if c.errno != "" {
		s += " " + c.errno
	}
	return s
}

// exprKind is the kind of an argument.
type exprKind uint8

const (
	exprEllipsis exprKind = iota
	exprInt
	exprWord
	exprString
	exprList   // [a, b]
	exprStruct // {name = a, ...}
)

// An expr is an argument of a call, its symbols not yet replaced by numbers.
type expr struct {
	kind  exprKind
	num   int64
	text  string   // word, string
	words []string // of a|b: more words
	list  []expr
	names []string // of a struct: beside list
}

func (x expr) String() string {
	switch x.kind {
	case exprEllipsis:
		return "..."
	case exprInt:
		return fmt.Sprint(x.num)
	case exprString:
		return fmt.Sprintf("%q", x.text)
	case exprWord:
		return strings.Join(x.words, "|")
	}
	parts := make([]string, len(x.list))
	for i := range x.list {
		parts[i] = x.list[i].String()
		if x.kind == exprStruct {
			parts[i] = x.names[i] + "=" + parts[i]
		}
	}
	if x.kind == exprStruct {
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
