package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"ocaserve/tcpstack/wire"
)

// A flowFilter says whether a connection is meant. Local is the server's end, as in ss: sport is its port.
type flowFilter func(*wire.Flow) bool

// filterParser reads ss's filter language, as far as it is about addresses and ports:
//
//	or    = and { "or" and }
//	and   = not { ["and"] not }
//	not   = ["not"] ( "(" or ")" | term )
//	term  = ("sport" | "dport") [op] [":"]PORT | ("src" | "dst") ["="] [ADDR[/LEN]][:PORT]
//	op    = "=" "==" "eq" "!=" "ne" "<" "lt" ">" "gt" "<=" "le" ">=" "ge"
type filterParser struct {
	words []string
	err   error
}

// parseFilter reads a filter; an empty one lets everything through.
func parseFilter(text string) (flowFilter, error) {
	for _, p := range []string{"(", ")"} {
		text = strings.ReplaceAll(text, p, " "+p+" ")
	}
	p := filterParser{words: strings.Fields(text)}
	if len(p.words) == 0 {
		return func(*wire.Flow) bool { return true }, nil
	}
	f := p.or()
	if p.err == nil && len(p.words) > 0 {
		p.fail("did not expect %q", p.words[0])
	}
	return f, p.err
}

func (p *filterParser) fail(format string, args ...any) flowFilter {
	if p.err == nil {
		p.err = fmt.Errorf("filter: "+format+"; write such as: sport = :443 and dst 192.0.2.0/24", args...)
	}
	p.words = nil
	return func(*wire.Flow) bool { return false }
}

// next takes a word if it is one of those given; without any, it takes whatever comes.
func (p *filterParser) next(want ...string) string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	ok := len(want) == 0
	for _, x := range want {
		ok = ok || w == x
	}
	if !ok {
		return ""
	}
	p.words = p.words[1:]
	return w
}

func (p *filterParser) or() flowFilter {
	f := p.and()
	for p.next("or", "||", "|") != "" {
		a, b := f, p.and()
		f = func(w *wire.Flow) bool { return a(w) || b(w) }
	}
	return f
}

func (p *filterParser) and() flowFilter {
	f := p.not()
	for len(p.words) > 0 && p.words[0] != ")" && p.words[0] != "or" && p.words[0] != "||" && p.words[0] != "|" {
		p.next("and", "&&", "&")
		a, b := f, p.not()
		f = func(w *wire.Flow) bool { return a(w) && b(w) }
	}
	return f
}

func (p *filterParser) not() flowFilter {
	switch {
	case p.next("not", "!") != "":
		f := p.not()
		return func(w *wire.Flow) bool { return !f(w) }
	case p.next("(") != "":
		f := p.or()
		if p.err == nil && p.next(")") == "" {
			return p.fail("a parenthesis is not closed")
		}
		return f
	}
	switch w := p.next(); w {
	case "sport", "dport":
		return p.port(w == "sport")
	case "src", "dst":
		return p.addr(w == "src")
	case "":
		return p.fail("it ends too early")
	default:
		return p.fail("%q is not sport, dport, src or dst", w)
	}
}

// compare are the operators.
var compare = map[string]func(a, b uint16) bool{
	"=": func(a, b uint16) bool { return a == b }, "!=": func(a, b uint16) bool { return a != b },
	"<": func(a, b uint16) bool { return a < b }, ">": func(a, b uint16) bool { return a > b },
	"<=": func(a, b uint16) bool { return a <= b }, ">=": func(a, b uint16) bool { return a >= b },
}

var operatorNames = map[string]string{
	"=": "=", "==": "=", "eq": "=", "!=": "!=", "ne": "!=", "neq": "!=", "<": "<", "lt": "<", ">": ">", "gt": ">",
	"<=": "<=", "le": "<=", "leq": "<=", ">=": ">=", "ge": ">=", "geq": ">=",
}

func (p *filterParser) port(local bool) flowFilter {
	op := "="
	if len(p.words) > 0 && operatorNames[p.words[0]] != "" {
		op = operatorNames[p.next()]
	}
	text := p.next()
	n, err := strconv.ParseUint(strings.TrimPrefix(text, ":"), 10, 16)
	if err != nil {
		return p.fail("%q is not a port", text)
	}
	cmp := compare[op]
	return func(w *wire.Flow) bool {
		if local {
			return cmp(w.LocalPort, uint16(n))
		}
		return cmp(w.RemotePort, uint16(n))
	}
}

func (p *filterParser) addr(local bool) flowFilter {
	p.next("=", "==", "eq")
	text := p.next()
	prefix, port, err := parseEndpoint(text)
	if err != nil {
		return p.fail("%q is not an address, a network or an address with a port", text)
	}
	return func(w *wire.Flow) bool {
		end := w.RemoteAddrPort()
		if local {
			end = w.LocalAddrPort()
		}
		return (port == 0 || end.Port() == port) && (!prefix.IsValid() || prefix.Contains(end.Addr().Unmap()))
	}
}

// parseEndpoint reads ADDR, ADDR/LEN, ADDR:PORT, [ADDR]:PORT or :PORT; port 0 means any.
func parseEndpoint(text string) (prefix netip.Prefix, port uint16, err error) {
	if rest, ok := strings.CutPrefix(text, ":"); ok && !strings.Contains(rest, ":") {
		n, err := strconv.ParseUint(rest, 10, 16)
		return netip.Prefix{}, uint16(n), err
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), 0, nil
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()), ap.Port(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.Prefix{}, 0, err
	}
	return netip.PrefixFrom(a, a.BitLen()), 0, nil
}
