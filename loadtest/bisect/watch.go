package bisect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ocaserve/tcpstack"
)

// A Kind of symptom.
type Kind string

const (
	WrongBytes  Kind = "wrong bytes"
	WrongSums   Kind = "wrong checksums" // at the client, of packets that nothing has corrupted
	TLSAlert    Kind = "TLS alert"       // a record that is not authentic, or no record
	Stalled     Kind = "stall"
	Repeated    Kind = "retransmissions" // on a wire that loses nothing
	Unverified  Kind = "unverified"      // corrupted packets that were taken for good
	Completions Kind = "completions"     // of descriptors that were not posted, or twice
	Broken      Kind = "broken"          // the transfer failed in another way
)

// A Symptom is what was seen in a leg.
type Symptom struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// sums are the counters that tell symptoms.
type sums struct {
	badClient, badServer  uint64 // packets that were dropped for what is in them
	repeated              uint64 // bytes
	timeouts, completions uint64 // of the adapter
	corrupted             uint64
}

func (w *world) sums(ctx context.Context) (s sums, err error) {
	server, err1 := w.server.Stats(ctx)
	client, err2 := w.client.Stats(ctx)
	s = sums{
		badClient: dropped(&client), badServer: dropped(&server),
		repeated: server.BytesRetransmitted, corrupted: w.wire.Stats().Corrupted,
	}
	for _, c := range w.nic.Stats() {
		switch c.Name {
		case "tx_timeout":
			s.timeouts = c.Value
		case "tx_cqe_err":
			s.completions = c.Value
		}
	}
	return s, errors.Join(err1, err2)
}

// dropped counts packets that do not parse, with a checksum that is wrong most of them, and those for others: of
// IPv6 only the pseudo-header's checksum covers the addresses, and they are looked at first.
func dropped(st *tcpstack.ShardStats) (n uint64) {
	for _, d := range st.WireDrops {
		n += d
	}
	return n + st.DropCounts()["not_local"]
}

const (
	tick = 20 * time.Millisecond
	// spare is how much may be transmitted again on a perfect wire: what a machine that is busy elsewhere makes
	// of its time-outs. Faults take far more.
	spareShare, spareBytes = 0.02, 256 << 10
	// settling is for what is under way when a transfer ends.
	settling = 50
)

// errCertain ends a leg early: there is nothing more to learn.
var errCertain = errors.New("a symptom is certain")

// errStalled ends a leg in which nothing moves.
var errStalled = errors.New("stalled")

// watch looks at a leg until ctx ends, and cancels it when it is hopeless.
func (w *world) watch(ctx context.Context, l *leg, got *atomic.Int64, cancel context.CancelCauseFunc) {
	t := time.NewTicker(tick)
	defer t.Stop()
	last, moved := int64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if n := got.Load(); n != last {
			last, moved = n, time.Now()
		} else if time.Since(moved) > l.patience(w.opts.Stall) {
			cancel(errStalled)
			return
		}
		if s, err := w.sums(ctx); err == nil && s.certain(l.clean()) {
			cancel(errCertain)
			return
		}
	}
}

// certain is whether the counters alone prove a fault.
func (s *sums) certain(clean bool) bool {
	return s.timeouts > 0 || s.completions > 0 || clean && s.badClient > 0
}

// symptoms are what a leg's counters and its end tell.
func (s *sums) symptoms(clean bool, size int64, err error) (list []Symptom) {
	add := func(is bool, k Kind, format string, args ...any) {
		if is {
			list = append(list, Symptom{k, fmt.Sprintf(format, args...)})
		}
	}
	add(s.timeouts > 0, Stalled, "the adapter's transmit queue stood still and was reset, %d times", s.timeouts)
	add(s.completions > 0, Completions, "%d completions of nothing", s.completions)
	add(clean && s.badClient > 0, WrongSums, "%d packets with wrong checksums reached the client", s.badClient)
	add(clean && float64(s.repeated) > spareShare*float64(size)+spareBytes, Repeated,
		"%d bytes were transmitted again on a wire that loses nothing", s.repeated)
	caught := s.badClient + s.badServer
	add(!clean && caught < s.corrupted, Unverified, "of %d corrupted packets %d were taken for good", s.corrupted, s.corrupted-caught)
	if k := kindOf(err); k != "" {
		add(true, k, "%v", err)
	}
	return list
}

// doubtful is whether a machine that is busy elsewhere could have made all the symptoms of a leg.
func doubtful(list []Symptom) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(s Symptom) bool {
		return s.Kind != Repeated && s.Kind != Broken && s.Kind != Stalled
	})
}

// kindOf says how a transfer ended; "": well, or cut short by what the counters tell.
func kindOf(err error) Kind {
	if _, ok := errors.AsType[*wrongByte](err); ok {
		return WrongBytes
	}
	switch {
	case err == nil, errors.Is(err, errCertain):
		return ""
	case errors.Is(err, errStalled):
		return Stalled
	case strings.Contains(err.Error(), "tls: "):
		return TLSAlert
	}
	return Broken
}

// settled waits for what is under way to be counted: corrupted packets that the receiver has not dropped yet. It
// gives up after a second.
func (w *world) settled(ctx context.Context) (s sums, err error) {
	for range settling {
		if s, err = w.sums(ctx); err != nil || s.badClient+s.badServer >= s.corrupted {
			return s, err
		}
		select {
		case <-time.After(tick):
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, nil
}
