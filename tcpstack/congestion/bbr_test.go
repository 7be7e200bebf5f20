package congestion

import (
	"testing"
	"time"
)

func (f *testFlow) bbr() *BBR { return f.c.(*BBR) }

// A flow fills 100 Mb/s x 40 ms, and keeps the queue and the RTT short.
func TestBBRFillsThePipe(t *testing.T) {
	for _, every := range []int{1, 2, 16, 44} {
		p := mbps100(t, 4)
		p.every = every
		f := p.add("bbr", 0)
		p.run(2 * time.Second)
		peak := p.peak
		p.peak = 0
		share := f.over(20 * time.Second)
		b := f.bbr()
		t.Logf("%2d packets per ACK: %.1f %%, Startup's queue %.2f BDP, then %.2f, drops %d, min_rtt %v", every, share*100,
			float64(peak)/float64(p.bdp()), float64(p.peak)/float64(p.bdp()), p.drops, b.minRTT)
		if share < 0.93 || p.peak > p.bdp()*3/2 || peak > p.bdp()*3/2 || p.drops > 0 {
			t.Errorf("%.1f %% of the rate, queue of %d and %d, %d drops", share*100, peak, p.peak, p.drops)
		}
		if b.minRTT < p.rtt || b.minRTT > p.rtt+p.rtt/20 {
			t.Errorf("min_rtt %v", b.minRTT)
		}
	}
}

func TestBBRRandomLoss(t *testing.T) {
	for _, loss := range []float64{0.001, 0.01, 0.02, 0.03} {
		p := mbps100(t, 1)
		p.loss = loss
		f := p.add("bbr", 0)
		share := f.over(2 * time.Second)
		share2 := f.over(30 * time.Second)
		t.Logf("%.1f %% lost: first 2 s %.1f %%, then %.1f %%, drops %d, %s longterm %d", loss*100, share*100, share2*100, p.drops, f.bbr().State(), f.bbr().longterm)
	}
}

func TestBBRShallowQueue(t *testing.T) {
	for _, q := range []float64{0.05, 0.1, 0.3, 1} {
		p := mbps100(t, q)
		f := p.add("bbr", 0)
		share := f.over(2 * time.Second)
		d0, s0 := p.drops, f.sent
		share2 := f.over(20 * time.Second)
		t.Logf("queue %.2f BDP: first 2 s %.1f %%, %d of %d lost; then %.1f %%, %d of %d lost", q, share*100, d0, s0, share2*100, p.drops-d0, f.sent-s0)
	}
}

func TestBBRFair(t *testing.T) {
	p := mbps100(t, 1)
	a, b := p.add("bbr", 0), p.add("bbr", time.Second)
	p.run(10 * time.Second)
	a0, b0 := a.una, b.una
	p.run(30 * time.Second)
	x, y := float64(a.una-a0), float64(b.una-b0)
	t.Logf("%.3f of the sum, %.1f %% used, peak %.2f BDP", x/(x+y), (x+y)*testMSS/30/float64(p.rate)*100, float64(p.peak)/float64(p.bdp()))
}
