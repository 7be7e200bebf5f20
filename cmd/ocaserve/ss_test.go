package main

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sender sends n bytes when it is told that it may.
type sender struct{ n int }

func (h *sender) Writable(c *tcpstack.Conn) {
	for h.n > 0 && c.Room() > 0 {
		k := min(h.n, 64<<10)
		c.Append(stream.Bytes(make([]byte, k)))
		h.n -= k
	}
}
func (*sender) Readable(*tcpstack.Conn)      {}
func (*sender) Closed(*tcpstack.Conn, error) {}

// reader reads everything.
type reader struct{}

func (reader) Readable(c *tcpstack.Conn)    { c.Discard(c.Readable()) }
func (reader) Writable(*tcpstack.Conn)      {}
func (reader) Closed(*tcpstack.Conn, error) {}

// TestSsGolden prints a connection in the middle of a recovery and one at rest.
func TestSsGolden(t *testing.T) {
	const ms = time.Millisecond
	busy := connView{
		State: "ESTAB", RecvQ: 12, SendQ: 133_440, Stack: "rack", CC: "cubic",
		Local: netip.MustParseAddrPort("198.18.0.2:443"), Remote: netip.MustParseAddrPort("192.0.2.77:50123"),
		Info: &tcpstack.Info{
			Options: 15, SndWScale: 7, RcvWScale: 10, RTO: 257_399_123, Backoff: 1, RTT: 57_399_999, RTTVar: 10_866_000, MinRTT: 40_024_000,
			SndMSS: 1448, AdvMSS: 1460, PMTU: 1500, SndCwnd: 45, SndSsthresh: 45, BytesSent: 1_119_752, BytesRetrans: 71_176,
			BytesAcked: 915_136, BytesRecv: 678, SegsOut: 775, SegsIn: 498, DataSegsOut: 774, DataSegsIn: 3, LastDataSent: 7 * ms,
			LastAckRecv: 2 * ms, PacingRate: 1_500_000, MaxPacingRate: 3_125_000, DeliveryRate: 1_234_567, DeliveryAppLimited: true,
			Delivered: 697, DeliveredCE: 5, BusyTime: 539 * ms, RwndLimited: 54 * ms, Unacked: 93, Retrans: 3, TotalRetrans: 50,
			Lost: 2, Sacked: 65, DSACKDups: 4, ReordSeen: 6, RcvRTT: 1500 * time.Microsecond, RcvSpace: 14_480, NotsentBytes: 45_760,
			RcvOOOPack: 8, SndWnd: 1_219_584, RcvWnd: 65_536,
			Limits: tcpstack.LimitTimes{ms, 100 * ms, 200 * ms, 54 * ms, 100 * ms, 80 * ms, 5 * ms}, Limit: trace.LimitRecovery,
		},
	}
	rest := connView{
		State: "TIME-WAIT", Local: busy.Local, Remote: netip.MustParseAddrPort("[2001:db8::1]:4000"),
		Info: &tcpstack.Info{SndMSS: 1448, SndSsthresh: tcpstack.InfoNoSsthresh},
	}
	var text strings.Builder
	if err := printConns(&text, []connView{busy, rest}, true); err != nil {
		t.Fatal(err)
	}
	golden(t, "ss.golden", text.String())
}

