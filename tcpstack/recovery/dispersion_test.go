package recovery

import (
	"testing"
	"time"

	"ocaserve/tcpstack/mono"
)

// trainOf feeds d with the ACKs of n segments of 1000 bytes, one for every two, that left apart from each other, over a
// path of 20 ms whose narrowest link carries 10 MB/s, and returns when the last ACK came.
func trainOf(d *Dispersion, at mono.Time, n int, apart time.Duration) mono.Time {
	free := at.Add(20 * time.Millisecond)
	for k := range n {
		sent := at.Add(time.Duration(k) * apart)
		free = max(free, sent.Add(20*time.Millisecond)).Add(100 * time.Microsecond)
		if k%2 == 1 {
			d.Acked(free, 2000, free.Sub(sent))
		}
	}
	return free
}

// The initial window, sent at once, shows the link; segments that were spread show nothing, and neither does a pause.
func TestDispersion(t *testing.T) {
	const link = 10_000_000 >> 10 << 10
	for _, tc := range []struct {
		name     string
		n        int
		apart    time.Duration
		min, max int64
	}{
		{"at once", 10, 0, link, link},
		{"three times as fast as the link", 20, 33 * time.Microsecond, link, link},
		{"as fast as the link", 40, 100 * time.Microsecond, 0, 0},
		{"slower", 40, time.Millisecond, 0, 0},
		{"too few", 6, 0, 0, 0},
	} {
		var d Dispersion
		at := trainOf(&d, 1, tc.n, tc.apart)
		if got := d.Rate(); got < tc.min || got > tc.max {
			t.Errorf("%s: %d bytes per second, want %d to %d", tc.name, got, tc.min, tc.max)
		}
		before := d.Rate()
		at = trainOf(&d, at.Add(time.Second), 6, 0)
		trainOf(&d, at.Add(time.Second), 40, time.Millisecond)
		if d.Rate() != before {
			t.Errorf("%s: %d bytes per second after a pause and a spread flight, were %d", tc.name, d.Rate(), before)
		}
	}
}

// A delayed ACK (RFC 1122 section 4.2.3.2) or one without a round-trip time does not make a link slow, and no ACK may
// divide by zero.
func TestDispersionOfOddACKs(t *testing.T) {
	var d Dispersion
	at := trainOf(&d, 1, 10, 0)
	rate := d.Rate()
	at = at.Add(40 * time.Millisecond)
	d.Acked(at, 1000, 60*time.Millisecond)
	d.Acked(at, 1000, 0)
	for range 10 {
		d.Acked(at, 1<<30, time.Nanosecond)
	}
	if d.Rate() != rate {
		t.Errorf("%d bytes per second, were %d", d.Rate(), rate)
	}
}
