package compare

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"ocaserve/tcpstack/mono"
)

// ErrNothing is returned when not a single measurement was finished.
var ErrNothing = errors.New("nothing was measured")

// Run compares. If ctx ends early, or a measurement fails, the report of what was measured until then comes with
// the error.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	s, err := newStage(&opts)
	if err != nil {
		return nil, err
	}
	defer s.close()
	defer opts.Cipher.only()()
	defer makeProcessors()()
	when := time.Now()
	rounds, err := s.rounds(ctx)
	if len(rounds) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrNothing, err)
	}
	r := newReport(&opts, rounds)
	r.When = when
	return r, err
}

// makeProcessors gives the Go scheduler one more processor for each thread that waits in the kernel: the server's, the
// adapter's and the clients'. Each keeps its processor while it waits; with two for all three, whoever is woken waits for
// another to sleep. It returns what undoes it.
func makeProcessors() (undo func()) {
	const threads = 3
	before := runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + threads)
	return func() { runtime.GOMAXPROCS(before) }
}

// rounds measures every cell, as often as there are rounds.
func (s *stage) rounds(ctx context.Context) (done []Round, err error) {
	keys, clock := s.opts.keys(), newEstimate(s.opts)
	for n := range s.opts.Rounds {
		for i, k := range keys {
			if p := s.opts.Progress; p != nil {
				p(Progress{
					Done: n*len(keys) + i, Total: s.opts.Rounds * len(keys), Round: n + 1, Cell: k, Left: clock.left(keys, n, i),
				})
			}
			begun := mono.Now()
			r, err := s.measure(ctx, k)
			clock.note(k, mono.Now().Sub(begun))
			if err != nil {
				return done, fmt.Errorf("%v, loss %s, %d connections: %w", k.Mode, percent(k.Loss), k.Conns, err)
			}
			done = append(done, r)
		}
	}
	return done, nil
}
