package nicoffload

import (
	"fmt"
	"time"

	"ocaserve/tcpstack/mono"
)

// Interrupts are moderated (ethtool -C): a shard that sleeps is woken at once for the first frame, and then not again for
// rx-usecs, unless rx-frames wait. A thread that wakes for each frame finds its caches cold each time. One that is awake looks
// at the ring by itself.

// Coalesce are the numbers of ethtool -c.
type Coalesce struct {
	RxUsecs  int // least time from one wake-up for received frames to the next, us; 0: none
	RxFrames int // frames that end it
}

const maxRxUsecs = 100_000

// Coalesce returns how interrupts are moderated. It may be called from any goroutine, as may SetCoalesce.
func (i *Interface) Coalesce() Coalesce {
	return Coalesce{RxUsecs: int(i.rxInterval.Load() / int64(time.Microsecond)), RxFrames: int(i.rxFrames.Load())}
}

// SetCoalesce changes how interrupts are moderated from now on.
func (i *Interface) SetCoalesce(c Coalesce) error {
	if err := c.check(); err != nil {
		return err
	}
	i.moderate(c)
	i.wake()
	return nil
}

// moderate stores c.
func (i *Interface) moderate(c Coalesce) {
	i.rxInterval.Store(int64(c.RxUsecs) * int64(time.Microsecond))
	i.rxFrames.Store(int64(c.RxFrames))
}

// coalesce is what the configuration says of interrupts.
func (c *Config) coalesce() Coalesce {
	return Coalesce{RxUsecs: int(max(c.RxInterval, 0) / time.Microsecond), RxFrames: c.RxFrames}
}

func (c Coalesce) check() error {
	switch {
	case c.RxUsecs < 0 || c.RxUsecs > maxRxUsecs:
		return fmt.Errorf("rx-usecs of %d: write a number from 0 to %d", c.RxUsecs, maxRxUsecs)
	case c.RxFrames < 1 || c.RxFrames > MaxDepth:
		return fmt.Errorf("rx-frames of %d: write a number from 1 to %d", c.RxFrames, MaxDepth)
	}
	return nil
}

// interrupt wakes a shard that sleeps if the ring holds enough frames, or it was not woken for long enough. now is the
// time of the turn.
func (n *nic) interrupt(now mono.Time) {
	waiting := n.rx.tail.Load() - n.rx.head.Load()
	n.untold = waiting > 0 && n.dev.sleep.Load() != awake
	if !n.untold || n.in.left() == 0 && now < n.interruptAt() && waiting < n.enough() {
		return
	}
	n.told, n.untold = now, false
	n.dev.rouse(asleep)
}

// enough is how many frames are not made to wait: never so many that the ring could be full before the shard comes.
func (n *nic) enough() uint64 {
	return uint64(min(n.nif.rxFrames.Load(), max(n.nif.rxDepth.Load()*3/4, 1)))
}

// interruptAt is when the shard may be woken again.
func (n *nic) interruptAt() mono.Time { return n.told.Add(time.Duration(n.nif.rxInterval.Load())) }
