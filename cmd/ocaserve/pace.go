package main

import (
	"time"

	"ocaserve/origin"
	"ocaserve/pacing"
	"ocaserve/tcpstack"
)

// paceFlags bound how fast bytes leave.
type paceFlags struct {
	Pace         pacing.Rate   `placeholder:"RATE" help:"Send to each connection at no more than this, such as 25Mbps or 3MB/s."`
	PaceBurst    time.Duration `default:"1ms" help:"How much of a connection's rate leaves in one burst (${default}): longer bursts cost less CPU."`
	Egress       pacing.Rate   `placeholder:"RATE" help:"Send no more than this in all, headers included, shared fairly between the connections."`
	PaceRequests bool          `help:"Let clients ask for a slower response: /file?pace=5Mbps. Off by default, since anybody may then keep a connection busy for long."`
}

// apply writes the rates into a stack's configuration.
func (f *paceFlags) apply(cfg *tcpstack.Config) {
	cfg.MaxPacingRate, cfg.PaceBurst, cfg.EgressRate = f.Pace, f.PaceBurst, f.Egress
}

// applyOrigin says whose wishes for a pace the origin follows.
func (f *paceFlags) applyOrigin(opts *origin.Options) {
	if f.PaceRequests {
		opts.Pace = origin.PaceByQuery
	}
}

// leastRate is what --pace and --egress may be: a rate below is a mistake of the unit.
const leastRate pacing.Rate = 1000

// maxPaceBurst: a rate is to hold over 100 ms.
const maxPaceBurst = 50 * time.Millisecond

func (f *paceFlags) check() error {
	for _, r := range []struct {
		flag string
		rate pacing.Rate
	}{{"--pace", f.Pace}, {"--egress", f.Egress}} {
		if r.rate != 0 && r.rate < leastRate {
			return usagef("%s %v would not carry anything; %v is the least, 0 means no limit", r.flag, r.rate, leastRate)
		}
	}
	if f.PaceBurst <= 0 || f.PaceBurst > maxPaceBurst {
		return usagef("--pace-burst %v is out of range; use up to %v", f.PaceBurst, maxPaceBurst)
	}
	return nil
}
