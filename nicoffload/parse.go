package nicoffload

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link/fault"
)

// check refuses what no adapter has.
func (c *Config) check() error {
	switch {
	case c.Contexts < 0 || c.Contexts > maxContexts:
		return fmt.Errorf("nicoffload: contexts=%d: must be from 1 to %d", c.Contexts, maxContexts)
	case c.Depth < 1 || c.Depth > MaxDepth:
		return fmt.Errorf("nicoffload: depth=%d: must be from 1 to %d", c.Depth, MaxDepth)
	case c.RxDepth < 1 || c.RxDepth > MaxDepth:
		return fmt.Errorf("nicoffload: rxdepth=%d: must be from 1 to %d", c.RxDepth, MaxDepth)
	case c.Setup < 0 || c.Idle < 0 || c.Watchdog < 0:
		return fmt.Errorf("nicoffload: times must not be negative")
	}
	return nil
}

// A key is a part of the text form of a Config.
type setting struct {
	name, like string
	set        func(c *Config, v string) error
	get        func(c *Config) string // "": the default
}

var settings = []setting{
	number("contexts", func(c *Config) *int { return &c.Contexts }),
	duration("setup", func(c *Config) *time.Duration { return &c.Setup }),
	{"evict", "none or lru", func(c *Config, v string) error { return choose(&c.Evict, evictNames[:], v) },
		func(c *Config) string { return unless(c.Evict == EvictNone, c.Evict) }},
	duration("idle", func(c *Config) *time.Duration { return &c.Idle }),
	number("depth", func(c *Config) *int { return &c.Depth }),
	number("rxdepth", func(c *Config) *int { return &c.RxDepth }),
	rate("bus", func(c *Config) *pacing.Rate { return &c.Bus }),
	rate("dram", func(c *Config) *pacing.Rate { return &c.DRAM }),
	{"pps", "a number of packets per second", func(c *Config, v string) error {
		n, err := strconv.ParseUint(v, 10, 40)
		c.Packets = pacing.Rate(n)
		return err
	}, func(c *Config) string { return unless(c.Packets == 0, int64(c.Packets)) }},
	{"tso", "link or emulate", func(c *Config, v string) error { return choose(&c.TSO, tsoNames[:], v) },
		func(c *Config) string { return unless(c.TSO == TSOLink, c.TSO) }},
	{"verify", "a share such as 1%", func(c *Config, v string) (err error) {
		c.Verify, err = fault.ParseShare(v)
		return err
	}, func(c *Config) string {
		return unless(c.Verify == 0, strconv.FormatFloat(c.Verify*100, 'g', 6, 64)+"%")
	}},
	{"faults", strings.Join(faultNames, "+"), func(c *Config, v string) (err error) {
		c.Faults, err = ParseFaults(v)
		return err
	}, func(c *Config) string { return unless(c.Faults == 0, c.Faults) }},
	{"seed", "a number", func(c *Config, v string) (err error) {
		c.Seed, err = strconv.ParseUint(v, 10, 64)
		return err
	}, func(c *Config) string { return unless(c.Seed == 0, c.Seed) }},
	duration("watchdog", func(c *Config) *time.Duration { return &c.Watchdog }),
}

func unless(isDefault bool, v any) string {
	if isDefault {
		return ""
	}
	return fmt.Sprint(v)
}

func number(name string, of func(*Config) *int) setting {
	return setting{name, "a number above 0", func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err == nil && n < 1 {
			return fmt.Errorf("below 1")
		}
		*of(c) = n
		return err
	}, func(c *Config) string { return unless(*of(c) == 0, *of(c)) }}
}

func duration(name string, of func(*Config) *time.Duration) setting {
	return setting{name, "a time such as 50us", func(c *Config, v string) (err error) {
		*of(c), err = time.ParseDuration(v)
		return err
	}, func(c *Config) string { return unless(*of(c) == 0, *of(c)) }}
}

func rate(name string, of func(*Config) *pacing.Rate) setting {
	return setting{name, "a rate such as 16GB/s", func(c *Config, v string) (err error) {
		*of(c), err = pacing.ParseRate(v)
		return err
	}, func(c *Config) string { return unless(*of(c) == 0, *of(c)) }}
}

// choose sets *p to the index of v among names.
func choose[T ~uint8](p *T, names []string, v string) error {
	for i, n := range names {
		if n == v {
			*p = T(i)
			return nil
		}
	}
	return fmt.Errorf("no such choice")
}

// ParseConfig reads "contexts=1024,bus=16GB/s,setup=50us,evict=lru,depth=512,verify=1%,faults=csum+tls-tag,seed=7".
// All parts are optional.
func ParseConfig(s string) (Config, error) {
	var c Config
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if seen[name] {
			return Config{}, fmt.Errorf("nic: %s is given twice", name)
		}
		seen[name] = true
		if err := c.apply(name, value); err != nil {
			return Config{}, err
		}
	}
	full := c
	full.setDefaults()
	return c, full.check()
}

func (c *Config) apply(name, value string) error {
	var names []string
	for _, s := range settings {
		names = append(names, s.name)
		if s.name != name {
			continue
		}
		if err := s.set(c, value); err != nil {
			return fmt.Errorf("nic: %s=%s: %v; write %s", name, value, err, s.like)
		}
		return nil
	}
	return fmt.Errorf("nic: unknown setting %q: known are %s", name, strings.Join(names, ", "))
}

// String is what ParseConfig reads: what differs from the default.
func (c Config) String() string {
	var parts []string
	for _, s := range settings {
		if v := s.get(&c); v != "" {
			parts = append(parts, s.name+"="+v)
		}
	}
	return strings.Join(parts, ",")
}
