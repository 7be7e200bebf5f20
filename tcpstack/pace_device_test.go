package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/link"
)

// rating is a cable that promises to spread frames, as long as it is switched on.
type rating struct {
	*cable
	on     bool
	frames []rated
}

type rated struct {
	length int
	rate   uint64
	flow   uint32
}

func (d *rating) Caps() link.Caps {
	c := d.cable.Caps()
	c.RateLimit = true
	return c
}

func (d *rating) RateLimits() bool { return d.on }

func (d *rating) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		f := &frames[i]
		d.frames = append(d.frames, rated{f.Len(), f.Rate, f.Flow})
	}
	return d.cable.Transmit(frames)
}

// Where the device spreads what it is given, a rate that was asked for leaves in long bursts that carry it, all of a
// connection in one flow; when that is switched off, in bursts of a millisecond again. The rate stays.
func TestPacingByTheDevice(t *testing.T) {
	rate := rateOf(t, "25Mbps")
	p := newPair(t, Config{MaxPacingRate: rate})
	d := &rating{cable: p.db, on: true}
	p.b.dev, p.b.limiter = d, d
	p.b.batch.init(d.Caps(), &p.b.blocks)
	client, server := p.connect()
	server.send = pattern(8_000_000, 1)
	server.Writable(server.c)
	measure := func() (longest int, unrated int) {
		p.run(200*time.Millisecond, nil)
		d.frames = nil
		before := client.got.Len()
		p.run(500*time.Millisecond, nil)
		if got, want := float64(client.got.Len()-before), float64(rate)/2; got < .97*want || got > 1.03*want {
			t.Errorf("%v bytes in half a second, want %v", got, want)
		}
		for _, f := range d.frames {
			longest = max(longest, f.length)
			if f.length > 100 && (f.rate != uint64(rate) || f.flow == 0 || f.flow != d.frames[0].flow) {
				unrated++
			}
		}
		return longest, unrated
	}
	if longest, unrated := measure(); longest < 20_000 || longest > 26_000 || unrated > 0 {
		t.Errorf("frames of up to %d bytes, %d without the rate", longest, unrated)
	}
	d.on = false
	if longest, unrated := measure(); longest > 4_000 || unrated < 100 {
		t.Errorf("switched off: frames of up to %d bytes, %d without a rate", longest, unrated)
	}
}
