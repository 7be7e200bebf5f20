package recovery

import (
	"math/rand/v2"
	"testing"
)

// RFC 9937 section 6.2 with one segment lost of 20 and ssthresh 10: one segment goes out for every two that
// arrive, and the recovery ends at ssthresh.
func TestPRRProportional(t *testing.T) {
	x := tell(t, Config{SACK: true})
	x.send(20_000)
	x.advance(100 * ms)
	o := x.s.Ack(x.now, AckInfo{SACK: blocks(sack(1000, 4000))})
	if got := x.s.RecoverFS(&o); got != 20_000 {
		t.Fatalf("RecoverFS %d", got)
	}
	var p PRR
	p.Enter(x.s.RecoverFS(&o), 0, 10_000)
	pipe, delivered, sent := int64(16_000), int64(3000), 0
	for i := range int64(17) {
		w := p.Ack(delivered, pipe, mss, false)
		if want := (3+i)*500 - int64(sent)*mss; pipe > 10_000 && w-pipe != want {
			t.Fatalf("ACK %d: may send %d, want %d", i, w-pipe, want)
		}
		for w-pipe >= mss {
			p.Sent(mss)
			pipe += mss
			sent++
		}
		delivered = mss
		pipe -= mss
	}
	if pipe+mss != 10_000 || !p.Active() { // one segment has just arrived
		t.Fatalf("sent %d, %d in flight", sent, pipe)
	}
	if w := p.Exit(); w != 10_000 || p.Active() {
		t.Fatalf("window %d", w)
	}
}

// Section 6.2: what is lost in a burst is not answered by a burst. Conservative bound: without a safe ACK
// no more than was delivered; with one a segment more.
func TestPRRReductionBounds(t *testing.T) {
	var p PRR
	p.Enter(20_000, 0, 10_000)
	if w := p.Ack(1000, 2000, mss, false); w != 3000 { // 17 of 20 lost
		t.Fatalf("CRB: window %d", w)
	}
	p.Sent(1000)
	if w := p.Ack(1000, 2000, mss, true); w != 4000 {
		t.Fatalf("SSRB: window %d", w)
	}
	p.Sent(2000)
	if w := p.Ack(1000, 9500, mss, true); w != 10_000 { // "Attempt to catch up, as permitted", not beyond
		t.Fatalf("window %d", w)
	}
	if w := p.Ack(0, 100, mss, false); w != 10_000 { // "if (DeliveredData is 0) return"
		t.Fatalf("window %d", w)
	}
	p.Enter(20_000, 0, 10_000)
	if w := p.Ack(0, 12_000, mss, false); w != 13_000 { // "Force a fast retransmit upon entering recovery"
		t.Fatalf("window %d", w)
	}
}

// Whatever happens: while the flight is above ssthresh, prr_out <= ssthresh/RecoverFS * prr_delivered + 1
// segment; the window never lets more out than max(delivered) + a segment per ACK.
func TestPRRFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(9937, 1))
	for range 2000 {
		var p PRR
		fs := 1000 + rng.Int64N(1<<22)
		thresh := 1000 + rng.Int64N(fs)
		p.Enter(fs, 0, thresh)
		pipe, delivered, out := fs, int64(0), int64(0)
		for range 100 {
			d := min(rng.Int64N(3*mss)+1, pipe)
			pipe -= d
			delivered += d
			before := pipe
			w := p.Ack(d, pipe, mss, rng.IntN(2) == 0)
			n := max(0, w-pipe)
			p.Sent(n)
			out += n
			pipe += n
			if before > thresh && out > delivered*thresh/fs+1+mss {
				t.Fatalf("sent %d for %d delivered, ssthresh %d of %d", out, delivered, thresh, fs)
			}
			if before <= thresh && pipe > thresh {
				t.Fatalf("flight %d above ssthresh %d", pipe, thresh)
			}
		}
	}
}

// Where pacing withheld a part of the window when a loss was found, as much has been sent at each ACK of the recovery as if
// all of the window had been in flight by then, however large that part.
func TestPRRWithheldIsNotLost(t *testing.T) {
	for _, held := range []int64{0, 45, 76, 77, 78, 108, 158, 257} {
		const window, thresh = 258 * mss, 180 * mss
		var paced, not PRR
		paced.Enter(window-held*mss, held*mss, thresh)
		not.Enter(window, 0, thresh)
		pipe, all := window-held*mss, int64(window)
		sent, want := int64(0), held*mss
		for i := range 250 {
			safe := i%3 == 0
			n := max(0, paced.Ack(mss, pipe-mss, mss, safe)-(pipe-mss))
			paced.Sent(n)
			m := max(0, not.Ack(mss, all-mss, mss, safe)-(all-mss))
			not.Sent(m)
			pipe, all, sent, want = pipe-mss+n, all-mss+m, sent+n, want+m
			if sent != want || pipe != all || pipe > window {
				t.Fatalf("%d withheld: after %d ACKs %d bytes have been sent, want %d; %d in flight, want %d", held, i+1, sent, want, pipe, all)
			}
		}
	}
}

// The retransmission that the RFC forces is the first: that later as much has been sent as was withheld means nothing.
func TestPRRForcesOnlyTheFirst(t *testing.T) {
	var p PRR
	p.Enter(20*mss, 10*mss, 21*mss)
	pipe := int64(19 * mss)
	for range 9 {
		pipe -= mss
		w := p.Ack(mss, pipe, mss, false)
		n := min(w-pipe, 2*mss) // pacing lets out two at a time
		p.Sent(n)
		p.Turn()
		pipe += n
	}
	p.out = 0
	if w := p.Ack(mss, 21*mss, mss, false); w > 21*mss { // the original of what had been judged lost
		t.Errorf("a window of %d with %d in flight", w, 21*mss)
	}
}

// ACKs that come before output's turn let out as much as one by one: in PRR-SSRB each two segments.
func TestPRRTogether(t *testing.T) {
	var window, out [2]int64
	for i, together := range []bool{false, true} {
		var p PRR
		p.Enter(14*mss, 0, 10*mss)
		pipe := int64(2 * mss)
		p.Ack(mss, pipe, mss, false)
		p.Sent(mss)
		for range 2 {
			p.Turn()
			for n := range 2 {
				pipe -= mss
				w := p.Ack(mss, pipe, mss, true)
				if n == 0 && together {
					continue
				}
				p.Sent(w - pipe)
				out[i] += w - pipe
				pipe, window[i] = w, w
			}
		}
	}
	if out[0] != 8*mss || out[1] != out[0] || window[1] != window[0] {
		t.Errorf("%d bytes let out one by one, %d together; window %d and %d", out[0], out[1], window[0], window[1])
	}
}
