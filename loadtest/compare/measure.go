package compare

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"syscall"
	"time"

	"ocaserve/ktls"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
)

// A snapshot is what the counters say at one moment.
type snapshot struct {
	at      mono.Time
	host    time.Duration // processor time of the server's thread
	nic     time.Duration // of the adapter's
	book    ledger.Book
	records ktls.Stats
	load    load
	adapter map[string]uint64
	tally   tally
}

// threadCPU is the processor time of the calling thread (getrusage(2), RUSAGE_THREAD).
func threadCPU() time.Duration {
	const thread = 1
	var u syscall.Rusage
	syscall.Getrusage(thread, &u) //nolint:errcheck // fails for wrong arguments only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// snap asks both shards, each on its own thread.
func (w *world) snap(ctx context.Context) (s snapshot, err error) {
	s, err = on(ctx, w.server, func(sh *tcpstack.Shard) snapshot {
		return snapshot{
			at: mono.Now(), host: threadCPU(), nic: w.nic.CPU(), book: *sh.Book(), records: w.origin.RecordStats(sh),
		}
	})
	if err != nil {
		return s, err
	}
	s.load = loadNow()
	s.adapter = make(map[string]uint64)
	for _, st := range w.nic.Stats() {
		s.adapter[st.Name] = st.Value
	}
	err = w.withFleet(ctx, func(f *fleet) {
		s.tally = f.tally
		s.tally.Waits = slices.Clone(f.Waits)
	})
	return s, err
}

// measure runs one cell once.
func (s *stage) measure(ctx context.Context, k Key) (r Round, err error) {
	runtime.GC() // what earlier rounds left behind is not this one's
	before := heapLive()
	w, err := s.newWorld(ctx, k)
	if err != nil {
		return r, err
	}
	defer w.close()
	enough := make(chan struct{})
	from, err := w.start(ctx, k, enough)
	if err != nil {
		return r, err
	}
	kept, err := w.watch(ctx, &from, enough)
	if err != nil {
		return r, err
	}
	to, err := w.snap(ctx)
	if err != nil {
		return r, err
	}
	r = s.round(k, &from, &to)
	r.keep(&kept)
	if r.Heap, err = w.heapAbove(ctx, before); err != nil {
		return r, err
	}
	return r, r.check(to.tally.Verified)
}

// heapAbove is by how much the live heap exceeds what it was before. The clients stand still meanwhile, and then the
// others: the collector's sweep, which yields after each span, would take seconds between busy threads.
func (w *world) heapAbove(ctx context.Context, before uint64) (above float64, err error) {
	err = w.withFleet(ctx, func(*fleet) {
		if live := heapLive(); live > before {
			above = float64(live - before)
		}
	})
	return above, err
}

// start lets all connections begin, and returns what the counters said when the measurement did: before the first
// response if responses are counted, else once all is warm.
func (w *world) start(ctx context.Context, k Key, enough chan<- struct{}) (from snapshot, err error) {
	if w.opts.Responses > 0 {
		if from, err = w.snap(ctx); err != nil {
			return from, err
		}
		return from, w.begin(ctx, w.opts.Responses, func() { close(enough) })
	}
	if err := w.begin(ctx, 0, nil); err != nil {
		return from, err
	}
	if err := w.warmUp(ctx, k.Conns); err != nil {
		return from, err
	}
	return w.snap(ctx)
}

// begin lets all connections ask for something. enough is called after so many responses, unless that is 0.
func (w *world) begin(ctx context.Context, responses int, enough func()) error {
	err := w.withFleet(ctx, func(f *fleet) {
		f.limit, f.done = responses, enough
		if w.kernel == nil {
			f.start()
		}
	})
	if w.kernel != nil && err == nil {
		w.kernel.start(w)
	}
	return err
}

const (
	warmUpLeast = 100 * time.Millisecond // and these
	warmUpTrips = 8                      // round trips
	warmUpMost  = 3 * time.Second
	warmBytes   = 16 << 20  // that all clients have received when it may end
	warmPerConn = 128 << 10 // and each of them: no connection is at its first, small records then
	warmStep    = 25 * time.Millisecond
)

// warmUp lets connections run before the clock starts: windows grow, caches fill.
func (w *world) warmUp(ctx context.Context, conns int) error {
	begun := mono.Now()
	step := warmUpLeast + warmUpTrips*w.opts.RTT
	for {
		if err := w.sleep(ctx, step, nil); err != nil {
			return err
		}
		warm := false
		err := w.withFleet(ctx, func(f *fleet) { warm = f.Bytes >= warmBytes && f.warm >= conns })
		if err != nil || warm || mono.Now().Sub(begun) > warmUpMost {
			return err
		}
		step = warmStep
	}
}

// sleep waits until the time is over, or enough closes. A failure of the world ends it.
func (w *world) sleep(ctx context.Context, d time.Duration, enough <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-enough:
		return nil
	case err := <-w.failure:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookEvery is how often memory is looked at during a measurement. A look walks over all connections, on the server's thread:
// that is a part of what is measured.
const lookEvery = 100 * time.Millisecond

const (
	leastBytes = 1 << 20 // of a measurement, which goes on for them
	patience   = 5 * time.Second
)

// watch lets the measurement run, and looks now and then at what the server keeps.
func (w *world) watch(ctx context.Context, from *snapshot, enough <-chan struct{}) (k kept, err error) {
	end := from.at.Add(w.opts.Duration)
	for {
		step := lookEvery
		if w.opts.Responses == 0 {
			step = min(step, max(end.Sub(mono.Now()), time.Millisecond))
		}
		if err := w.sleep(ctx, step, enough); err != nil {
			return k, err
		}
		held, err := on(ctx, w.server, look)
		if err != nil {
			return k, err
		}
		k.add(held)
		select {
		case <-enough:
			return k, nil
		default:
		}
		if over, err := w.over(ctx, from, end); over || err != nil {
			return k, err
		}
	}
}

// over reports whether the time of a measurement is, and something has arrived in it.
func (w *world) over(ctx context.Context, from *snapshot, end mono.Time) (bool, error) {
	now := mono.Now()
	if w.opts.Responses > 0 || now < end {
		return false, nil
	}
	got, err := w.received(ctx)
	return got >= from.tally.Bytes+leastBytes || now > end.Add(patience), err
}

// kept sums looks at the send queues.
type kept struct {
	queued  int64 // bytes appended and not acknowledged
	charged int64 // what they are charged in the stack's account of memory
}

func (k *kept) add(l kept) {
	k.queued += l.queued
	k.charged += l.charged
}

// look sums what the server's send queues hold.
func look(s *tcpstack.Shard) (k kept) {
	const connCharge = 2560 // of the account, see tcpstack
	v := s.Snapshot()
	k.charged = v.MemoryUsed - int64(v.BlockBytes) - int64(v.Connections)*connCharge
	s.Walk(tcpstack.WalkAll, v.Connections, func(c *tcpstack.Conn) { k.queued += c.Queued() })
	return k
}

// heapLive is the size of what the heap held after its last collection, made now: all of the process.
func heapLive() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// check refuses figures that would mean nothing. verified bytes were compared since the clients began.
func (r *Round) check(verified uint64) error {
	switch {
	case r.Body == 0:
		return errors.New("nothing arrived during the measurement: make --duration longer or --loss smaller")
	case verified == 0:
		return errors.New("no byte could be compared until the end of the measurement: make --duration longer")
	}
	return nil
}
