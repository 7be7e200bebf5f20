package bisect

import (
	"fmt"
	"time"

	"ocaserve/nicoffload"
)

// Options say what is examined, and how hard. Zero values mean the defaults.
type Options struct {
	NIC    nicoffload.Config
	Size   int64         // of the file, bytes; 0: 16 MiB
	Rounds int           // timed transfers with and without each offload; 0: none
	Stall  time.Duration // without a byte for so long a transfer is given up; 0: 5 s
	// Say is told what happens, a line each. Nil: nobody.
	Say func(line string)
}

const (
	minSize = 1 << 20
	maxSize = 1 << 30

	// slower is how much longer than without an offload a transfer must take, by the median, to be called slow:
	// far more than what chance and a busy machine do.
	slower = 1.6
)

func (o *Options) setDefaults() error {
	if o.Size == 0 {
		o.Size = 16 << 20
	}
	if o.Stall == 0 {
		o.Stall = 5 * time.Second
	}
	if o.NIC.Watchdog == 0 {
		o.NIC.Watchdog = 500 * time.Millisecond // an adapter that hangs should not take the search long
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	return o.Check()
}

// Check tells what Run would refuse.
func (o *Options) Check() error {
	if o.Size != 0 && (o.Size < minSize || o.Size > maxSize) {
		return fmt.Errorf("a file of %d bytes: use 1 MiB to 1 GiB; less does not show rare faults", o.Size)
	}
	if o.Rounds < 0 || o.Rounds > 100 {
		return fmt.Errorf("%d rounds: use up to 100", o.Rounds)
	}
	return nil
}
