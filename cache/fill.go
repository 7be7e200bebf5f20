package cache

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
)

// A job is work for a reader: a page to fill, or a shard whose line to serve.
type job struct {
	page  *page
	file  *File // whose source to read; held by the job
	hash  uint64
	shard *shard
}

// reader takes jobs until the cache is closed. Its list of waiters circulates: a page's list is swapped for it, so
// that neither is allocated again.
func (c *Cache) reader() {
	defer c.done.Done()
	var woken []waiting
	for j := range c.work {
		if j.page != nil {
			woken = c.fill(j, woken[:0])
		} else {
			woken = j.shard.serveKick(woken[:0])
		}
		notify(woken)
	}
}

// serveKick answers a kick. It takes mu itself.
func (s *shard) serveKick(woken []waiting) []waiting {
	s.kicked.Store(false) // before we look: a later kick is not lost
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serve(woken)
}

// fill reads a page and publishes it, or gives its slot back. It returns whom to call.
func (c *Cache) fill(j job, woken []waiting) []waiting {
	p, f := j.page, j.file
	err := ErrClosed
	if !c.closed.Load() {
		err = c.read(p, f)
	}
	if errors.Is(err, ErrChanged) {
		c.kill(f.obj)
	}
	s := p.shard
	s.mu.Lock()
	if err == nil && f.obj.dead.Load() {
		err = ErrChanged
	}
	s.fills--
	woken, p.waiters = p.waiters, woken
	if err != nil {
		s.stats.Failed++
		s.discard(p)
		for _, w := range woken {
			w.file.fail(err)
		}
	} else {
		s.publish(p, j.hash, woken)
	}
	woken = s.serve(woken)
	s.mu.Unlock()
	f.letGo()
	return woken
}

// read fills the page's memory, which nobody else sees yet.
func (c *Cache) read(p *page, f *File) error {
	if err := f.src.Changed(); err != nil {
		return changed(err)
	}
	n, err := f.src.ReadAt(p.data[:p.length], p.index<<c.pageShift)
	if n < p.length {
		if err == nil || err == io.EOF {
			return fmt.Errorf("%w: it got shorter", ErrChanged)
		}
		return err
	}
	// Only now do we know that all bytes are of this generation.
	if err := f.src.Changed(); err != nil {
		return changed(err)
	}
	if c.verify {
		p.sum = c.hash(p.data[:p.length])
	}
	return nil
}

func changed(err error) error {
	if errors.Is(err, ErrChanged) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrChanged, err)
}

// publish makes a filled page visible. From here on its bytes are immutable. Caller holds mu.
func (s *shard) publish(p *page, hash uint64, woken []waiting) {
	p.state, p.epoch, p.fresh = ready, s.epoch, true
	for _, w := range woken {
		if !w.file.closed.Load() {
			p.expected++
		}
	}
	s.policy.Insert(p.slot, hash)
	s.stats.Fills++
	s.stats.FillBytes += int64(p.length)
}

func (c *Cache) hash(b []byte) uint64 { return maphash.Bytes(c.seed, b) }
