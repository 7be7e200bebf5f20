package nicoffload

import (
	"errors"
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
	case c.Contexts < 1 || c.Contexts > maxContexts:
		return fmt.Errorf("contexts=%d: write a number from 1 to %d", c.Contexts, maxContexts)
	case c.Depth < 1 || c.Depth > MaxDepth:
		return fmt.Errorf("depth=%d: write a number from 1 to %d", c.Depth, MaxDepth)
	case c.RxDepth < 1 || c.RxDepth > MaxDepth:
		return fmt.Errorf("rxdepth=%d: write a number from 1 to %d", c.RxDepth, MaxDepth)
	case c.Setup < 0 || c.Idle < 0 || c.Watchdog < 0:
		return fmt.Errorf("setup=%v, idle=%v, watchdog=%v: times must not be negative", c.Setup, c.Idle, c.Watchdog)
	}
	return c.coalesce().check()
}

// A setting is a part of the text form of a Config.
type setting struct {
	name string
	like string // what to write instead of a value that is wrong; "": the error of set says it
	set  func(c *Config, v string) error
	get  func(c *Config) string // "": the default
}

// errValue is a wrong value of a setting that says itself what is right.
var errValue = errors.New("nicoffload: not a value of this setting")

var settings = []setting{
	number("contexts", maxContexts, func(c *Config) *int { return &c.Contexts }),
	duration("setup", func(c *Config) *time.Duration { return &c.Setup }),
	{"evict", "none or lru", func(c *Config, v string) error { return choose(&c.Evict, evictNames[:], v) },
		func(c *Config) string { return unless(c.Evict == EvictNone, c.Evict) }},
	duration("idle", func(c *Config) *time.Duration { return &c.Idle }),
	number("depth", MaxDepth, func(c *Config) *int { return &c.Depth }),
	number("rxdepth", MaxDepth, func(c *Config) *int { return &c.RxDepth }),
	{"rx-usecs", fmt.Sprintf("a number of us from 0 to %d", maxRxUsecs), func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > maxRxUsecs {
			return errValue
		}
		if c.RxInterval = time.Duration(n) * time.Microsecond; n == 0 {
			c.RxInterval = -1
		}
		return nil
	}, func(c *Config) string { return unless(c.RxInterval == 0, max(c.RxInterval, 0).Microseconds()) }},
	number("rx-frames", MaxDepth, func(c *Config) *int { return &c.RxFrames }),
	rate("bus", func(c *Config) *pacing.Rate { return &c.Bus }),
	rate("dram", func(c *Config) *pacing.Rate { return &c.DRAM }),
	{"pps", "a number of packets per second", func(c *Config, v string) error {
		n, err := strconv.ParseUint(v, 10, 40)
		c.Packets = pacing.Rate(n)
		return err
	}, func(c *Config) string { return unless(c.Packets == 0, int64(c.Packets)) }},
	{"tso", "link or emulate", func(c *Config, v string) error { return choose(&c.TSO, tsoNames[:], v) },
		func(c *Config) string { return unless(c.TSO == TSOLink, c.TSO) }},
	{"verify", "a share from 0% to 100%, such as 1%", func(c *Config, v string) (err error) {
		c.Verify, err = fault.ParseShare(v)
		return err
	}, func(c *Config) string {
		return unless(c.Verify == 0, strconv.FormatFloat(c.Verify*100, 'g', 6, 64)+"%")
	}},
	{"faults", "", func(c *Config, v string) (err error) {
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

// number is a count from 1 to most.
func number(name string, most int, of func(*Config) *int) setting {
	return setting{name, fmt.Sprintf("a number from 1 to %d", most), func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > most {
			return errValue
		}
		*of(c) = n
		return nil
	}, func(c *Config) string { return unless(*of(c) == 0, *of(c)) }}
}

func duration(name string, of func(*Config) *time.Duration) setting {
	return setting{name, "a time such as 50us", func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return errValue
		}
		*of(c) = d
		return nil
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
	return errValue
}

// ParseConfig reads "contexts=1024,bus=16GB/s,setup=50us,evict=lru,depth=512,verify=1%,faults=csum+tls-tag,seed=7".
// All parts are optional. An error says what to write, and nothing of where it stands.
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
			return Config{}, fmt.Errorf("%s is given twice", name)
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
		err := s.set(c, value)
		switch {
		case err == nil:
			return nil
		case s.like == "":
			return fmt.Errorf("%s=%s: %w", name, value, err)
		}
		return fmt.Errorf("%s=%s: write %s", name, value, s.like)
	}
	return fmt.Errorf("unknown setting %q: known are %s", name, strings.Join(names, ", "))
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
