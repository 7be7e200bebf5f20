package tcpstack

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/netsim"
)

// randomPath makes a path on which anything may go wrong, and hosts of any kind, from a seed.
func randomPath(seed uint64) (bell netsim.DumbbellConfig, cfg Config, story string) {
	r := rand.New(rand.NewPCG(seed, 77))
	pick := func(v ...float64) float64 { return v[r.IntN(len(v))] }
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	names := congestion.Names()
	cfg.Congestion = names[r.IntN(len(names))]
	cfg.MaxReceiveBuffer = int(pick(64<<10, 1<<20, 8<<20))
	bell.RTT = ms(pick(0.2, 5, 40, 200))
	bell.Rate = pacing.Rate(pick(125_000, 1_250_000, 12_500_000))
	bdp := float64(netsim.BDP(bell.Rate, bell.RTT))
	story = fmt.Sprintf("%s, buffer %d, RTT %v, %v", cfg.Congestion, cfg.MaxReceiveBuffer, bell.RTT, bell.Rate)
	switch r.IntN(4) {
	case 0:
		bell.Queue = &netsim.CoDel{Limit: int64(4*bdp) + 10_000}
		story += ", CoDel"
	case 1:
		bell.Queue = &netsim.RED{Min: int64(bdp/4) + 3000, Max: int64(bdp) + 9000, Limit: int64(3*bdp) + 30_000}
		story += ", RED"
	default:
		bell.BDPs = pick(0.1, 1, 4)
		story += fmt.Sprintf(", %v BDP", bell.BDPs)
	}
	wire := func() (w netsim.WireConfig) {
		switch r.IntN(4) {
		case 0:
			w.Loss = netsim.Bursts(pick(0.005, 0.03), pick(2, 8))
		case 1:
			w.Loss = netsim.Bernoulli(pick(0.001, 0.01, 0.05))
		}
		w.Reorder, w.ReorderBy = pick(0, 0, 0.01, 0.2), ms(pick(0.1, 3, 50))
		w.Jitter, w.JitterReorders = ms(pick(0, 0, 1, 20)), r.IntN(4) == 0
		w.Duplicate, w.Corrupt = pick(0, 0, 0.02), pick(0, 0, 0.01)
		return w
	}
	bell.Forward, bell.Back = wire(), wire()
	bell.Receiver.GRO = r.IntN(2) == 0
	bell.Receiver.Coalesce = ms(pick(0, 0.1))
	bell.Sender.Rate = pacing.Rate(pick(0, 125_000_000))
	bell.Sender.Ring = 70_000
	bell.Sender.NoChecksum = r.IntN(8) == 0
	cfg.Functions = []string{FunctionsBase, FunctionsRack}[r.IntN(2)]
	story = cfg.Functions + ", " + story
	story += fmt.Sprintf(", there %+v, back %+v", bell.Forward, bell.Back)
	return bell, cfg, story
}

// TestAnyPath: whatever the path does, every byte arrives as it was sent, and both ends forget the
// connection. SEED and SEEDS choose other paths.
func TestAnyPath(t *testing.T) {
	seeds := uint64(100)
	if raceDetector {
		seeds = 4
	}
	first, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if n, err := strconv.ParseUint(os.Getenv("SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for seed := first; seed < first+seeds; seed++ {
		bell, cfg, story := randomPath(seed)
		w := newWorld(t, seed, bell, cfg)
		d := w.download(0, goldenData, 300_000)
		ok, err := w.net.RunFor(time.Hour, func() bool { return d.eof || d.err != nil })
		if err != nil || !ok || d.err != nil || d.wrong || d.received != d.size {
			t.Errorf("seed %d: %s:\nended %v, errors %v, %v, wrong bytes %v, %d received", seed, story, ok, err, d.err, d.wrong, d.received)
			continue
		}
		if _, err := w.net.RunFor(time.Hour, nil); err != nil || len(w.from[0].flows)+len(w.to[0].flows) > 0 {
			t.Errorf("seed %d: %s:\nconnections are left, or error %v", seed, story, err)
		}
	}
}
