package main

import (
	"strings"
	"testing"

	"ocaserve/origin"
	"ocaserve/tcpstack"
)

func TestPaceFlags(t *testing.T) {
	cmd, _, err := parse([]string{"serve", t.TempDir(), "--pace", "25Mbps", "--egress", "10 Gbps", "--pace-requests"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := cmd.(*serveFlags)
	opts, err := f.options()
	if err != nil {
		t.Fatal(err)
	}
	var cfg tcpstack.Config
	opts.link.paceFlags.apply(&cfg)
	if cfg.MaxPacingRate != 3_125_000 || cfg.EgressRate != 1_250_000_000 {
		t.Errorf("%v per connection, %v in all", cfg.MaxPacingRate, cfg.EgressRate)
	}
	var o origin.Options
	opts.link.paceFlags.applyOrigin(&o)
	if o.Pace == nil {
		t.Error("--pace-requests changes nothing")
	}
}

func TestPaceFlagsThatAreWrong(t *testing.T) {
	for _, c := range []struct{ flag, value, want string }{
		{"--pace", "25", "want a number with a unit"},
		{"--pace-burst", "1s", "--pace-burst 1s is out of range"},
		{"--pace", "1kbps", "--pace 1kbps would not carry anything"},
		{"--egress", "7bps", "--egress 8bps would not carry anything"},
	} {
		cmd, _, err := parse([]string{"serve", t.TempDir(), c.flag, c.value}, nil, nil)
		if err == nil {
			_, err = cmd.(*serveFlags).options()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.flag, c.value, err, c.want)
		}
	}
}
