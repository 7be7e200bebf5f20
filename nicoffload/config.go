package nicoffload

import (
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

// TSOMode says who cuts superframes.
type TSOMode uint8

const (
	TSOLink    TSOMode = iota // the link, where it can: a real adapter, or the kernel behind a TUN
	TSOEmulate                // the adapter's thread
)

var tsoNames = [...]string{"link", "emulate"}

func (m TSOMode) String() string { return tsoNames[m] }

// EvictMode says what a full table of contexts does.
type EvictMode uint8

const (
	EvictNone EvictMode = iota // refuses
	EvictLRU                   // drops the context that was idle for longest, if it was for Config.Idle
)

var evictNames = [...]string{"none", "lru"}

func (m EvictMode) String() string { return evictNames[m] }

// Config describes the adapter. The zero value is usable: its defaults are an emulation's, in the size of an
// adapter of 100 Gb/s, and no promise about any.
type Config struct {
	Contexts int           // rows of each queue's table of TLS contexts; 0: 16384
	Setup    time.Duration // from AddContext until the context can be used
	Evict    EvictMode
	Idle     time.Duration // EvictLRU: how long a context must have been idle; 0: 1 s

	Depth   int // descriptors in each transmit ring; 0: 1024
	RxDepth int // in each receive ring; 0: 1024

	// A shard that sleeps is woken for received frames at most once in so long (ethtool's rx-usecs), 0: 250 us, negative: at
	// once; sooner where so many wait (rx-frames), 0: 64.
	RxInterval time.Duration
	RxFrames   int

	Bus     pacing.Rate // bytes/s over the bus, both ways together, PCIe's own overhead included; 0: 25 GB/s
	DRAM    pacing.Rate // bytes/s of the host's memory; 0: no limit
	Packets pacing.Rate // packets/s; 0: no limit

	TSO TSOMode

	Verify float64 // share of frames that are compared with what software would send
	Faults Faults
	Seed   uint64

	Watchdog time.Duration // a ring of which nothing completes for so long is reset; 0: 5 s

	// Log is told what a human should know: an offload that was wrong and is off now, a queue that was reset.
	// Any goroutine calls it. Nil: nobody.
	Log func(string)
	// Clock is the time of budgets, set-up latency and watchdog; it must be the link's. Nil: mono.Now.
	Clock func() mono.Time

	// Manual gives the adapter no threads of its own: whoever made it turns it, see Interface.Turn. For measurements and
	// simulations.
	Manual bool

	virtual bool // Clock is the caller's: nobody sleeps in the kernel then
}

const (
	defaultContexts = 16384
	defaultDepth    = 1024
	defaultRxFrames = 64 // what a shard takes in a turn

	defaultRxInterval = 250 * time.Microsecond
	defaultIdle       = time.Second
	defaultBus        = pacing.Rate(25e9) // what 16 lanes of PCIe 4.0 carry one way, about
	defaultWatchdog   = 5 * time.Second
)

func (c *Config) setDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.Contexts, defaultContexts)
	def(&c.Depth, defaultDepth)
	def(&c.RxDepth, defaultDepth)
	def(&c.RxFrames, defaultRxFrames)
	if c.RxInterval == 0 {
		c.RxInterval = defaultRxInterval
	}
	if c.Bus == 0 {
		c.Bus = defaultBus
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	if c.Watchdog == 0 {
		c.Watchdog = defaultWatchdog
	}
	c.virtual = c.Clock != nil
	if c.Clock == nil {
		c.Clock = mono.Now
	}
}
