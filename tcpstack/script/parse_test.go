package script

import (
	"errors"
	"testing"
)

// TestSyntaxErrors: what the runner does not know is an error that names the line, never a pass.
func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"", "t.pkt:1: the script has no events"},
		{"--tso=1\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", "t.pkt:1: the option --tso is not supported"},
		{"--tolerance_usecs=x\n0", "t.pkt:1: --tolerance_usecs: \"x\" is not a number from 0 to 1000000000"},
		{"--ip_version=ipv4-mapped-ipv6\n0", "t.pkt:1: --ip_version=ipv4-mapped-ipv6: only ipv4 and ipv6 are supported"},
		{"`rm -rf x`", "t.pkt:1: shell commands are not supported: rm -rf x"},
		{"`sysctl -q net.ipv4.tcp_sack=1\nsysctl -q net.ipv4.tcp_sack=0`", "t.pkt:2: shell commands are not supported: sysctl -q net.ipv4.tcp_sack=0"},
		{"0 `sleep 1`", "t.pkt:1: shell commands are not supported: sleep 1"},
		{"1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", "t.pkt:1: the first event must be at time 0"},
		{"0 splice(3) = 3", "t.pkt:1: the call splice is not supported"},
		{"0 socket(...) = 3", "t.pkt:1: socket takes 3 arguments, not 1"},
		{"0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3", "t.pkt:1: the name SOCK_DGRAM is not known"},
		{"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [9], 4) = 0", "t.pkt:2: TCP_MAXSEG cannot be set"},
		{"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0 setsockopt(3, SOL_TCP, TCP_CORK, [9], 4) = 0",
			"t.pkt:2: setsockopt: the option IPPROTO_TCP, TCP_CORK is not supported"},
		{"0 read(3, ..., 1) = -1 EWEIRD (odd)", "t.pkt:1: the error EWEIRD is not known"},
		{"0 read(3, ..., 1) = 4 EINVAL (odd)", "t.pkt:1: a call that fails with EINVAL returns -1, not 4"},
		{"0 read(3, ..., 1) = 4", "t.pkt:1: descriptor 3 is not open"},
		{"0 < S 0:0(0)", "t.pkt:1: a window must be given for an inbound packet"},
		{"0 < X 0:0(0) win 1", "t.pkt:1: the TCP flag 'X' is not supported"},
		{"0 < .5 0:0(0) win 1", "t.pkt:1: expected TCP flags, got \".5\""},
		{"0 < S 0:1(0) win 1", "t.pkt:1: 0:1(0): the sequence numbers do not fit the length"},
		{"0 < S 0:0(0) win 65536", "t.pkt:1: a window is out of range: 65536"},
		{"0 < S 0:0(0) win 1 <mss 1460,nop>", "t.pkt:1: the options are 5 bytes long, which is no multiple of 4"},
		{"0 < S 0:0(0) win 1 <FO abc>", "t.pkt:1: a Fast Open cookie is 4 to 16 bytes in hexadecimal digits, not \"abc\""},
		{"0 < S 0:0(0) win 1 <...>", "t.pkt:1: <...> can stand for the options of an outbound packet only"},
		{"0 < udp (1000)", "t.pkt:1: udp packets are not supported"},
		{"0 < icmp redirect", "t.pkt:1: the ICMP message \"redirect\" \"\" is not supported"},
		{"0 < [flowlabel 0x1] S 0:0(0) win 1", "t.pkt:1: \"flowlabel\" in IP information is not supported"},
		{"* < S 0:0(0) win 1", "t.pkt:1: only an outbound packet can have a time that is a range or *"},
		{"0 < S 0:0(0) win 1\n+.2~+.1 > S. 0:0(0) ack 1", "t.pkt:2: the time range goes backwards"},
		{"0 < S 0:0(0) win 1\n+.2~.3 > S. 0:0(0) ack 1", "t.pkt:2: both ends of a time range are relative, or none is"},
		{"0 < S 0:0(0) win 1 junk", "t.pkt:1: expected a time in seconds, got \"junk\""},
		{"/* never", "t.pkt:1: the comment does not end"},
		{"0 < S 0:0(0) win 1\n\n+0 %{ import os }%", "t.pkt:3: the statement \"import\" is not supported: there are assert, print and assignment"},
		{opening + "+0 %{\nassert tcpi_rcv_mss == 1 }%", "t.pkt:9: the name tcpi_rcv_mss is not known"},
		{opening + "+0 %{ assert len(3) }%", "t.pkt:8: the function len is not supported"},
		{opening + "+0 %{ assert 1 = 1 }%", "t.pkt:8: unexpected \"=\" in code"},
		{opening + "+0 < . 1:1(0) ack 1 win 1 <nop,nop,TS val 1 ecr 2>",
			"t.pkt:8: the script echoes timestamp 2, but no line with <TS val ...> has named one the stack has sent"},
		{opening + "+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, \"reno\", 4) = 0",
			"t.pkt:8: TCP_CONGESTION can be set only before the first listen or connect"},
		{"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0 setsockopt(3, SOL_TCP, TCP_CONGESTION, \"vegas\", 5) = 0",
			"t.pkt:2: TCP_CONGESTION: \"vegas\" is not known"},
	} {
		_, err := Run("t.pkt", []byte(tt.src), Options{})
		if _, ok := errors.AsType[*SyntaxError](err); !ok || err.Error() != tt.want {
			t.Errorf("%s\n got: %v\nwant: %s", tt.src, err, tt.want)
		}
	}
}

