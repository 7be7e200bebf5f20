package script

import (
	"strconv"
	"strings"

	"ocaserve/tcpstack"
)

// callEvent reads "[...END] name(arguments) = result [ERRNO (text)] [(text)]".
func (p *parser) callEvent(e *event) {
	if p.accept("...") {
		e.blocks, e.blocking = true, p.seconds()
		if e.blocking < e.at {
			p.fail(token{line: e.line}, "the call ends before it begins")
		}
	}
	t := p.peek()
	c := &call{name: p.word("a call")}
	if _, ok := calls[c.name]; !ok {
		p.fail(t, "the call %s is not supported", c.name)
	}
	p.expect("(")
	for !p.accept(")") {
		c.args = append(c.args, p.expr())
		if !p.peek().is(")") {
			p.expect(",")
		}
	}
	p.expect("=")
	c.result = p.expr()
	if w := p.peek(); w.kind == tokWord {
		c.errno = p.next().text
		if errnoText[c.errno] == 0 {
			p.fail(w, "the error %s is not known", c.errno)
		}
		p.note()
	}
	p.note()
	if c.errno != "" && (c.result.kind != exprInt || c.result.num != -1) {
		p.fail(t, "a call that fails with %s returns -1, not %v", c.errno, c.result)
	}
	e.call = c
}

// note passes a remark in parentheses.
func (p *parser) note() {
	if !p.accept("(") {
		return
	}
	for !p.accept(")") {
		if t := p.next(); t.kind != tokWord && t.kind != tokInt {
			p.fail(t, "unexpected %v in a note", t)
		}
	}
}

// expr reads an argument.
func (p *parser) expr() expr {
	switch t := p.next(); {
	case t.kind == tokEllipsis:
		return expr{}
	case t.kind == tokInt:
		n, err := strconv.ParseInt(t.text, 0, 64)
		if err != nil {
			p.fail(t, "bad number %v", t)
		}
		return expr{kind: exprInt, num: n}
	case t.kind == tokString:
		return p.stringExpr(t)
	case t.kind == tokWord:
		x := expr{kind: exprWord, words: []string{t.text}}
		for p.accept("|") {
			x.words = append(x.words, p.word("a flag"))
		}
		return x
	case t.is("["):
		return expr{kind: exprList, list: p.list("]")}
	case t.is("{"):
		return p.structExpr()
	default:
		p.fail(t, "unexpected %v in an argument", t)
		return expr{}
	}
}

func (p *parser) stringExpr(t token) expr {
	x := expr{kind: exprString}
	for s := t; ; s = p.next() {
		text, err := strconv.Unquote(`"` + s.text + `"`)
		if err != nil {
			p.fail(s, "bad string %q", s.text)
		}
		x.text += text
		if p.peek().kind != tokString {
			return x
		}
	}
}

func (p *parser) list(end string) []expr {
	var all []expr
	for !p.accept(end) {
		all = append(all, p.expr())
		if !p.peek().is(end) {
			p.expect(",")
		}
	}
	return all
}

// structExpr reads "{fd = 4, events = POLLIN}", or a list in braces whose names are empty.
func (p *parser) structExpr() expr {
	x := expr{kind: exprStruct}
	for !p.accept("}") {
		name := ""
		if p.toks[p.at].kind == tokWord && p.at+1 < len(p.toks) && p.toks[p.at+1].is("=") {
			name = p.next().text
			p.next()
		}
		x.names, x.list = append(x.names, name), append(x.list, p.expr())
		if !p.peek().is("}") {
			p.expect(",")
		}
	}
	return x
}

// sysctls is what the commands of a script set, as far as the stack follows.
type sysctls struct {
	congestion string
	base       bool // the base stack: neither RACK nor tail loss probes
	maxReceive int  // of the receive buffer, bytes; 0: the stack's default
	ecn        tcpstack.ECN
	mtuProbing tcpstack.MTUProbing
}

