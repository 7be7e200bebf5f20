package shape

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/mono"
)

func TestParsePath(t *testing.T) {
	base := Path{Delay: time.Second, Loss: .5, LossBurst: 3}
	for spec, want := range map[string]Path{
		"":                                base,
		"loss=1%":                         {Delay: time.Second, Loss: .01},
		" rate = 100Mbps , delay=10ms,":   {Rate: 12500000, Delay: 10 * time.Millisecond, Loss: .5, LossBurst: 3},
		"loss=2%/8":                       {Delay: time.Second, Loss: .02, LossBurst: 8},
		"queue=0.5bdp,aqm=codel":          {Delay: time.Second, Loss: .5, LossBurst: 3, Queue: Queue{BDPs: .5}, AQM: "codel"},
		"queue=100p,aqm=none":             {Delay: time.Second, Loss: .5, LossBurst: 3, Queue: Queue{Packets: 100}},
		"queue=1bdp,queue=64KiB":          {Delay: time.Second, Loss: .5, LossBurst: 3, Queue: Queue{Bytes: 64 << 10}},
		"police=8Mbps,police-burst=10k":   {Delay: time.Second, Loss: .5, LossBurst: 3, Police: 1e6, Burst: 10 << 10},
		"drop=7":                          {Delay: time.Second, Loss: .5, LossBurst: 3, Drop: DropRange{7, 7}},
		"loss=0,drop=44-46":               {Delay: time.Second, Drop: DropRange{44, 46}},
		"loss=0,delay=0s,jitter=1ms":      {Jitter: time.Millisecond},
		"reorder=2%,reorder-by=3ms,dup=1": {Delay: time.Second, Loss: .5, LossBurst: 3, Reorder: .02, ReorderBy: 3 * time.Millisecond, Duplicate: 1},
	} {
		if got, err := ParsePath(base, spec); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", spec, got, err, want)
		}
	}
}

func TestParsePathErrorsHelp(t *testing.T) {
	for spec, want := range map[string]string{
		"loss": "write loss=...", "los=1%": "known are rate", "loss=120%": "from 0% to 100%", "loss=60%/2": "up to 50%",
		"loss=1%/0": "such as 1%/5", "rate=fast": "100Mbps", "rate=5": "100Mbps", "delay=5": "such as 20ms", "delay=-5ms": "such as 20ms",
		"delay=1h": "from 0s to", "queue=0bdp": "above 0", "queue=xp": "such as 100p", "queue=0": "such as 64KiB",
		"drop=0": "such as 44", "drop=5-4": "such as 44", "drop=x": "such as 44",
		"aqm=fq": "codel and red", "police-burst=9GiB": "to 2GiB",
	} {
		_, err := ParsePath(Path{}, spec)
		if want == "100Mbps" {
			want = "want a number with a unit"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", spec, err, want)
		}
	}
}

func TestQueueLimits(t *testing.T) {
	const rate, rtt = pacing.Rate(12_500_000), 20 * time.Millisecond // a BDP of 250,000 bytes
	for _, tt := range []struct {
		q       Queue
		bytes   int64
		packets int
	}{
		{Queue{}, 250_000, 0}, {Queue{BDPs: .1}, 25_000, 0}, {Queue{Bytes: 99}, 99, 0}, {Queue{Packets: 10}, 0, 10},
	} {
		if b, p := tt.q.limits(rate, rtt); b != tt.bytes || p != tt.packets {
			t.Errorf("%+v: %d bytes, %d packets; want %d and %d", tt.q, b, p, tt.bytes, tt.packets)
		}
	}
	if b, _ := (Queue{}).limits(rate, 0); b != leastQueue {
		t.Errorf("without delay the queue is %d bytes, want %d", b, leastQueue)
	}
}

// TestLateness compares quantiles with those of the sorted samples: at most 1/16 or 1 us above.
func TestLateness(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l Lateness
	var all []time.Duration
	for range 10000 {
		d := time.Duration(r.ExpFloat64() * float64(100*time.Microsecond))
		l.Record(start, start.Add(d))
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .5, .9, .99, .999} {
		exact := all[int(q*float64(len(all)))]
		if got := l.Quantile(q); got < exact || got > exact+exact/16+time.Microsecond {
			t.Errorf("quantile %v is %v, want %v or little more", q, got, exact)
		}
	}
	if l.Max() != all[len(all)-1] || l.Quantile(1) != l.Max() || l.Count() != 10000 {
		t.Errorf("max %v, quantile 1 %v, of %d; want %v", l.Max(), l.Quantile(1), l.Count(), all[len(all)-1])
	}
	l.Record(start, start.Add(time.Hour)) // beyond the last bucket
	l.Record(start, start-1)              // early: not late
	if l.Max() != time.Hour || l.Quantile(0) > time.Microsecond || mono.Time(l.Count()) != 10002 {
		t.Errorf("max %v, least %v", l.Max(), l.Quantile(0))
	}
}
