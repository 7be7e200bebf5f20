package script

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// each runs f for every script that matches the pattern.
func each(t *testing.T, pattern string, f func(t *testing.T, name string, src []byte)) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no scripts: %v", pattern, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f(t, name, src)
		})
	}
}

// TestScripts runs every script of testdata: what the stack does is written down there.
func TestScripts(t *testing.T) {
	each(t, "testdata/*.pkt", func(t *testing.T, name string, src []byte) {
		if _, err := Run(name, src, Options{Print: t.Output(), Trace: t.Output()}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestScriptsNotice changes each number and flag of each outbound line of each script, one at a time: every such
// script must fail. So nothing that a line says goes unchecked.
func TestScriptsNotice(t *testing.T) {
	each(t, "testdata/*.pkt", func(t *testing.T, name string, src []byte) {
		p, err := parse(name, src)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.events {
			if e := &p.events[i]; e.outbound() {
				for what, mutate := range mutations(e.packet) {
					q, _ := parse(name, src)
					mutate(q.events[i].packet)
					if _, err := runProgram(q, Options{}); err == nil {
						t.Errorf("line %d: %v: another %s passes as well", e.line, e.packet, what)
					}
				}
			}
		}
	})
}

// mutations are the changes to a line that must not go unnoticed.
func mutations(p *packet) map[string]func(*packet) {
	m := map[string]func(*packet){
		"flag":            func(p *packet) { p.flags ^= 8 }, // PSH
		"length":          func(p *packet) { p.size++ },
		"acknowledgement": func(p *packet) { p.ack++ },
		"urgent pointer":  func(p *packet) { p.urg++ },
	}
	if p.flags&2 == 0 { // a script may number a SYN as it likes
		m["sequence number"] = func(p *packet) { p.seq++ }
	}
	if p.win >= 0 {
		m["window"] = func(p *packet) { p.win++ }
	}
	if p.tos >= 0 {
		m["ECN field"] = func(p *packet) { p.tos ^= 1 }
	}
	if !p.anyOpts {
		m["option"] = func(p *packet) { p.opts = append(p.opts, option{kind: optNOP}) }
	}
	for i, o := range p.opts {
		switch o.kind {
		case optTS:
			m["timestamp echo"] = func(p *packet) { p.opts[i].b++ }
		case optMSS, optWScale:
			m[o.String()] = func(p *packet) { p.opts[i].a++ }
		case optSack:
			m["SACK block"] = func(p *packet) { p.opts[i].blocks[0][1]++ }
		}
	}
	return m
}

// opening is a connection to port 8080, ready at 0.1 s.
const opening = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000,nop,nop,sackOK>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
`

// TestMismatch pins the messages of scripts that must fail. All begin with the opening, so that their first
// line is 8.
func TestMismatch(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"ack", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 2", `t.pkt:9: the packet differs in ack
  expected  0.100000 > P. 1:101(100) ack 2
  actual    0.100000 > P. 1:101(100) ack 1 win 65535`},
		{"several", "+0 write(4, ..., 100) = 100\n+0 > . 2:52(50) ack 1 win 7 <nop,nop,TS val 1 ecr 2>",
			`t.pkt:9: the packet differs in flags, sequence number, length, window, options
  expected  0.100000 > . 2:52(50) ack 1 win 7 <nop,nop,TS val 1 ecr 2>
  actual    0.100000 > P. 1:101(100) ack 1 win 65535`},
		{"missing", "+.5 > P. 1:101(100) ack 1", `t.pkt:8: no packet
  expected  0.600000 > P. 1:101(100) ack 1
  actual    none by 0.604000`},
		{"late", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.29 > P. 1:101(100) ack 1",
			`t.pkt:10: no packet
  expected  0.390000 > P. 1:101(100) ack 1
  actual    none by 0.394000`},
		{"early", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.305 > P. 1:101(100) ack 1",
			`t.pkt:10: the packet came 5ms too early (tolerance 4ms)
  expected  0.405000 > P. 1:101(100) ack 1
  actual    0.400000 > P. 1:101(100) ack 1 win 65535`},
		{"range", "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.31~+.4 > P. 1:101(100) ack 1",
			`t.pkt:10: the packet came 10ms too early (tolerance 4ms)
  expected  0.410000~0.500000 > P. 1:101(100) ack 1
  actual    0.400000 > P. 1:101(100) ack 1 win 65535`},
		{"any", "* > P. 1:101(100) ack 1", `t.pkt:8: no packet
  expected  * > P. 1:101(100) ack 1
  actual    none by 3600.104000`},
		{"unexpected", "+0 write(4, ..., 100) = 100\n+.1 < . 1:1(0) ack 101 win 65535", `t.pkt:9: a packet that no line expects
  expected  none
  actual    0.100000 > P. 1:101(100) ack 1 win 65535`},
		{"trailing", "+0 write(4, ..., 100) = 100", `t.pkt:8: the script ends, but the stack has sent 1 more (--trailing allows it)
  expected  none
  actual    0.100000 > P. 1:101(100) ack 1 win 65535`},
		{"result", "+0 write(4, ..., 100) = 50", `t.pkt:8: write returns something else
  expected  write(4, ..., 100) = 50
  actual    100`},
		{"errno", "+0 read(4, ..., 100) = -1 ECONNRESET (Connection reset by peer)\n", `t.pkt:8: the call does not return
  expected  read(4, ..., 100) = -1 ECONNRESET
  actual    it blocks`},
		{"no errno", "+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n+0 read(4, ..., 100) = 0", `t.pkt:9: read returns something else
  expected  read(4, ..., 100) = 0
  actual    -1 EAGAIN`},
		{"blocked", "+0...0.2 read(4, ..., 100) = 100", `t.pkt:8: the call does not return
  expected  read(4, ..., 100) = 100 by 0.300000
  actual    it still blocks`},
		{"blocked too short", "+0...0.2 read(4, ..., 100) = 100\n+.1 < P. 1:101(100) ack 1 win 65535\n+0 > . 1:1(0) ack 101",
			`t.pkt:8: the call returns -100ms off its time
  expected  read(4, ..., 100) = 100 at 0.300000
  actual    at 0.200000`},
		{"sockopt", "+0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [1460], [4]) = 0", `t.pkt:8: getsockopt returns another value
  expected  getsockopt(4, SOL_TCP, TCP_MAXSEG, [1460], [4]) = 0
  actual    [1000]`},
		{"poll", "+0 poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 0", `t.pkt:8: poll returns another value
  expected  poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 0
  actual    descriptor 0 of the list: revents 0x0`},
		{"assert", "+0 %{\n\nassert tcpi_snd_cwnd == 11 and 1, 'ten'\n}%", `t.pkt:10: the assertion fails
  expected  assert tcpi_snd_cwnd == 11 and 1
  actual    tcpi_snd_cwnd = 10; message: ten`},
		{"SACK", "+0 < . 1001:2001(1000) ack 1 win 65535\n+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2002>", `t.pkt:9: the packet differs in options
  expected  0.100000 > . 1:1(0) ack 1 <nop,nop,sack 1001:2002>
  actual    0.100000 > . 1:1(0) ack 1 win 65535 <nop,nop,sack 1001:2001>`},
		{"ECN", "+0 write(4, ..., 100) = 100\n+0 > [ect0] P. 1:101(100) ack 1", `t.pkt:9: the packet differs in TOS
  expected  0.100000 > [ect0] P. 1:101(100) ack 1
  actual    0.100000 > P. 1:101(100) ack 1 win 65535`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Run("t.pkt", []byte(opening+tt.script), Options{})
			if _, ok := errors.AsType[*Mismatch](err); !ok || err.Error() != tt.want {
				t.Fatalf("got:\n%v\nwant:\n%s", err, tt.want)
			}
		})
	}
}

// TestTimestampValues: the value of our timestamps counts once the script says how long a tick is.
func TestTimestampValues(t *testing.T) {
	const s = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000,sackOK,TS val 7 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 7>
+.1 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 107 ecr 100>
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1 <nop,nop,TS val VAL ecr 107>
`
	for _, tt := range []struct {
		head, val string
		ok        bool
	}{
		{"", "999", true}, {"--tcp_ts_tick_usecs=1000\n", "200", true}, {"--tcp_ts_tick_usecs=1000\n", "204", true},
		{"--tcp_ts_tick_usecs=1000\n", "205", false}, {"--tcp_ts_tick_usecs=1000\n", "195", false},
	} {
		_, err := Run("t.pkt", []byte(tt.head+strings.Replace(s, "VAL", tt.val, 1)), Options{})
		if (err == nil) != tt.ok {
			t.Errorf("%q, val %s: %v", tt.head, tt.val, err)
		}
	}
}

// TestTrailing: with the option, what is left at the end is no mismatch.
func TestTrailing(t *testing.T) {
	if _, err := Run("t.pkt", []byte(opening+"+0 close(4) = 0"), Options{Trailing: true}); err != nil {
		t.Fatal(err)
	}
}

// TestPrint: print writes, and variables last from one piece of code to the next.
func TestPrint(t *testing.T) {
	var out strings.Builder
	src := opening + "+0 %{ x = tcpi_snd_mss * 2 }%\n+0 %{ print(x, x / 16, -7 // 2, 'a b', 1 < 2 < 2, not 0, 6 & ~2 | 1 << 4) }%"
	if _, err := Run("t.pkt", []byte(src), Options{Print: &out}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "2000 125 -4 a b 0 1 20\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
