package tcpstack

import (
	"testing"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/netsim"
	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/trace"
)

// limitStory is a server that sends to a client over 20 ms, with the account of its limits.
type limitStory struct {
	*pair
	client, server *app
	born           mono.Time
	was            LimitTimes
}

func newLimitStory(t *testing.T) *limitStory {
	p := newPair(t, Config{Functions: FunctionsBase}) // unpaced
	x := &limitStory{pair: p}
	x.client, x.server = p.connect()
	x.born = x.b.now // connect returns at the instant of the accept
	x.run(time.Second, nil)
	x.check("the handshake")
	return x
}

// info is what a message to the shard would see: its clock goes with its turns.
func (x *limitStory) info() Info {
	if _, err := x.b.Step(x.now); err != nil {
		x.t.Fatal(err)
	}
	return x.server.c.Info()
}

func (x *limitStory) send(n int) { x.server.c.Append(stream.Bytes(make([]byte, n))) }

// check makes sure that the times add up, and forgets them.
func (x *limitStory) check(when string) {
	x.t.Helper()
	info := x.info()
	if born := x.now.Sub(x.born); age(info) != born {
		x.t.Errorf("%s: the limits add up to %v, the connection is %v old", when, age(info), born)
	}
	if busy := age(info) - info.Limits[trace.LimitIdle]; info.BusyTime != busy {
		x.t.Errorf("%s: busy for %v, want %v", when, info.BusyTime, busy)
	}
	x.was = info.Limits
}

func age(i Info) time.Duration { return i.Limits.Total() }

// want compares what was spent under a limit since the last check.
func (x *limitStory) want(l trace.Limit, least, most time.Duration) {
	x.t.Helper()
	if d := x.info().Limits[l] - x.was[l]; d < least || d > most {
		x.t.Errorf("%v for %v, want %v to %v", l, d, least, most)
	}
}

func TestLimits(t *testing.T) {
	const rtt = 20 * time.Millisecond
	t.Run("idle", func(t *testing.T) {
		x := newLimitStory(t)
		x.run(3*time.Second, nil)
		x.want(trace.LimitIdle, 3*time.Second, 3*time.Second)
		x.check("idle")
	})
	t.Run("app", func(t *testing.T) { // one segment: until its delayed ACK there is nothing else to send
		x := newLimitStory(t)
		x.send(100)
		x.run(time.Second, nil)
		x.want(trace.LimitApp, rtt, rtt+delAckLen)
		x.want(trace.LimitCwnd, 0, 0)
		x.check("app")
	})
	t.Run("cwnd", func(t *testing.T) { // the initial window takes 14,480 bytes: the rest waits for a round trip
		x := newLimitStory(t)
		x.send(20_000)
		x.run(time.Second, nil)
		x.want(trace.LimitCwnd, rtt, rtt)
		x.want(trace.LimitRwnd, 0, 0)
		x.check("cwnd")
	})
	t.Run("rwnd", func(t *testing.T) {
		x := newLimitStory(t)
		x.client.pause = true
		x.send(4 << 20)
		x.run(5*time.Second, nil)
		x.want(trace.LimitRwnd, 5*time.Second-10*rtt, 5*time.Second)
		x.check("rwnd")
		x.client.pause = false
		x.client.Readable(x.client.c)
		x.run(5*time.Second, nil)
		x.want(trace.LimitRwnd, 0, 2*time.Second)
		x.want(trace.LimitIdle, 2*time.Second, 5*time.Second)
		x.check("opened")
	})
	t.Run("device", func(t *testing.T) { // a ring that takes nothing for a second
		x := newLimitStory(t)
		ring := &fullRing{Device: x.b.dev, full: true}
		x.b.dev = ring
		x.send(1) // stuck in the batch: nobody gets a turn any more
		x.info()
		x.send(100_000)
		x.run(time.Second, nil)
		x.want(trace.LimitDevice, time.Second, time.Second)
		ring.full = false
		x.b.Step(x.now)
		x.run(time.Second, nil)
		x.want(trace.LimitDevice, time.Second, time.Second)
		x.check("device")
	})
	t.Run("pacing", func(t *testing.T) { // a maximum far below what the path takes
		x := newLimitStory(t)
		x.server.c.SetMaxPacingRate(100_000)
		x.send(200_000)
		x.run(3*time.Second, nil)
		x.want(trace.LimitPacing, 1900*time.Millisecond, 2*time.Second)
		x.want(trace.LimitCwnd, 0, 0)
		x.check("pacing")
	})
	t.Run("time-wait", func(t *testing.T) { // over: the FIN that was in flight holds nothing back any more
		x := newLimitStory(t)
		x.server.c.Close()
		x.client.c.Close()
		x.run(rtt, nil)
		x.info()
		if s := x.server.c.State(); s != StateTimeWait {
			t.Fatal(s)
		}
		x.check("closing")
		x.run(10*time.Second, nil)
		x.want(trace.LimitIdle, 10*time.Second, 10*time.Second)
		x.check("time-wait")
	})
	t.Run("recovery", func(t *testing.T) {
		x := newLimitStory(t)
		drops := 0
		x.db.drop = func(f *link.Frame) bool { drops++; return drops == 2 }
		x.send(1 << 20)
		x.run(2*time.Second, nil)
		x.want(trace.LimitRecovery, rtt/2, 2*time.Second)
		x.check("recovery")
	})
}

// fullRing is a link whose ring can be full.
type fullRing struct {
	link.Device
	full bool
}

func (r *fullRing) Transmit(f []link.Frame) (int, error) {
	if r.full {
		return 0, nil
	}
	return r.Device.Transmit(f)
}

// TestLimitsAddUp looks at a transfer under loss and reordering at many instants: the account is always
// complete.
func TestLimitsAddUp(t *testing.T) {
	w := newWorld(t, 1, netsim.DumbbellConfig{
		RTT: 30 * time.Millisecond, Rate: goldenRate, BDPs: 1,
		Forward: netsim.WireConfig{Loss: netsim.Bernoulli(0.02), Reorder: 0.02, ReorderBy: 8 * time.Millisecond},
	}, Config{})
	d := w.download(0, goldenData, len(goldenData))
	w.run(time.Second, func() bool { return d.conn != nil })
	born := w.net.Now()
	for d.conn.state == StateEstablished {
		w.run(7*time.Millisecond, nil)
		if spent := age(d.conn.Info()); spent != d.conn.shard.now.Sub(born) {
			t.Fatalf("after %v the limits add up to %v", d.conn.shard.now.Sub(born), spent)
		}
	}
}
