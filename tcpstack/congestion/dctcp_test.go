package congestion

import (
	"testing"
	"time"
)

// RFC 8257 section 3.3: a window of 100 segments, in congestion avoidance, an ACK for each flight.
func TestDCTCP(t *testing.T) {
	c := NewDCTCP(mss)
	c.Seed(1, 100*mss, 50*mss, 0)
	var una int64
	flight := func(marked int64) {
		w := c.Window()
		una += w
		c.Acked(1, Ack{Delivered: w, Marked: marked, InFlight: w, Una: una, Next: una + mss})
	}
	flight(100 * mss)
	if c.Window() != 50*mss {
		t.Errorf("all marked, alpha 1: %d, want half", c.Window())
	}
	flight(0)
	if want := int64(dctcpUnit / 16 * 15); c.alpha != want {
		t.Errorf("alpha %d after a clean flight, want 15/16: %d", c.alpha, want)
	}
	for range 400 {
		flight(0)
	}
	if c.alpha != 0 {
		t.Errorf("alpha %d after 400 clean flights", c.alpha)
	}
	w := c.Window()
	flight(w)
	if got := float64(w-c.Window()) / float64(w); got < 0.031 || got > 0.032 {
		t.Errorf("the first marked flight after that: reduced by %.4f, want alpha/2 = 1/32", got)
	}
}

// "DCTCP does not react to congestion indications more than once for every window of data."
func TestDCTCPOncePerWindow(t *testing.T) {
	c := NewDCTCP(mss)
	c.Seed(1, 100*mss, 50*mss, 0)
	for i := range int64(50) {
		c.Acked(1, Ack{Delivered: mss, Marked: mss, InFlight: 100 * mss, Una: (i + 1) * mss, Next: 100 * mss})
	}
	if c.Window() < 49*mss || c.Window() > 51*mss {
		t.Errorf("window %d after 50 marks of one window, want half once", c.Window())
	}
	// Section 3.5: loss as in conventional TCP.
	c.Lost(1, Loss{InFlight: 60 * mss})
	if c.Window() != 30*mss {
		t.Errorf("window %d after a loss of a flight of 60 segments", c.Window())
	}
}

// A queue that marks above 0.15 BDP stays near that, and the path stays full (section 4.1: a threshold of
// 1/7 BDP suffices).
func TestDCTCPQueue(t *testing.T) {
	p := mbps100(t, 4)
	p.rtt = 10 * time.Millisecond
	p.mark = p.bdp() * 3 / 20
	f := p.add("dctcp", 0)
	p.run(2 * time.Second)
	p.peak, p.queueSum = 0, 0
	sent := f.sent
	share := f.over(10 * time.Second)
	mean := p.queueSum / float64(f.sent-sent) / float64(p.mark)
	t.Logf("%.1f %% of the rate; the queue is %.2f of the mark on average, %.2f at most; %d drops", share*100, mean, float64(p.peak)/float64(p.mark), p.drops)
	if share < 0.97 || mean > 1.2 || p.peak > 2*p.mark || p.drops > 0 {
		t.Errorf("%.1f %% of the rate, queue %.2f of the mark, at most %d", share*100, mean, p.peak)
	}
}
