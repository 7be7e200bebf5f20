package nicoffload

import (
	"strings"
	"testing"

	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/memory"
)

// With TSO and checksums switched off at run time a stack that goes on to send superframes is served by the host.
func TestHostFallback(t *testing.T) {
	for _, tc := range []struct {
		name        string
		superframes int  // that the link sees
		partial     bool // checksums that the link sees
	}{
		{"rx-gro", 1, true}, // no difference
		{"tx-tcp-segmentation", 0, true},
		{"-TXCSUM", 0, false},
	} {
		r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
		if err := r.nif.SetFeature(strings.TrimPrefix(tc.name, "-"), false); err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, 10000)
		for i := range payload {
			payload[i] = byte(i * i)
		}
		r.send(r.plainFrame(payload, 0, 1448, 999))
		r.turn()
		frames := r.arrived()
		super, partial := 0, false
		for _, f := range frames {
			if f.GSO > 0 {
				super++
			}
			partial = partial || f.Csum == link.CsumPartial
		}
		if super != tc.superframes || partial != tc.partial {
			t.Errorf("without %s the link got %d superframes, partial sums: %v", tc.name, super, partial)
		}
		v := newReceiver(t, payload)
		v.take(frames)
		v.complete(0, len(payload))
		if n := r.book.Sum(ledger.Summed); n > 0 == tc.partial || n > 0 && n != uint64(len(payload)) {
			t.Errorf("without %s the host summed %d bytes", tc.name, n)
		}
		if r.dev.Completed() != 1 {
			t.Errorf("%d frames completed, want 1", r.dev.Completed())
		}
	}
}

// What is unsealed can only be cut on the host; sum and seal are the adapter's.
func TestHostCutsSealed(t *testing.T) {
	eachKind(t, func(t *testing.T, version uint16, keyLen int) {
		r := newRig(t, rigConfig{cable: memory.Config{TSO: true}})
		s := r.open(newSession(t, version, keyLen, 3, 8, 700, 16384, 20, 3000))
		r.nif.setFeature(txCsum, false)
		v := newReceiver(t, s.wire)
		r.send(r.frame(s, 0, len(s.wire), 1000, 777), r.frame(s, 5000, 9000, 1000, 777))
		r.turn()
		v.take(r.arrived())
		v.complete(0, len(s.wire))
		r.wantStat("tx_tls_ooo", 1)
		r.wantStat("tx_gso_host", 2)
		if done := r.dev.Completed(); done != 2 {
			t.Errorf("%d frames completed, want 2", done)
		}
	})
}

func TestSwitches(t *testing.T) {
	r := newRig(t, rigConfig{})
	on := func() string {
		var names []string
		for _, f := range r.nif.Features() {
			if f.On && f.Name != "TXRTLMT" && f.Name != "tls-hw-record" {
				names = append(names, f.Name)
			}
		}
		return strings.Join(names, " ")
	}
	all := "rx-checksum tx-checksum-ip-generic tx-tcp-segmentation tx-tcp6-segmentation rx-gro tls-hw-tx-offload"
	for _, step := range []struct {
		name string
		on   bool
		want string
	}{
		{"rx-gro", true, all},
		{"tx-checksum-ip-generic", false, "rx-checksum rx-gro"},
		{"TXTLS4", true, "rx-checksum tx-checksum-ip-generic rx-gro tls-hw-tx-offload"},
		{"TSO6", true, "rx-checksum tx-checksum-ip-generic tx-tcp6-segmentation rx-gro tls-hw-tx-offload"},
		{"tso", true, all},
		{"rx", false, strings.TrimPrefix(all, "rx-checksum ")},
		{"rxcsum", true, all},
	} {
		if err := r.nif.SetFeature(step.name, step.on); err != nil {
			t.Fatal(err)
		}
		if got := on(); got != step.want {
			t.Errorf("after %s %s:\n got %s\nwant %s", step.name, onOff(step.on), got, step.want)
		}
	}
	for name, want := range map[string]string{
		"tls-hw-rx-offload": "fixed off", "rx-hashing": "fixed off", "tx-nonsense": "known are rx-checksum",
	} {
		if err := r.nif.SetFeature(name, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetFeature(%q): %v, want %q", name, err, want)
		}
	}
}

func TestConfigText(t *testing.T) {
	for _, text := range []string{
		"",
		"contexts=1024,setup=50µs,evict=lru,idle=2s,depth=512,rxdepth=256,rx-usecs=100,rx-frames=16,bus=128Gbps,dram=80Gbps,pps=1000000,tso=emulate,verify=1%,faults=csum+tls-tag,seed=7,watchdog=1s",
	} {
		c, err := ParseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.String(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	if c, err := ParseConfig("bus=16GB/s, verify=0.5"); err != nil || c.Bus != 16e9 || c.Verify != 0.5 {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		"contexts=0":           "contexts=0: write a number from 1 to 262143",
		"contexts=9999999":     "contexts=9999999: write a number from 1 to 262143",
		"depth=100000":         "depth=100000: write a number from 1 to 8192",
		"depth=deep":           "depth=deep: write a number from 1 to 8192",
		"evict=fifo":           "evict=fifo: write none or lru",
		"tso=off":              "tso=off: write link or emulate",
		"faults=csum+lies":     `faults=csum+lies: unknown fault "lies": known are csum, tso`,
		"bus=fast":             "bus=fast: write a rate such as 16GB/s",
		"setup=5":              "setup=5: write a time such as 50us",
		"verify=2":             "verify=2: write a share from 0% to 100%, such as 1%",
		"speed=3":              `unknown setting "speed": known are contexts, setup`,
		"depth=8,depth=9":      "depth is given twice",
		"setup=-1s":            "setup=-1s: write a time such as 50us",
		"pps=many":             "pps=many: write a number of packets per second",
		"watchdog":             "watchdog=: write a time such as 50us",
		"seed=minus":           "seed=minus: write a number",
		"rxdepth=-3":           "rxdepth=-3: write a number from 1 to 8192",
		"idle=1s,idle=2s":      "idle is given twice",
		"verify=1%,faults=all": `faults=all: unknown fault "all"`,
	} {
		if _, err := ParseConfig(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ParseConfig(%q): %v, want %q", text, err, want)
		}
	}
}
