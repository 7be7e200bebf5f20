package script

import (
	"encoding/hex"
	"strings"
)

// packetOptions reads "<mss 1460,nop,...>", "<...>" or nothing.
func (p *parser) packetOptions(pk *packet) {
	open := p.peek()
	// A "<" on a line of its own time would be the next event's, but an event begins with a time, so that
	// a bracket here always opens options.
	if !p.accept("<") {
		return
	}
	if t := p.peek(); p.accept("...") {
		if !pk.out {
			p.fail(t, "<...> can stand for the options of an outbound packet only")
		}
		pk.anyOpts = true
		p.expect(">")
		return
	}
	size := 0
	for {
		o := p.tcpOption()
		size += o.size()
		pk.opts = append(pk.opts, o)
		if !p.accept(",") {
			break
		}
	}
	p.expect(">")
	if size%4 != 0 {
		p.fail(open, "the options are %d bytes long, which is no multiple of 4", size)
	}
	if size > 40 {
		p.fail(open, "the options are %d bytes long; a header has room for 40", size)
	}
}

func (p *parser) tcpOption() option {
	switch t := p.next(); t.text {
	case "nop":
		return option{kind: optNOP}
	case "eol":
		return option{kind: optEOL}
	case "mss":
		return option{kind: optMSS, a: uint32(p.integer("an MSS", 65535))}
	case "wscale":
		return option{kind: optWScale, a: uint32(p.integer("a window scale", 255))}
	case "sackOK":
		return option{kind: optSackOK}
	case "sack":
		return p.sackOption()
	case "TS":
		return p.timestampOption()
	case "FO":
		return p.fastOpenOption()
	default:
		p.fail(t, "the TCP option %v is not supported", t)
		return option{}
	}
}

func (p *parser) sackOption() option {
	o := option{kind: optSack}
	for p.peek().kind == tokInt {
		left := p.uint32("a SACK edge")
		p.expect(":")
		o.blocks = append(o.blocks, [2]uint32{left, p.uint32("a SACK edge")})
	}
	if len(o.blocks) == 0 {
		p.fail(p.peek(), "sack needs at least one block")
	}
	return o
}

func (p *parser) timestampOption() option {
	p.expect("val")
	val := p.uint32("a timestamp")
	p.expect("ecr")
	return option{kind: optTS, a: val, b: p.uint32("a timestamp")}
}

// fastOpenOption reads a Fast Open cookie in hexadecimal digits, the word TFO_COOKIE for the one that the stack gave
// last, or nothing: a request.
func (p *parser) fastOpenOption() option {
	o, t := option{kind: optFO}, p.peek()
	switch {
	case p.accept("TFO_COOKIE"):
		o.cookie = true
	case t.kind == tokInt || t.kind == tokWord:
		raw, err := hex.DecodeString(strings.TrimPrefix(p.next().text, "0x"))
		if err != nil || len(raw) < 4 || len(raw) > 16 {
			p.fail(t, "a Fast Open cookie is 4 to 16 bytes in hexadecimal digits, not %v", t)
		}
		o.raw = raw
	}
	return o
}

// icmp reads "icmp unreachable frag_needed mtu 1200 [1:1461(1460)]".
func (p *parser) icmp(pk *packet) {
	t := p.next()
	if pk.out {
		p.fail(t, "outbound ICMP is not supported")
	}
	m := &icmp{typ: p.word("an ICMP type")}
	if w := p.peek(); w.kind == tokWord && !w.is("mtu") && !w.is("id") {
		m.code = p.next().text
	}
	if p.accept("mtu") {
		m.mtu = int(p.integer("an MTU", 65535))
	}
	if _, _, ok := icmpCode(p.config.v6, m); !ok {
		p.fail(t, "the ICMP message %q %q is not supported", m.typ, m.code)
	}
	if p.accept("[") {
		m.seq, m.size = p.seqRange()
		p.expect("]")
	} else {
		m.seq = 1
	}
	pk.icmp = m
}

// icmpCodes4 are the codes of ICMP destination unreachable (RFC 792, RFC 1122 section 3.2.2.1), and
// icmpCodes6 those of ICMPv6 (RFC 4443 section 3.1), by packetdrill's names.
var (
	icmpCodes4 = map[string]uint8{
		"net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3,
		"frag_needed": 4, "source_route_failed": 5, "net_unknown": 6, "host_unknown": 7, "net_prohibited": 9,
		"host_prohibited": 10, "admin_prohibited": 13,
	}
	icmpCodes6 = map[string]uint8{
		"no_route": 0, "admin_prohibited": 1, "not_neighbour": 2, "address_unreachable": 3, "port_unreachable": 4,
	}
)

// icmpCode is the type and code on the wire of m.
func icmpCode(v6 bool, m *icmp) (typ, code uint8, ok bool) {
	switch {
	case v6 && m.typ == "packet_too_big" && m.code == "":
		return 2, 0, true
	case v6 && m.typ == "unreachable":
		code, ok = icmpCodes6[m.code]
		return 1, code, ok
	case !v6 && m.typ == "unreachable":
		code, ok = icmpCodes4[m.code]
		return 3, code, ok
	case !v6 && m.typ == "source_quench" && m.code == "":
		return 4, 0, true
	}
	return 0, 0, false
}
