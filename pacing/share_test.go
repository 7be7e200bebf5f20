package pacing

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		total         Rate
		demands, want []Rate
	}{
		{100, []Rate{Unlimited}, []Rate{100}},
		{100, []Rate{Unlimited, Unlimited}, []Rate{50, 50}},
		{100, []Rate{10, Unlimited, Unlimited}, []Rate{10, 45, 45}},
		{100, []Rate{10, 40, Unlimited}, []Rate{10, 40, 50}},
		{100, []Rate{0, 0}, []Rate{50, 50}},
		{100, []Rate{10, 20}, []Rate{45, 55}},
		{101, []Rate{Unlimited, Unlimited, 1}, []Rate{50, 50, 1}},
		{5, []Rate{Unlimited, Unlimited, Unlimited}, []Rate{2, 2, 1}},
		{0, []Rate{3, Unlimited}, []Rate{0, 0}},
		{7, nil, nil},
	} {
		got := make([]Rate, len(c.demands))
		Share(c.total, c.demands, got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%d for %v: %v, want %v", c.total, c.demands, got, c.want)
		}
	}
}

// The two formulas of Share's doc, for any demands.
func checkShare(t *testing.T, total Rate, demands []Rate) {
	shares := make([]Rate, len(demands))
	Share(total, demands, shares)
	sum := Rate(0)
	for i, s := range shares {
		sum += s
		if s < demands[i] && s < slices.Max(shares)-1 {
			t.Errorf("%d for %v: %v, while another has more than %d", total, demands, shares, s)
		}
	}
	if sum != total {
		t.Errorf("%d for %v: %v is %d in all", total, demands, shares, sum)
	}
}

func FuzzShare(f *testing.F) {
	f.Add(int64(1000), []byte{0, 255, 3, 100})
	f.Fuzz(func(t *testing.T, total int64, b []byte) {
		if total < 0 || total > int64(MaxRate) || len(b) == 0 || len(b) > 128 {
			return
		}
		demands := make([]Rate, len(b))
		for i, v := range b {
			demands[i] = Rate(v) * Rate(v) * Rate(total/10000+1)
			if v == 255 {
				demands[i] = Unlimited
			}
		}
		checkShare(t, Rate(total), demands)
	})
}

func TestShareRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		demands := make([]Rate, 1+rng.IntN(16))
		for i := range demands {
			demands[i] = Rate(rng.Int64N(1 << rng.IntN(30)))
		}
		checkShare(t, Rate(rng.Int64N(1<<rng.IntN(30)+1)), demands)
	}
}

func TestDemand(t *testing.T) {
	if got := Demand(1000, 10*time.Millisecond, false); got != 200_000 {
		t.Error(got)
	}
	if Demand(1, time.Second, true) != Unlimited || Demand(1, 0, false) != Unlimited {
		t.Error("held back is a demand without limit")
	}
}