// TestSyntax: forms of packetdrill's language that say the same.
func TestSyntax(t *testing.T) {
	const src = "--tolerance_usecs=5000 --ip_version=ipv4\n--verbose // an option\n`../common/defaults.sh\nsysctl -q net.ipv4.tcp_congestion_control=\"reno\"`\n" +
		`/* a
   comment */ 0.000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3 # another
   +0.0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0   +0 bind(3, ..., ...) = 0
   0 listen(3, 0x1) = 0
0.1 < (ttl 63) SEW 123:123(0) win 32792 <nop,nop,mss 1000,sackOK,nop,nop,eol,eol>
0.1~0.11 > [noecn] SE. 9000:9000(0) ack 124 <mss 1460,nop,nop,sackOK>
+.1 < 50000 > 8080 . 1:1(0) ack 1 win 257
* > . 1:1(0) ack 1
`
	_, err := Run("t.pkt", []byte(src), Options{})
	if m, ok := errors.AsType[*Mismatch](err); !ok || m.Line != 12 || m.What != "no packet" {
		t.Fatalf("got %v, want the last line to wait in vain", err)
	}
}

// FuzzParse: no script makes the parser do anything but return.
func FuzzParse(f *testing.F) {
	f.Add([]byte(opening))
	f.Add([]byte("0 < [ce] FSRPUEW. 1:2(1) ack 3 win 4 urg 5 <nop,eol,sack 1:2 3:4,TS val 1 ecr 2>\n+0 %{ x = 1 }%"))
	f.Add([]byte("0...1 poll([{fd=1, events=POLLIN|POLLOUT}], 1, -1) = -1 EAGAIN (text here)"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := parse("t.pkt", src)
		if err == nil {
			for i := range p.events { // what was parsed can be written down
				if e := &p.events[i]; e.packet != nil {
					_ = e.packet.String()
				} else if e.call != nil {
					_ = e.call.String()
				}
			}
		} else if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Fatal(err)
		}
	})
}

// TestFastOpenCookieUnknown: TFO_COOKIE is a cookie that the stack has given, and nothing before.
func TestFastOpenCookieUnknown(t *testing.T) {
	const src = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 listen(3, 1) = 0\n+0 < S 0:9(9) win 9 <FO TFO_COOKIE,nop,nop>"
	if _, err := Run("t.pkt", []byte(src), Options{}); err == nil || err.Error() != "t.pkt:3: the stack has given no Fast Open cookie yet" {
		t.Fatal(err)
	}
}
