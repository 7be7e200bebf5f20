package main

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ocaserve/nicoffload"
	"ocaserve/tcpstack/link/memory"
)

// nicServer is the admin socket of a server that has an adapter, or none if spec is off. Nothing runs behind it.
func nicServer(t *testing.T, spec string) (socket string) {
	t.Helper()
	cfg, err := nicConfig(spec, "inline")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	s.opts.link.nic = cfg
	a, _ := memory.New(memory.Config{Queues: 2, TSO: true})
	o := openedLink{stack: a}
	if cfg != nil {
		if err := o.addNIC(cfg); err != nil {
			t.Fatal(err)
		}
	}
	s.link = o
	socket = filepath.Join(t.TempDir(), "admin")
	ad, err := listenAdmin(socket)
	if err != nil {
		t.Fatal(err)
	}
	ad.server = s
	ad.serve()
	t.Cleanup(func() { ad.close(); o.Close() })
	return socket
}

func TestEthtool(t *testing.T) {
	socket := nicServer(t, "contexts=64,bus=16GB/s,depth=256")
	for _, c := range []struct{ args, want string }{
		{"-k", "Features for memory-a:\nrx-checksum: on\n|tx-tcp-segmentation: on\n|tls-hw-tx-offload: on\ntls-hw-rx-offload: off [fixed]\n"},
		{"", "Features for memory-a:\n"},
		{"-K tso off", "tx-checksum-ip-generic: on\n|tx-tcp-segmentation: off\ntx-tcp6-segmentation: off\n"},
		{"-K memory-a tx-tcp-segmentation on gro off", "tx-tcp-segmentation: on\ntx-tcp6-segmentation: off\nrx-gro: off\n"},
		{"-K -txcsum TXTLS4", "tx-checksum-ip-generic: on\n|tls-hw-tx-offload: on\n"}, // what seals needs checksums again
		{"-K -TXTLS4 --json", `{"name":"tls-hw-tx-offload","on":false}`},
		{"-k", "tls-hw-tx-offload: off\n"},
		{"-K tls-hw-rx-offload on", "tls-hw-rx-offload is fixed off: it cannot be switched"},
		{"-K warp on", `unknown offload "warp": known are rx-checksum`},
		{"-K tso", "tx-tcp-segmentation: on\n"}, // as ifconfig has it
		{"-K rx-gro", `on or off is missing behind "rx-gro"; write such as: -K rx-gro off`},
		{"-K tso maybe", `-K: "maybe" is none of what may stand behind "tso": on, off, or`},
		{"-K rx-gro maybe", `-K: "maybe" is none of what may stand behind "rx-gro": on, off, or`},
		{"-K memory-a tso on rx-gro", `on or off is missing behind "rx-gro"; write such as: -K rx-gro off`},
		{"-K on", `"on" stands behind no offload`},
		{"-K", "what to change is missing"},
		{"-S", "NIC statistics:\n     tx_packets: 0\n|     tx_tls_ctx: 0\n|     ifnet.reset: 0\n"},
		{"-S --per-queue", "     tx0_packets: 0\n|     rx1_bytes: 0\n"},
		{"-S --json", `{"name":"tx_packets","value":0}`},
		{"-g", "Ring parameters for memory-a:\nPre-set maximums:\nRX:\t\t1024\n|Current hardware settings:\nRX:\t\t1024\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t256\n"},
		{"-G tx 128 rx 64", "Current hardware settings:\nRX:\t\t64\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t128\n"},
		{"-G memory-a tx 99999", "tx ring of 99999: the maximum is"},
		{"-G tx", "-G: a number is missing; write such as: -G rx 64"},
		{"-G tx none", "-G: tx none: write a number from 1 up"},
		{"-G up 4", `-G: "up" cannot be set; there are rx and tx`},
		{"-c", "Coalesce parameters for memory-a:\nAdaptive RX: n/a  TX: n/a\nrx-usecs:\t250\nrx-frames:\t64\n"},
		{"-C rx-usecs 0", "rx-usecs:\t0\nrx-frames:\t64\n"},
		{"-C memory-a rx-frames 1 rx-usecs 8 --json", `"coalesce":{"rx_usecs":8,"rx_frames":1}`},
		{"-C rx-frames 0", "-C: rx-frames 0: write a number from 1 up"},
		{"-C rx-usecs 1000001", "rx-usecs of 1000001: write a number from 0 to 100000"},
		{"-C tx-usecs 8", `-C: "tx-usecs" cannot be set; there are rx-frames and rx-usecs`},
		{"-c", "rx-usecs:\t8\nrx-frames:\t1\n"},
		{"-i", "driver: ocaserve-nic (emulated)\n|bus-info: emulated, of |queues: 2\nconfig: contexts=64,|depth=256|faults: none\n"},
		{"-i other0", "no interface other0 here; the server's is memory-a"},
		{"-k -S", "one of -k, -K, -S, -g, -G, -c, -C and -i at a time"},
	} {
		got, err := ask(t, append([]string{"ethtool", "--server", socket}, strings.Fields(c.args)...)...)
		if err != nil {
			got += err.Error()
		}
		for part := range strings.SplitSeq(c.want, "|") {
			if !strings.Contains(got, part) {
				t.Errorf("ethtool %s:\n%s\nlacks %q", c.args, got, part)
			}
		}
	}
}

// A question put to a server without an adapter is answered with what would help.
func TestEthtoolNoNIC(t *testing.T) {
	socket := nicServer(t, "off")
	if _, err := ask(t, "ethtool", "-k", "--server", socket); err == nil || !strings.Contains(err.Error(), "start it with --nic on") {
		t.Error(err)
	}
}

// The feature words mean what they do with ethtool and ifconfig, in any mixture.
func TestParseFeatures(t *testing.T) {
	for _, c := range []struct {
		words string
		name  string
		want  []featureOrder
	}{
		{"tso on", "", []featureOrder{{"tso", true}}},
		{"tun0 tso on", "tun0", []featureOrder{{"tso", true}}},
		{"tun0 -tso", "tun0", []featureOrder{{"tso", false}}},
		{"-tso -txcsum gro off", "", []featureOrder{{"tso", false}, {"txcsum", false}, {"gro", false}}},
		{"TXTLS6 TSO4", "", []featureOrder{{"TXTLS6", true}, {"TSO4", true}}},
	} {
		name := ""
		got, err := parseFeatures(strings.Fields(c.words), &name)
		if err != nil || name != c.name || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %q %v, %v", c.words, name, got, err)
		}
	}
}

func TestNICConfig(t *testing.T) {
	for _, c := range []struct {
		spec, tls string
		want      string // "none", or the adapter's configuration
		err       string
	}{
		{"", "inline", "none", ""}, {"off", "user", "none", ""}, {"on", "inline", "", ""}, {"", "nic", "", ""},
		{"contexts=8,faults=csum", "nic", "contexts=8,faults=csum", ""},
		{"off", "nic", "", "--tls nic needs the adapter"}, {"warp=9", "inline", "", `--nic: unknown setting "warp"`},
	} {
		cfg, err := nicConfig(c.spec, c.tls)
		got := "none"
		if cfg != nil {
			got = cfg.String()
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || exitStatus(err) != 2 {
				t.Errorf("%+v: %v", c, err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%+v: %q %v", c, got, err)
		}
	}
	if _, err := nicoffload.ParseConfig("on"); err == nil {
		t.Error("on is a setting of the adapter itself: it means two things")
	}
}
