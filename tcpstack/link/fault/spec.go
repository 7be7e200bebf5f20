package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ocaserve/tcpstack/mono"
)

// Config says how bad the wire is. Shares are of wire packets, from 0 to 1, and hold in each direction
// independently. The zero value is a good wire.
type Config struct {
	Loss      float64 // share of packets that vanish
	Reorder   float64 // share that later packets overtake
	Duplicate float64 // share that arrive twice
	Corrupt   float64 // share that arrive with one bit flipped

	Delay time.Duration // one way; a round trip takes twice as long
	Seed  uint64        // same seed, same packets, same faults

	// Clock tells when delayed packets are due. Nil: mono.Now.
	Clock func() mono.Time
}

// known lists what a spec may set, for error messages.
const known = "loss, reorder, dup, corrupt (shares such as 1% or 0.01), delay (such as 5ms), seed (a number)"

// ParseSpec reads what the user wrote: "loss=1%,reorder=1%,dup=0.5%,corrupt=0.1%,delay=5ms,seed=7". All
// parts are optional; an empty spec is a good wire.
func ParseSpec(spec string) (Config, error) {
	var c Config
	seen := map[string]bool{}
	for part := range strings.SplitSeq(spec, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			return Config{}, fmt.Errorf("link fault %q has no value: write %s=...; known are %s", part, part, known)
		}
		if seen[key] {
			return Config{}, fmt.Errorf("link fault %q is given twice", key)
		}
		seen[key] = true
		if err := c.set(key, value); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// set applies one part of a spec.
func (c *Config) set(key, value string) (err error) {
	switch key {
	case "loss":
		c.Loss, err = ParseShare(value)
	case "reorder":
		c.Reorder, err = ParseShare(value)
	case "dup":
		c.Duplicate, err = ParseShare(value)
	case "corrupt":
		c.Corrupt, err = ParseShare(value)
	case "delay":
		c.Delay, err = time.ParseDuration(value)
		if err == nil && (c.Delay < 0 || c.Delay > maxDelay) {
			err = fmt.Errorf("must be from 0 to %v", maxDelay)
		} else if err != nil {
			err = fmt.Errorf("write a time such as 5ms")
		}
	case "seed":
		c.Seed, err = strconv.ParseUint(value, 10, 64)
		if err != nil {
			err = fmt.Errorf("write a whole number such as 7")
		}
	default:
		return fmt.Errorf("unknown link fault %q: known are %s", key, known)
	}
	if err != nil {
		return fmt.Errorf("link fault %s=%s: %w", key, value, err)
	}
	return nil
}

// maxDelay is far beyond what TCP bears; longer is a typing error.
const maxDelay = 10 * time.Second

// ParseShare reads "1%" or "0.01".
func ParseShare(s string) (float64, error) {
	digits, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) { // the comparison also refuses NaN
		return 0, fmt.Errorf("write a share from 0%% to 100%%, such as 1%% or 0.01")
	}
	return v, nil
}

// String returns the spec that ParseSpec reads back; "none" for a good wire.
func (c Config) String() string {
	var parts []string
	add := func(key string, share float64) {
		if share > 0 {
			parts = append(parts, key+"="+strconv.FormatFloat(share*100, 'g', 6, 64)+"%")
		}
	}
	add("loss", c.Loss)
	add("reorder", c.Reorder)
	add("dup", c.Duplicate)
	add("corrupt", c.Corrupt)
	if c.Delay > 0 {
		parts = append(parts, "delay="+c.Delay.String())
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(append(parts, "seed="+strconv.FormatUint(c.Seed, 10)), ",")
}
