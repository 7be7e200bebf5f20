package compare

import (
	"fmt"
	"slices"
	"time"

	"ocaserve/ktls"
	"ocaserve/nicoffload"
)

// Options say what is compared. The zero value of each field has a default.
type Options struct {
	Modes    []ktls.Mode   // nil: all four
	Loss     []float64     // shares of packets, in each direction; nil: 0, 0.1 %, 1 %, 3 %
	Conns    []int         // connections at once; nil: 64
	Cipher   Cipher        // of TLS
	Version  ktls.Version  // 0: TLS 1.3
	Net      string        // NetMemory or NetTUN; "": NetMemory
	Size     int64         // of the file, bytes; 0: 4 MiB
	Duration time.Duration // of one measurement; 0: 500 ms
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

// A Progress says which measurement comes next.
type Progress struct {
	Done, Total int
	Round       int // from 1
	Cell        Key
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
)

func (o *Options) setDefaults() error {
	if o.Modes == nil {
		o.Modes = []ktls.Mode{ktls.ModeOff, ktls.ModeUser, ktls.ModeInline, ktls.ModeNIC}
	}
	if o.Loss == nil {
		o.Loss = []float64{0, 0.001, 0.01, 0.03}
	}
	if o.Conns == nil {
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
		o.Duration = 500 * time.Millisecond
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

func (o *Options) check() error {
	if slices.ContainsFunc(o.Loss, func(p float64) bool { return !(p >= 0 && p <= 0.2) }) {
		return fmt.Errorf("loss is from 0%% to 20%%: beyond, TCP does not carry anything worth measuring")
	}
	if slices.ContainsFunc(o.Conns, func(n int) bool { return n < 1 || n > maxConns }) {
		return fmt.Errorf("connections are from 1 to %d", maxConns)
	}
	switch {
	case o.Net != NetMemory && o.Net != NetTUN:
		return fmt.Errorf("unknown link %q between server and clients: use memory or tun", o.Net)
	case o.Size < minSize || o.Size > maxSize:
		return fmt.Errorf("the size of the file is from 64KiB to 1GiB")
	case o.Duration < 10*time.Millisecond:
		return fmt.Errorf("a measurement takes at least 10ms")
	case o.Rounds < 1:
		return fmt.Errorf("at least one round is needed")
	case !(o.MaxRexmit > 0 && o.MaxRexmit <= 1):
		return fmt.Errorf("the share of retransmissions that an adapter bears is above 0%% and up to 100%%")
	case o.RTT < 0 || o.RTT > 2*time.Second:
		return fmt.Errorf("the round trip is from 0 to 2s")
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