// defaultsScripts are the set-up that packetdrill's and Linux's own scripts share. Of what it sets, the
// scripts show the largest receive buffer, 15 MiB, by the window scale 8 that follows from it.
var defaultsScripts = map[string]bool{
	"../common/defaults.sh": true, "../../common/defaults.sh": true, "./defaults.sh": true,
}

const defaultsMaxReceive = 15 << 20

// settings are the commands that set something of the stack.
var settings = map[string]func(s *sysctls){
	"sysctl -q net.ipv4.tcp_ecn=0":         func(s *sysctls) { s.ecn = tcpstack.ECNOff },
	"sysctl -q net.ipv4.tcp_ecn=1":         func(s *sysctls) { s.ecn = tcpstack.ECNRequest },
	"sysctl -q net.ipv4.tcp_ecn=2":         func(s *sysctls) { s.ecn = tcpstack.ECNAccept },
	"sysctl -q net.ipv4.tcp_mtu_probing=0": func(s *sysctls) { s.mtuProbing = tcpstack.MTUProbeOff },
	"sysctl -q net.ipv4.tcp_mtu_probing=1": func(s *sysctls) { s.mtuProbing = tcpstack.MTUProbeBlackHole },
	"sysctl -q net.ipv4.tcp_mtu_probing=2": func(s *sysctls) { s.mtuProbing = tcpstack.MTUProbeAlways },
}

// harmless are the commands that set what the stack does anyway, or what it does not have. Nothing else is
// passed over: a script that needs a setting would otherwise pass for the wrong reason.
var harmless = map[string]bool{
	"sysctl -q net.ipv4.tcp_timestamps=1":                true,
	"sysctl -q net.ipv4.tcp_sack=1":                      true,
	"sysctl -q net.ipv4.tcp_window_scaling=1":            true,
	"sysctl -q net.ipv4.tcp_no_metrics_save=1":           true,
	"sysctl -q net.ipv4.tcp_slow_start_after_idle=1":     true,
	"sysctl -q net.ipv4.tcp_fastopen=0":                  true, // a listener asks for it with TCP_FASTOPEN
	"sysctl -q net.ipv4.tcp_fastopen=3":                  true,
	"sysctl -q net.ipv4.tcp_recovery=1":                  true,
	"sysctl -q net.ipv4.tcp_early_retrans=3":             true,
	"sysctl -q net.ipv4.tcp_reordering=3":                true,
	"sysctl -q net.ipv4.tcp_moderate_rcvbuf=1":           true,
	"sysctl -q net.ipv4.tcp_workaround_signed_windows=0": true,
	"sysctl -q net.ipv4.tcp_min_tso_segs=4":              true,
	"tc qdisc replace dev tun0 root fq":                  true,
	"tc qdisc replace dev tun0 root pfifo":               true,
}

// baseCommands turn off a part of what the rack stack is; the base stack has none of it.
var baseCommands = map[string]bool{
	"sysctl -q net.ipv4.tcp_recovery=0":      true,
	"sysctl -q net.ipv4.tcp_early_retrans=0": true,
}

// command takes the text between backticks: one command per line or semicolon.
func (s *sysctls) command(p *parser, t token) {
	for i, line := range strings.Split(t.text, "\n") {
		for c := range strings.SplitSeq(line, ";") {
			c = strings.Join(strings.Fields(c), " ")
			switch cc, isCC := strings.CutPrefix(c, "sysctl -q net.ipv4.tcp_congestion_control="); {
			case c == "", strings.HasPrefix(c, "#"), harmless[c]:
			case baseCommands[c]:
				s.base = true
			case settings[c] != nil:
				settings[c](s)
			case defaultsScripts[c]:
				s.maxReceive = defaultsMaxReceive
			case isCC:
				s.congestion = congestionName(cc)
			default:
				fail(p.file, t.line+i, "shell commands are not supported: %s", c)
			}
		}
	}
}

// congestionName translates Linux's name.
func congestionName(s string) string {
	if s = strings.Trim(s, `"'`); s == "reno" {
		return "newreno"
	}
	return s
}
