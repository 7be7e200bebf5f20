package bisect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ocaserve/nicoffload"
	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/link/memory"
)

// badWire is what a leg on a bad wire has to stand: retransmissions that begin in the middle of records, and packets
// both ways that only a checksum keeps out.
var badWire = fault.Config{Loss: 0.01, Corrupt: 0.02, Seed: 1}

// A leg is a transfer of the file in a world of its own.
type leg struct {
	name       string
	secure, v6 bool
	wire       fault.Config
}

var legs = []leg{
	{name: "http"},
	{name: "https", secure: true},
	{name: "https over a bad wire", secure: true, wire: badWire},
}

func (l *leg) clean() bool { return l.wire.Loss == 0 && l.wire.Corrupt == 0 }

// patience is how long the leg may stand still: TCP backs off where packets are lost.
func (l *leg) patience(stall time.Duration) time.Duration {
	if l.clean() {
		return stall
	}
	return 6 * stall
}

// order is the one in which offloads are tried: those that others need come first. Others follow.
var order = []string{
	"rx-checksum", "rx-gro", "tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-tcp6-segmentation", "tls-hw-tx-offload",
}

// plan lists the adapter's offloads in order.
func plan(cfg nicoffload.Config) ([]string, error) {
	a, _ := memory.New(memory.Config{TSO: true})
	nic, err := nicoffload.New(a, cfg)
	if err != nil {
		return nil, err
	}
	defer nic.Close()
	list := names(nic, true)
	rank := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(list, func(a, b string) int { return rank(a) - rank(b) })
	return list, nil
}

// Run examines the adapter. The error is one of the search itself, or of ctx.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	offloads, err := plan(opts.NIC)
	if err != nil {
		return nil, err
	}
	s, err := newStage(&opts)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := &Report{Config: opts.NIC.String(), Size: opts.Size}
	if err := s.search(ctx, r, offloads); err != nil {
		return nil, err
	}
	r.conclude()
	return r, nil
}

// search takes the steps.
func (s *stage) search(ctx context.Context, r *Report, offloads []string) error {
	base, err := s.step(ctx, r, "")
	if err != nil || base.Bad() {
		return err
	}
	for _, name := range offloads {
		step, err := s.step(ctx, r, name)
		if err != nil {
			return err
		}
		if !step.Bad() && step.Skipped == "" {
			if err := s.time(ctx, step); err != nil {
				return err
			}
		}
		s.opts.Say(step.line())
	}
	return nil
}

// step examines one offload; "" is none of them.
func (s *stage) step(ctx context.Context, r *Report, name string) (*Step, error) {
	step := &Step{Offload: name}
	r.Steps = append(r.Steps, step)
	for i := range legs {
		l := legs[i]
		l.v6 = strings.Contains(name, "tcp6")
		symptoms, took, err := s.leg(ctx, &l, step, r)
		if err == nil && doubtful(symptoms) {
			symptoms, took, err = s.leg(ctx, &l, step, r)
		}
		if err != nil {
			return nil, err
		}
		if step.Skipped != "" {
			return step, nil
		}
		step.Legs = append(step.Legs, Leg{l.name, took.Seconds(), symptoms})
		if len(symptoms) > 0 {
			break // one is enough
		}
	}
	if name == "" {
		s.opts.Say(step.line())
	}
	return step, nil
}

// leg runs one leg in a world of its own. What step's offload takes along must not be known to be bad.
func (s *stage) leg(ctx context.Context, l *leg, step *Step, r *Report) ([]Symptom, time.Duration, error) {
	w, err := s.newWorld(l.wire, step.on())
	if err != nil {
		return nil, 0, err
	}
	defer w.close()
	step.With = names(w.nic, false)
	if bad := r.firstBad(step.With); bad != "" {
		step.Skipped = bad
		return nil, 0, nil
	}
	return w.ride(ctx, l)
}

// ride does a leg's transfers.
func (w *world) ride(ctx context.Context, l *leg) ([]Symptom, time.Duration, error) {
	inner, cancel := context.WithCancelCause(ctx)
	var got atomic.Int64
	watched := make(chan struct{})
	go func() { defer close(watched); w.watch(inner, l, &got, cancel) }()
	begin := time.Now()
	err := w.fetch(inner, l.secure, l.v6, &got)
	took := time.Since(begin)
	if cause := context.Cause(inner); cause != nil {
		err = cause
	}
	cancel(nil)
	<-watched
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	s, serr := w.settled(ctx)
	if serr != nil {
		return nil, 0, fmt.Errorf("counters: %w", serr)
	}
	return s.symptoms(l.clean(), w.opts.Size, err), took, nil
}

// time compares how long transfers take with a step's offload and without, in turns.
func (s *stage) time(ctx context.Context, step *Step) error {
	if s.opts.Rounds == 0 {
		return nil
	}
	var with, without []float64
	for range s.opts.Rounds {
		for _, side := range []struct {
			on   []string
			list *[]float64
		}{{step.on(), &with}, {nil, &without}} {
			took, err := s.timed(ctx, step, side.on)
			if err != nil {
				return err
			}
			*side.list = append(*side.list, took.Seconds())
		}
	}
	step.Ratio = median(with) / median(without)
	step.slow = step.Ratio > slower && slices.Min(with) > median(without)
	return nil
}

// timed is one transfer over HTTPS on the perfect wire.
func (s *stage) timed(ctx context.Context, step *Step, on []string) (time.Duration, error) {
	w, err := s.newWorld(fault.Config{}, on)
	if err != nil {
		return 0, err
	}
	defer w.close()
	l := leg{secure: true, v6: strings.Contains(step.Offload, "tcp6")}
	_, took, err := w.ride(ctx, &l)
	return took, err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