// TestSsView looks at a download over 20 Mb/s, 40 ms and 1 % of loss, on a virtual clock, in the middle and after
// its end.
func TestSsView(t *testing.T) {
	net := netsim.New(3)
	bell := net.Dumbbell(netsim.DumbbellConfig{
		RTT: 40 * time.Millisecond, Rate: 2_500_000, BDPs: 1, Forward: netsim.WireConfig{Loss: netsim.Bernoulli(0.01)},
	})
	stack := func(addr netip.Addr, d *netsim.Device) *tcpstack.Shard {
		st, err := tcpstack.New(tcpstack.Config{
			Addrs: []netip.Addr{addr}, Clock: net.Now, Functions: "base", Secret: [16]byte{1}, Congestion: "newreno",
		}, []link.Device{d})
		if err != nil {
			t.Fatal(err)
		}
		net.Attach(st.Shards()[0], d)
		return st.Shards()[0]
	}
	server := stack(netsim.SenderAddr(0), bell.Senders[0])
	client := stack(netsim.ReceiverAddr(0), bell.Receivers[0])
	at := netip.AddrPortFrom(netsim.SenderAddr(0), 443)
	var conn *tcpstack.Conn
	if _, err := server.Stack().Listen(at, tcpstack.ListenConfig{Accept: func(c *tcpstack.Conn) tcpstack.Handler {
		conn = c
		h := &sender{n: 1 << 20}
		h.Writable(c)
		return h
	}}); err != nil {
		t.Fatal(err)
	}
	client.Post(tcpstack.MessageFunc(func(s *tcpstack.Shard) {
		if _, err := s.Dial(netip.AddrPortFrom(netsim.ReceiverAddr(0), 50123), at, reader{}); err != nil {
			t.Error(err)
		}
	}))
	for _, d := range []time.Duration{300 * time.Millisecond, 20 * time.Second} {
		if _, err := net.RunFor(d, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Step(net.Now()); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := printConns(&text, []connView{viewOf(conn, true)}, false); err != nil {
			t.Fatal(err)
		}
		wantIn(t, text.String(), "ESTAB 0 ", "10.1.0.1:443 10.2.0.1:50123\n\tts sack newreno wscale:", " mss:1448 pmtu:1500 ",
			" cwnd:", " data_segs_out:", " busy:", " minrtt:40.024 ", " stack:base limit:")
		if d > time.Second {
			wantIn(t, text.String(), " bytes_acked:1048576 ", " limit:idle(")
		} else {
			wantIn(t, text.String(), " unacked:", " snd_wnd:")
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant, from %s\n%s", got, name, want)
	}
}

func TestSsRate(t *testing.T) {
	for bits, want := range map[float64]string{
		0: "0", 999: "999", 1000: "1K", 11_584_000: "11.6M", 114_700_000: "115M", 999_400_000: "999M", 999_600_000: "1G",
		2.5e12: "2.5T",
	} {
		if got := ssRate(bits); got != want {
			t.Errorf("%v: %s, want %s", bits, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	flow := &wire.Flow{
		Local: wire.AddrFrom(netip.MustParseAddr("198.18.0.2")), LocalPort: 443,
		Remote: wire.AddrFrom(netip.MustParseAddr("192.0.2.77")), RemotePort: 50123,
	}
	for text, want := range map[string]bool{
		"": true, "sport = :443": true, "sport 443": true, "sport != :443": false, "dport > :50000": true,
		"dport <= 50122": false, "src 198.18.0.2": true, "src 198.18.0.2:443": true, "src 198.18.0.2:80": false,
		"dst 192.0.2.0/24": true, "dst = 192.0.3.0/24": false, "dst :50123": true, "dst [2001:db8::1]:50123": false,
		"sport 443 dport 50123": true, "sport 443 and dport 1": false, "sport 1 or dport 50123": true,
		"not sport 443": false, "not ( sport 443 and dport 1 )": true, "(sport 1 or sport 443) and !(dport 1)": true,
		"sport 1 and sport 443 or sport 443": true, "not not sport 443": true,
	} {
		f, err := parseFilter(text)
		if err != nil || f(flow) != want {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{
		"sport", "sport =", "sport = http", "sport = :70000", "foo", "( sport 1", "sport 1 )", "and", "src", "src x", "dst 1.2.3.4/40",
		"not", "sport 1 or",
	} {
		if _, err := parseFilter(text); err == nil || !strings.Contains(err.Error(), "write such as") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("not ( sport = :443 and dst 192.0.2.0/24 ) or src [::1]:80")
	flow := &wire.Flow{Local: wire.AddrFrom(netip.MustParseAddr("198.18.0.2")), LocalPort: 443}
	f.Fuzz(func(_ *testing.T, text string) {
		if match, err := parseFilter(text); err == nil {
			match(flow)
		}
	})
}

func TestShare(t *testing.T) {
	cfg, err := traceConfig("", 0.1)
	if err != nil {
		t.Fatal(err)
	}
	in := 0
	flow := wire.Flow{Local: wire.AddrFrom(netip.MustParseAddr("198.18.0.2")), LocalPort: 443}
	for port := range uint16(20_000) {
		flow.RemotePort = 40_000 + port
		if cfg.Match(&flow) {
			in++
		}
	}
	if in < 1800 || in > 2200 {
		t.Errorf("%d of 20000 are in a tenth", in)
	}
	for text, want := range map[string]share{"1%": 0.01, "0.5": 0.5, "100%": 1} {
		var s share
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "0", "x", "101%", "-1%", "NaN"} {
		if err := new(share).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a share", text)
		}
	}
}
