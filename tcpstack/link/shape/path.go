package shape

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link/fault"
)

// A Path is what happens to the packets of one direction, in this order: policer, queue, rate, loss, delay.
// Shares are of wire packets, from 0 to 1. The zero value is a good wire.
type Path struct {
	Police pacing.Rate // a policer in front: drops what exceeds it; 0: none
	Burst  int64       // bytes that the policer lets pass at once; 0: 50 ms of its rate

	Rate  pacing.Rate // bits leave one after another; 0: all at once
	Queue Queue       // where packets wait for that
	AQM   string      // "": drop-tail; "codel", "red"

	Loss      float64   // share that vanishes
	LossBurst float64   // mean length of a burst of losses, packets; up to 1: each packet on its own
	Drop      DropRange // besides, the data packets with these numbers: a lost tail, exactly
	Delay     time.Duration
	Jitter    time.Duration // further delay, evenly distributed; packets stay in order

	Reorder   float64       // share that is held back while others pass
	ReorderBy time.Duration // for how long at most; 0: an eighth of Delay, at least 1 ms
	Duplicate float64       // share that arrives twice
}

// A Queue is the limit of a queue, in one of three measures. None set: one BDP, at least 64 KiB.
type Queue struct {
	Bytes   int64
	Packets int
	BDPs    float64 // of this direction's rate and both directions' delay
}

// A DropRange is a run of a direction's TCP packets with payload, by number from 1, both ends included; a
// retransmission counts as a packet of its own. The zero value is none.
type DropRange struct{ From, To uint64 }

// leastQueue is the least default queue: a superframe must fit.
const leastQueue = 64 << 10

// limits are the bytes and packets that may wait; 0: that many do not matter.
func (q Queue) limits(rate pacing.Rate, rtt time.Duration) (bytes int64, packets int) {
	switch bdp := rate.Bytes(rtt); {
	case q.Packets > 0:
		return 0, q.Packets
	case q.Bytes > 0:
		return q.Bytes, 0
	case q.BDPs > 0:
		return max(1, int64(q.BDPs*float64(bdp))), 0
	default:
		return max(leastQueue, bdp), 0
	}
}

// Known lists what ParsePath understands.
const Known = "rate, delay, jitter, loss (2%, or 2%/8 in bursts of 8), reorder, reorder-by, dup, drop (3-5: the third to fifth packet with TCP payload), queue (0.5bdp, 64KiB or 100p), " +
	"aqm (codel or red), police, police-burst"

// ParsePath reads "rate=100Mbps,delay=20ms,loss=1%,queue=1bdp". What it does not mention stays as in base.
func ParsePath(base Path, spec string) (Path, error) {
	p := base
	for part := range strings.SplitSeq(spec, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return Path{}, fmt.Errorf("%q has no value: write %s=...; known are %s", part, part, Known)
		}
		set := setters[strings.TrimSpace(key)]
		if set == nil {
			return Path{}, fmt.Errorf("%q is unknown: known are %s", key, Known)
		}
		if err := set(&p, strings.TrimSpace(value)); err != nil {
			return Path{}, fmt.Errorf("%s: %w", part, err)
		}
	}
	return p, nil
}

var setters = map[string]func(p *Path, v string) error{
	"rate":         func(p *Path, v string) (err error) { p.Rate, err = pacing.ParseRate(v); return },
	"police":       func(p *Path, v string) (err error) { p.Police, err = pacing.ParseRate(v); return },
	"police-burst": func(p *Path, v string) (err error) { p.Burst, err = parseBytes(v); return },
	"delay":        func(p *Path, v string) error { return parseTime(&p.Delay, v) },
	"jitter":       func(p *Path, v string) error { return parseTime(&p.Jitter, v) },
	"reorder-by":   func(p *Path, v string) error { return parseTime(&p.ReorderBy, v) },
	"reorder":      func(p *Path, v string) (err error) { p.Reorder, err = fault.ParseShare(v); return },
	"dup":          func(p *Path, v string) (err error) { p.Duplicate, err = fault.ParseShare(v); return },
	"loss":         (*Path).setLoss,
	"drop":         (*Path).setDrop,
	"queue":        (*Path).setQueue,
	"aqm":          (*Path).setAQM,
}

func (p *Path) setLoss(v string) (err error) {
	share, mean, bursts := strings.Cut(v, "/")
	if p.Loss, err = fault.ParseShare(share); err != nil || !bursts {
		p.LossBurst = 0
		return err
	}
	p.LossBurst, err = strconv.ParseFloat(mean, 64)
	// The long-run share needs a stay in the good state of at least one packet.
	if err != nil || !(p.LossBurst >= 1 && p.LossBurst <= 1e6) || p.Loss > 0.5 {
		return fmt.Errorf("write a share up to 50%% and the mean length of a burst, such as 1%%/5")
	}
	return nil
}

func (p *Path) setDrop(v string) (err error) {
	from, to, isRange := strings.Cut(v, "-")
	if !isRange {
		to = from
	}
	if p.Drop.From, err = strconv.ParseUint(from, 10, 32); err == nil {
		p.Drop.To, err = strconv.ParseUint(to, 10, 32)
	}
	if err != nil || p.Drop.From < 1 || p.Drop.To < p.Drop.From {
		return fmt.Errorf("write the numbers of packets, such as 44 or 44-46")
	}
	return nil
}

func (p *Path) setQueue(v string) (err error) {
	p.Queue = Queue{}
	lower := strings.ToLower(v)
	if bdps, ok := strings.CutSuffix(lower, "bdp"); ok {
		p.Queue.BDPs, err = strconv.ParseFloat(bdps, 64)
		if err != nil || !(p.Queue.BDPs > 0 && p.Queue.BDPs <= 1000) {
			return fmt.Errorf("write a number of BDPs above 0, such as 0.5bdp")
		}
		return nil
	}
	if packets, ok := strings.CutSuffix(lower, "p"); ok {
		p.Queue.Packets, err = strconv.Atoi(packets)
		if err != nil || p.Queue.Packets < 1 {
			return fmt.Errorf("write a number of packets above 0, such as 100p")
		}
		return nil
	}
	p.Queue.Bytes, err = parseBytes(v)
	return err
}

func (p *Path) setAQM(v string) error {
	switch v {
	case "none":
		v = ""
	case "codel", "red":
	default:
		return fmt.Errorf("known are none, codel and red")
	}
	p.AQM = v
	return nil
}

// maxTime is far beyond what TCP bears; longer is a typing error.
const maxTime = time.Minute

func parseTime(d *time.Duration, v string) (err error) {
	*d, err = time.ParseDuration(v)
	if err != nil || *d < 0 || *d > maxTime {
		return fmt.Errorf("write a time from 0s to %v, such as 20ms", maxTime)
	}
	return nil
}

// parseBytes reads "64KiB", "64k" or "65536".
func parseBytes(s string) (int64, error) {
	digits, scale := strings.ToLower(s), 1.0
	for _, u := range []struct {
		suffix string
		bytes  float64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"b", 1}} {
		if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, scale = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || !(n*scale >= 1 && n*scale < math.MaxInt32) {
		return 0, fmt.Errorf("write bytes from 1 to 2GiB, such as 64KiB")
	}
	return int64(n * scale), nil
}
