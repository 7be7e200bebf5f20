package script

import (
	"strconv"
	"strings"
	"time"

	"ocaserve/tcpstack/wire"
)

// A program is a parsed script.
type program struct {
	file   string
	config config
	events []event
}

// config is what the options at the head of a script say.
type config struct {
	v6        bool
	tolerance time.Duration
	tsTick    time.Duration // 0: outbound TS val is not looked at, as in packetdrill
	mtu       int
	sysctl    sysctls
}

const defaultTolerance = 4 * time.Millisecond

// parser goes over the tokens once. Errors are SyntaxErrors by panic, see parse.
type parser struct {
	program
	toks []token
	at   int
}

// parse reads a whole script.
func parse(file string, src []byte) (p *program, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *SyntaxError:
			p, err = nil, r
		default:
			panic(r)
		}
	}()
	l := lexer{file: file, src: string(src), line: 1}
	ps := parser{toks: l.tokens()}
	ps.file = file
	ps.config = config{tolerance: defaultTolerance, mtu: 1500}
	for ps.peek().kind == tokOption {
		ps.option(ps.next())
	}
	for ps.peek().kind != tokEnd {
		ps.event()
	}
	if len(ps.events) == 0 {
		ps.fail(ps.peek(), "the script has no events")
	}
	return &ps.program, nil
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tokEnd {
		p.at++
	}
	return t
}

func (p *parser) fail(t token, format string, args ...any) { fail(p.file, t.line, format, args...) }

