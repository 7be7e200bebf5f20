package compare

import (
	"strings"
	"testing"
	"time"

	"ocaserve/ktls"
	"ocaserve/tcpstack/ledger"
)

// The figures of these tests are made up: what is tested is what is said of them.

// A fake is one cell: CPU seconds per GB of host and adapter round by round, and what follows from mode and loss.
type fake struct {
	mode      ktls.Mode
	loss      float64
	host, nic []float64
	offloaded float64
	redma     float64
	failed    map[string]uint64
}

func (f *fake) rounds() (list []Round) {
	seconds := func(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
	touches := map[ktls.Mode]float64{ktls.ModeOff: 1, ktls.ModeUser: 5, ktls.ModeInline: 3, ktls.ModeNIC: 1}
	for i, host := range f.host {
		list = append(list, Round{
			Cell: Key{f.mode, f.loss, 8}, Wall: time.Second, Body: 1e9, Verified: 1,
			HostCPU: seconds(host), NICCPU: seconds(f.nic[i]), Offloaded: f.offloaded, Resyncs: 12_000 * 100 * f.loss,
			Measures: ledger.Measures{Touches: touches[f.mode], Memory: 1, Amplification: max(f.redma, 1), Retransmits: f.loss},
			P50:      0.001, P99: 0.004, Failed: f.failed, Cycles: 2.5 * host,
			Record: 16384, Retained: 0.01, Heap: 20 << 20,
		})
		list[i].predict()
	}
	return list
}

func fakeReport(rounds int, cells ...fake) *Report {
	o := Options{Conns: []int{8}, Rounds: rounds, Seed: 1}
	o.Modes, o.Loss = nil, nil
	var all []Round
	for i := range cells {
		all = append(all, cells[i].rounds()...)
	}
	o.setDefaults() //nolint:errcheck // the defaults are good
	return newReport(&o, all)
}

func TestVerdict(t *testing.T) {
	flat := func(v float64) []float64 { return []float64{v, v, v} }
	inline := func(loss, host float64) fake {
		return fake{mode: ktls.ModeInline, loss: loss, host: flat(host), nic: flat(0.1)}
	}
	nic := func(loss float64, host ...float64) fake {
		if len(host) == 1 {
			host = flat(host[0])
		}
		return fake{mode: ktls.ModeNIC, loss: loss, host: host, nic: flat(0.4), offloaded: 1, redma: 1 + 10*loss}
	}
	for _, tt := range []struct {
		name  string
		cells []fake
		want  []string
		not   []string
	}{
		{
			name:  "the NIC wins on the host, inline in total",
			cells: []fake{inline(0, 0.5), nic(0, 0.3)},
			want: []string{
				"8 connections, 0% packets lost: of the modes that encrypt nic takes the least CPU of the host, 0.300 s/GB, 40% less than inline (0.500)",
				"inline takes the least CPU of host and NIC together, 0.600 s/GB, 14% less than nic (0.700)",
				"nic touches memory least, 1.000 times per byte, 67% less than inline (3.000)",
				"It pays at every loss rate measured.",
			},
			not: []string{"resyncs"},
		},
		{
			name: "what sealing costs",
			cells: []fake{
				{mode: ktls.ModeOff, host: flat(0.2), nic: flat(0.1)}, inline(0, 0.5), nic(0, 0.25),
			},
			want: []string{"sealing costs the host 0.300 s/GB inline, above mode off, and 0.050 s/GB in mode nic; the adapter spends 0.300 s/GB more"},
		},
		{
			name: "an adapter that takes all of it away",
			cells: []fake{
				{mode: ktls.ModeOff, host: flat(0.2), nic: flat(0.1)}, inline(0, 0.5), nic(0, 0.21, 0.19, 0.18),
			},
			want: []string{"above mode off, and nothing that the rounds agree on in mode nic"},
		},
		{
			name:  "it stops paying",
			cells: []fake{inline(0, 0.5), nic(0, 0.3), inline(0.01, 0.5), nic(0.01, 0.6)},
			want: []string{
				"saves of the host's CPU 40% at 0%, -20% at 1%. It stops paying between 0% and 1%.",
				"where the NIC saves least, at a loss of 1%, 12000 resyncs per GB made it fetch 10.0% more than it sent",
				"by the arithmetic that is 10.0% for the 100% that it sealed, 10.0% if it seals everything, and 1.8% with records of 4 KiB",
			},
		},
		{
			name:  "it never pays",
			cells: []fake{inline(0, 0.5), nic(0, 0.6)},
			want:  []string{"It does not pay at 0% already.", "inline takes the least CPU of the host"},
		},
		{
			name:  "noise decides nothing",
			cells: []fake{inline(0, 0.5), nic(0, 0.4, 0.45, 0.55)},
			want:  []string{"nic or inline takes the least CPU of the host (0.450 and 0.500 s/GB, the rounds disagree)", "At 0% it is undecided"},
			not:   []string{"It pays"},
		},
		{
			name: "one round of five does not decide",
			cells: []fake{
				{mode: ktls.ModeInline, host: []float64{0.5, 0.5, 0.5, 0.5, 0.5}, nic: []float64{0, 0, 0, 0, 0}},
				{mode: ktls.ModeNIC, host: []float64{0.3, 0.3, 0.6, 0.3, 0.3}, nic: []float64{0, 0, 0, 0, 0}, offloaded: 1},
			},
			want: []string{"40% at 0%. It pays"},
			not:  []string{"disagree"},
		},
		{
			name: "noise that both have in one round does not hide what they differ by",
			cells: []fake{
				{mode: ktls.ModeInline, host: []float64{0.5, 0.9, 0.5}, nic: flat(0)}, nic(0, 0.3, 0.6, 0.3),
			},
			want: []string{"40% at 0%. It pays"},
		},
		{
			name: "connections left the adapter",
			cells: []fake{inline(0.03, 0.5), {
				mode: ktls.ModeNIC, loss: 0.03, host: flat(0.55), nic: flat(0.4), offloaded: 0.25, redma: 1.05,
				failed: map[string]uint64{"table_full": 2},
			}},
			want: []string{"only 25% of the bytes were sealed by it: nic not to be had 6 (table_full)"},
		},
		{
			name: "the adapter sealed nothing",
			cells: []fake{inline(0, 0.5), {
				mode: ktls.ModeNIC, host: flat(0.5), nic: flat(0.1), failed: map[string]uint64{"unsupported": 8},
			}},
			want: []string{"the adapter sealed nothing, so that mode nic is inline here: nic not to be had 24 (unsupported)"},
			not:  []string{"least"},
		},
		{
			name:  "one mode alone",
			cells: []fake{inline(0, 0.5)},
			not:   []string{"connections"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(fakeReport(3, tt.cells...).Verdict, "\n")
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("the verdict does not say %q", w)
				}
			}
			for _, n := range tt.not {
				if strings.Contains(got, n) {
					t.Errorf("the verdict says %q", n)
				}
			}
			if t.Failed() {
				t.Log(got)
			}
		})
	}
}
