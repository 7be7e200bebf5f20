package compare

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"ocaserve/ktls"
	"ocaserve/nicoffload"
)

// Options say what is compared. The zero value of each field has a default.
type Options struct {
	Modes    []ktls.Mode   // none: all four
	Loss     []float64     // shares of packets, in each direction; none: 0, 0.1 %, 1 %, 3 %
	Conns    []int         // connections at once; none: 64
	Cipher   Cipher        // of TLS
	Version  ktls.Version  // 0: TLS 1.3
	Net      string        // NetMemory or NetTUN; "": NetMemory
	Size     int64         // of the file, bytes; 0: 4 MiB
	Duration time.Duration // of one measurement; 0: 400 ms
	Rounds   int           // measurements of each cell; 0: 3
	RTT      time.Duration // that the wire adds
	NIC      nicoffload.Config
	// MaxRexmit is the share of retransmissions above which connections leave the adapter; 0: ktls.DefaultMaxRexmit.
	MaxRexmit float64
	Seed      uint64 // of what the wire loses

	// Responses ends a measurement when so many have been received, instead of Duration: for tests, which must
	// not depend on how fast the machine is.
	Responses int

	// Progress is told before each measurement. Nil: nobody.
	Progress func(Progress)
}

// The links between the server and its clients.
const (
	NetMemory = "memory" // a cable in this process, and the stack's own clients
	NetTUN    = "tun"    // a TUN, and the kernel's clients; needs root
)

const (
	maxConns = 16 << 10 // a stack's ephemeral ports hold twice as many
	minSize  = 64 << 10
	maxSize  = 1 << 30

	minDuration = 10 * time.Millisecond
	maxRTT      = 2 * time.Second
)

func (o *Options) setDefaults() error {
	if len(o.Modes) == 0 {
		o.Modes = []ktls.Mode{ktls.ModeOff, ktls.ModeUser, ktls.ModeInline, ktls.ModeNIC}
	}
	if len(o.Loss) == 0 {
		o.Loss = []float64{0, 0.001, 0.01, 0.03}
	}
	if len(o.Conns) == 0 {
		o.Conns = []int{64}
	}
	if o.Version == 0 {
		o.Version = ktls.TLS13
	}
	if o.Net == "" {
		o.Net = NetMemory
	}
	if o.Size == 0 {
		o.Size = 4 << 20
	}
	if o.Duration == 0 {
		o.Duration = 400 * time.Millisecond // with the other defaults, the whole takes less than a minute
	}
	if o.MaxRexmit == 0 {
		o.MaxRexmit = ktls.DefaultMaxRexmit
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	return o.check()
}

// Check refuses what cannot be measured, and says what can.
func (o Options) Check() error { return o.setDefaults() }

// check names the flags of ocaserve compare, where options come from.
func (o *Options) check() error {
	for _, p := range o.Loss {
		if !(p >= 0 && p <= 0.2) {
			return fmt.Errorf("--loss %s: use 0%% to 20%%; beyond, TCP does not carry anything worth measuring", percent(p))
		}
	}
	for _, n := range o.Conns {
		if n < 1 || n > maxConns {
			return fmt.Errorf("--conns %d: use 1 to %d connections", n, maxConns)
		}
	}
	switch {
	case o.Net != NetMemory && o.Net != NetTUN:
		return fmt.Errorf("--net %s: use memory or tun", o.Net)
	case o.Size < minSize || o.Size > maxSize:
		return fmt.Errorf("--size of %d bytes: use 64KiB to 1GiB", o.Size)
	case o.Duration < minDuration:
		return fmt.Errorf("--duration %v: use %v or more", o.Duration, minDuration)
	case o.Rounds < 1:
		return fmt.Errorf("--rounds %d: use 1 or more", o.Rounds)
	case !(o.MaxRexmit > 0 && o.MaxRexmit <= 1):
		return fmt.Errorf("--max-rexmit %s: use more than 0%%, up to 100%%", percent(o.MaxRexmit))
	case o.RTT < 0 || o.RTT > maxRTT:
		return fmt.Errorf("--rtt %v: use 0s to %v", o.RTT, maxRTT)
	}
	return errors.Join(once("--modes", o.Modes), once("--loss", o.Loss), once("--conns", o.Conns))
}

// once refuses a value that is given twice: it would be measured twice, and be one cell.
func once[T comparable](flag string, values []T) error {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			return fmt.Errorf("%s: %v is given twice", flag, v)
		}
	}
	return nil
}

// badWire reports whether any cell wants a wire that loses or delays.
func (o *Options) badWire() bool {
	return o.RTT > 0 || slices.ContainsFunc(o.Loss, func(p float64) bool { return p > 0 })
}

// keys lists the cells of one round in the order in which they are measured: the modes next to each other.
func (o *Options) keys() (list []Key) {
	for _, n := range o.Conns {
		for _, p := range o.Loss {
			for _, m := range o.Modes {
				list = append(list, Key{Mode: m, Loss: p, Conns: n})
			}
		}
	}
	return list
}

// A Key names a cell of the comparison.
type Key struct {
	Mode  ktls.Mode
	Loss  float64
	Conns int
}