// accept passes the next token if it is that one.
func (p *parser) accept(text string) bool {
	if !p.peek().is(text) {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(text string) {
	if t := p.next(); !t.is(text) {
		p.fail(t, "expected %q, got %v", text, t)
	}
}

func (p *parser) word(what string) string {
	t := p.next()
	if t.kind != tokWord {
		p.fail(t, "expected %s, got %v", what, t)
	}
	return t.text
}

// integer passes a number within [0, limit].
func (p *parser) integer(what string, limit int64) int64 {
	t := p.next()
	n, err := strconv.ParseInt(t.text, 0, 64)
	if t.kind != tokInt {
		p.fail(t, "expected %s, got %v", what, t)
	}
	if err != nil {
		n, err = strconv.ParseInt(t.text, 10, 64) // a leading zero is no octal number
	}
	if err != nil || n < 0 || n > limit {
		p.fail(t, "%s is out of range: %s", what, t.text)
	}
	return n
}

func (p *parser) uint32(what string) uint32 { return uint32(p.integer(what, 1<<32-1)) }

// option takes one --name=value. Those that only steer packetdrill's own output are passed over.
func (p *parser) option(t token) {
	name, value, _ := strings.Cut(t.text, "=")
	number := func(low, high int) int {
		n, err := strconv.Atoi(value)
		if err != nil || n < low || n > high {
			p.fail(t, "--%s: %q is not a number from %d to %d", name, value, low, high)
		}
		return n
	}
	switch name {
	case "ip_version":
		if value != "ipv4" && value != "ipv6" {
			p.fail(t, "--ip_version=%s: only ipv4 and ipv6 are supported", value)
		}
		p.config.v6 = value == "ipv6"
	case "tolerance_usecs":
		p.config.tolerance = time.Duration(number(0, 1e9)) * time.Microsecond
	case "tcp_ts_tick_usecs":
		p.config.tsTick = time.Duration(number(0, 1e6)) * time.Microsecond
	case "mtu":
		p.config.mtu = number(576, 65535)
	case "verbose", "debug", "mss": // mss is how packetdrill's tun device cuts superframes
	default:
		p.fail(t, "the option --%s is not supported", name)
	}
}

// event reads one event, with its time.
func (p *parser) event() {
	if t := p.peek(); t.kind == tokCommand { // packetdrill allows commands without a time at both ends
		p.config.sysctl.command(p, p.next())
		return
	}
	e := event{line: p.peek().line}
	p.eventTime(&e)
	switch t := p.peek(); {
	case t.kind == tokCommand:
		p.config.sysctl.command(p, p.next())
		return
	case t.kind == tokCode:
		e.code = parseCode(p.file, p.next())
	case t.is("<"), t.is(">"):
		e.packet = p.packet()
	case t.is("..."), t.kind == tokWord:
		p.callEvent(&e)
	default:
		p.fail(t, "expected a packet, a call or code, got %v", t)
	}
	if (e.when == whenAny || e.isRange) && !e.outbound() {
		p.fail(token{line: e.line}, "only an outbound packet can have a time that is a range or *")
	}
	if len(p.events) == 0 && (e.when == whenAny || e.at != 0) {
		p.fail(token{line: e.line}, "the first event must be at time 0")
	}
	p.events = append(p.events, e)
}

// eventTime reads "0.1", "+0.1", "0.1~0.2", "+0~+.1" or "*".
func (p *parser) eventTime(e *event) {
	if p.accept("*") {
		e.when = whenAny
		return
	}
	if p.accept("+") {
		e.when = whenRelative
	}
	e.at = p.seconds()
	if !p.accept("~") {
		return
	}
	if t := p.peek(); p.accept("+") != (e.when == whenRelative) {
		p.fail(t, "both ends of a time range are relative, or none is")
	}
	if e.isRange, e.until = true, p.seconds(); e.until < e.at {
		p.fail(token{line: e.line}, "the time range goes backwards")
	}
}

// seconds reads a time, rounded to microseconds.
func (p *parser) seconds() time.Duration {
	t := p.next()
	if t.kind != tokFloat && t.kind != tokInt {
		p.fail(t, "expected a time in seconds, got %v", t)
	}
	s, err := strconv.ParseFloat(t.text, 64)
	if err != nil || s < 0 || s > 1e6 {
		p.fail(t, "bad time %v", t)
	}
	return time.Duration(s*1e6+0.5) * time.Microsecond
}

// packet reads a packet, from its direction on.
func (p *parser) packet() *packet {
	pk := &packet{out: p.next().text == ">", win: -1, tos: -1, ttl: -1}
	if t := p.peek(); t.is("[") || t.is("(") {
		p.ipInfo(pk)
	}
	switch t := p.peek(); {
	case t.is("icmp"):
		p.icmp(pk)
		return pk
	case t.is("udp"), t.is("ipv4"), t.is("ipv6"), t.is("gre"), t.is("mpls"):
		p.fail(t, "%s packets are not supported", t.text)
	case t.kind == tokInt:
		pk.src = uint16(p.integer("a port", 65535))
		p.expect(">")
		pk.dst = uint16(p.integer("a port", 65535))
	}
	p.flags(pk)
	pk.seq, pk.size = p.seqRange()
	if p.accept("ack") {
		pk.ack = p.uint32("an acknowledgment number")
	}
	p.windowAndUrgent(pk)
	p.packetOptions(pk)
	return pk
}

func (p *parser) windowAndUrgent(pk *packet) {
	if t := p.peek(); p.accept("win") {
		pk.win = int(p.integer("a window", 65535))
	} else if !pk.out {
		p.fail(t, "a window must be given for an inbound packet")
	}
	if p.accept("urg") {
		pk.urg = uint16(p.integer("an urgent pointer", 65535))
	}
}

// ipInfo reads what stands in brackets before the flags: ECN, the whole TOS byte, or the TTL.
func (p *parser) ipInfo(pk *packet) {
	end := "]"
	if p.next().text == "(" {
		end = ")"
	}
	switch t := p.next(); t.text {
	case "noecn", "ect0", "ect1", "ce":
		pk.tos, pk.tosMask = map[string]int{"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}[t.text], 3
	case "tos":
		pk.tos, pk.tosMask = int(p.integer("a TOS byte", 255)), 255
	case "ttl":
		pk.ttl = int(p.integer("a TTL", 255))
	default:
		p.fail(t, "%q in IP information is not supported", t.text)
	}
	p.expect(end)
}

// flags reads "S.", "P.", ".", "-" and the like.
func (p *parser) flags(pk *packet) {
	t := p.next()
	letters := t.text
	switch {
	case t.is("-"):
		return
	case t.is("."):
	case t.kind == tokWord:
		if p.accept(".") {
			letters += "."
		}
	default:
		p.fail(t, "expected TCP flags, got %v", t)
	}
	for i := range len(letters) {
		pk.flags |= p.flag(t, letters[i])
	}
}

func (p *parser) flag(t token, letter byte) wire.Flags {
	if letter == 'C' { // tcpdump's older letter
		return wire.CWR
	}
	for _, l := range flagLetters {
		if l.letter == letter {
			return l.flag
		}
	}
	p.fail(t, "the TCP flag %q is not supported", letter)
	return 0
}

// seqRange reads "1:1461(1460)".
func (p *parser) seqRange() (seq uint32, size int) {
	t := p.peek()
	seq = p.uint32("a sequence number")
	p.expect(":")
	end := p.uint32("a sequence number")
	p.expect("(")
	size = int(p.integer("a payload length", 65535))
	p.expect(")")
	if end != seq+uint32(size) {
		p.fail(t, "%d:%d(%d): the sequence numbers do not fit the length", seq, end, size)
	}
	return seq, size
}
