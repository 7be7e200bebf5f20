package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestPlanAddrs(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"198.18.0.2/24", "198.18.0.1/24>198.18.0.2/24 fd6f:6361:c612::1/64>fd6f:6361:c612::2/64"},
		{"10.1.2.77/16", "10.1.0.1/16>10.1.2.77/16 fd6f:6361:a01::1/64>fd6f:6361:a01::24d/64"},
		{"fd00::5/64", "fd00::1/64>fd00::5/64"},
		{"fd00::5/64, 10.0.0.9/28", "10.0.0.1/28>10.0.0.9/28 fd00::1/64>fd00::5/64"},
		{"198.18.0.2", "not an address with a prefix length"},
		{"198.18.0.0/24", "use 198.18.0.2/24"},
		{"198.18.0.255/24", "is taken"},
		{"198.18.0.2/31", "no room"},
		{"127.0.0.2/8", "plain unicast"},
		{"::ffff:1.2.3.4/120", "plain unicast"},
		{"10.0.0.2/24,10.0.1.2/24", "at most one"},
	} {
		p, err := planAddrs(c.addr)
		got := fmt.Sprint(err)
		if err == nil {
			got = ""
			for i := range p.Stack {
				got += fmt.Sprintf(" %s>%s", p.Host[i], p.Stack[i])
			}
		}
		if err == nil && got[1:] != c.want || err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.addr, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]size{
		"4096": 4096, "64k": 65536, "512MiB": 512 << 20, "2GB": 2e9, "1.5g": 3 << 29, "7 B": 7,
		"": 0, "-1": 0, "lots": 0, "nan": 0, "9e30": 0, "0": 0,
	} {
		var got size
		if err := got.UnmarshalText([]byte(text)); (err != nil) != (want == 0) || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	if got := fmt.Sprint(size(1536<<20), size(800), size(1<<40)); got != "1.5 GiB 800 B 1 TiB" {
		t.Errorf("sizes print as %s", got)
	}
}

func TestChooseLink(t *testing.T) {
	broken := func() error { return fmt.Errorf("no /dev/net/tun; run modprobe tun") }
	works := func() error { return nil }
	for _, c := range []struct {
		net   string
		probe func() error
		want  string
	}{
		{"auto", works, "tun /dev/net/tun is here"},
		{"auto", broken, "relay a TUN is not possible here: no /dev/net/tun; run modprobe tun"},
		{"tun", works, "tun asked for"},
		{"tun", broken, "use --net relay"},
		{"relay", works, "relay asked for"},
	} {
		got, err := chooseLink(c.net, c.probe)
		text := fmt.Sprint(got.net, " ", got.why, err)
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: got %s, want %s", c.net, text, c.want)
		}
	}
}
