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

// The initial window, sent at once, shows the link; segments that were spread show nothing.
func TestDispersion(t *testing.T) {
	const link = 10_000_000
	for _, tc := range []struct {
		name  string
		n     int
		apart time.Duration
		want  int64
	}{
		{"at once", 10, 0, link},
		{"three times as fast as the link", 20, 33 * time.Microsecond, link},
		{"more than it remembers", 2000, 0, link},
		{"as fast as the link", 40, 100 * time.Microsecond, 0},
		{"slower", 40, time.Millisecond, 0},
		{"too few", 6, 0, 0},
	} {
		var d Dispersion
		trainOf(&d, 1, tc.n, tc.apart)
		if got := d.Rate(); got != tc.want {
			t.Errorf("%s: %d bytes per second, want %d", tc.name, got, tc.want)
		}
	}
}

// What comes after the train does not change what it told: a pause, a flight that was spread, a delayed ACK (RFC 1122
// section 4.2.3.2), one without a round-trip time or with a nonsensical one.
func TestDispersionOfOtherACKs(t *testing.T) {
	var d Dispersion
	at := trainOf(&d, 1, 10, 0)
	rate := d.Rate()
	at = at.Add(40 * time.Millisecond)
	d.Acked(at, 1000, 60*time.Millisecond)
	at = trainOf(&d, at.Add(time.Second), 40, time.Millisecond)
	for _, rtt := range []time.Duration{0, -1, time.Hour} {
		at++
		d.Acked(at, 1000, rtt)
	}
	d.Acked(at, 1<<30, time.Nanosecond)
	d.Acked(at, 1<<30, time.Nanosecond)
	if d.Rate() != rate {
		t.Errorf("%d bytes per second, were %d", d.Rate(), rate)
	}
}

// A slower path shows within what is remembered, and ACKs at one instant divide nothing by zero.
func TestDispersionForgets(t *testing.T) {
	var d Dispersion
	for range 100 {
		d.Acked(1, 1448, time.Millisecond)
	}
	if d.Rate() < 1e12 {
		t.Errorf("%d bytes per second of ACKs that came at once", d.Rate())
	}
	at := mono.Time(1)
	for range 10 {
		at = trainOf(&d, at.Add(time.Second), 100, 0)
	}
	if got := d.Rate(); got < 10_000_000 || got > 10_500_000 {
		t.Errorf("%d bytes per second, want about 10,000,000", got)
	}
}
