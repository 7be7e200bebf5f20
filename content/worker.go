package content

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// worker resolves names until the catalogue is closed.
func (c *Catalogue) worker() {
	defer c.done.Done()
	for e := range c.jobs {
		if e.name.list {
			list, err := c.readList(e.name.path)
			c.finish(e, nil, list, err)
			continue
		}
		c.resolve(e)
	}
}

// resolve answers an entry now, or puts it off: until the file is settled, or until a descriptor is free.
func (c *Catalogue) resolve(e *entry) {
	path, fi, err := c.locate(e.name.path)
	if err != nil {
		c.finish(e, nil, nil, classify(err))
		return
	}
	s := stampOf(fi)
	if old := e.obj; old != nil && old.stamp == s && old.Name == path {
		c.finish(e, old, nil, nil)
		return
	}
	if wait := c.unsettled(e, s); wait > 0 {
		if c.clock.now().Sub(e.startAt) > maxUnsettled {
			c.finish(e, nil, nil, fmt.Errorf("%w: %s is being written", ErrUnavailable, path))
			return
		}
		c.clock.after(wait, func() { c.resubmit(e) })
		return
	}
	if !c.takeFD(e) {
		return
	}
	obj, err := c.openObject(path, s)
	switch {
	case err == nil:
		c.finish(e, obj, nil, nil)
	case errors.Is(err, ErrChanged):
		// Replaced between stat and open: look again, and do not spin.
		c.clock.after(time.Millisecond, func() { c.resubmit(e) })
	default:
		c.finish(e, nil, nil, classify(err))
	}
}

// resubmit gives an entry that is still busy to the workers again.
func (c *Catalogue) resubmit(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.jobs <- e
	}
}

// locate finds the regular file that a path means, and says under which path: a directory means its index.
func (c *Catalogue) locate(path string) (string, os.FileInfo, error) {
	rel, slash := relative(path)
	fi, err := c.root.Stat(rel)
	if err != nil {
		return "", nil, err
	}
	if fi.IsDir() {
		if !slash {
			return "", nil, ErrMissingSlash
		}
		path += indexName
		rel, _ = relative(path)
		if fi, err = c.root.Stat(rel); errors.Is(err, fs.ErrNotExist) || err == nil && fi.IsDir() {
			return "", nil, ErrIsDir
		}
		if err != nil {
			return "", nil, err
		}
	} else if slash {
		return "", nil, ErrNotFound
	}
	if !fi.Mode().IsRegular() {
		return "", nil, ErrForbidden
	}
	return path, fi, nil
}

// unsettled returns how long to wait until the file's stamp tells its content from any later one: zero if it
// does. That is so when the stamp is older than its own granularity, or, should our clock and the file system's
// disagree, when we have seen it unchanged for as long.
func (c *Catalogue) unsettled(e *entry, s stamp) time.Duration {
	g := s.grain()
	age := s.age(c.clock.wall())
	if age >= g {
		return 0
	}
	now := c.clock.now()
	if !e.startAt.IsSet() {
		e.startAt = now
	}
	if !e.seenAt.IsSet() || e.seen != s {
		e.seen, e.seenAt = s, now
	}
	known := now.Sub(e.seenAt)
	if known >= g {
		return 0
	}
	return min(g-known, max(g-age, time.Millisecond))
}

// openObject opens a file that was found to be regular and settled with stamp s.
func (c *Catalogue) openObject(path string, s stamp) (*Object, error) {
	rel, _ := relative(path)
	// O_NONBLOCK: should a FIFO have taken the file's place since, opening it must not wait for a writer.
	f, err := c.root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		c.releaseFD()
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && (!fi.Mode().IsRegular() || stampOf(fi) != s) {
		err = ErrChanged
	}
	if err != nil {
		f.Close()
		c.releaseFD()
		return nil, err
	}
	o := &Object{
		Name: path, ModTime: time.Unix(0, s.mtime).UTC(), ETag: s.etag(), MediaType: MediaType(path),
		stamp: s, file: f, fd: f.Fd(), owner: c,
	}
	o.refs.Store(1)
	return o, nil
}

// takeFD counts one more open file. At the bound it closes the least recently used object that nobody is being
// served; if there is none it reports false, and the entry is resubmitted when there is.
func (c *Catalogue) takeFD(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tryFD() {
		return true
	}
	// From here on Release looks for us; one more try for what was released before.
	c.wantFD.Store(true)
	if c.tryFD() {
		c.wantFD.Store(len(c.noFD) > 0)
		return true
	}
	c.noFD = append(c.noFD, e)
	if !e.fdAt.IsSet() {
		e.fdAt = c.clock.now()
	}
	c.boundWait(e)
	return false
}

// maxWaitFD is how long a lookup waits for a descriptor: whoever has them may keep them for as long as a film.
const maxWaitFD = 5 * time.Second

// boundWait makes sure that expireFD comes when e has waited for too long. Caller holds mu.
func (c *Catalogue) boundWait(e *entry) {
	if !e.fdTimer {
		e.fdTimer = true
		c.clock.after(max(0, maxWaitFD-c.clock.now().Sub(e.fdAt)), func() { c.expireFD(e) })
	}
}

// expireFD gives up waiting for a descriptor. An entry that is just being tried again has its last chance: if
// it fails, takeFD sends us once more.
func (c *Catalogue) expireFD(e *entry) {
	c.mu.Lock()
	e.fdTimer = false
	i := slices.Index(c.noFD, e)
	expired := i >= 0 && c.clock.now().Sub(e.fdAt) >= maxWaitFD
	switch {
	case expired:
		c.noFD = slices.Delete(c.noFD, i, i+1)
		c.wantFD.Store(len(c.noFD) > 0)
	case i >= 0: // another wait than the one that the timer was for
		c.boundWait(e)
	}
	c.mu.Unlock()
	if expired {
		c.finish(e, nil, nil, fmt.Errorf("%w: all %d files that may be open are being served", ErrUnavailable, c.opts.MaxOpen))
	}
}

// tryFD is takeFD without the waiting. Caller holds mu.
func (c *Catalogue) tryFD() bool {
	for v := c.lru.prev; c.open.Load() >= int64(c.opts.MaxOpen) && v != &c.lru; {
		prev := v.prev
		if !v.busy && v.obj != nil && v.obj.refs.Load() == 1 { // one: the entry's own, and new ones need mu
			c.forget(v)
		}
		v = prev
	}
	if c.open.Load() >= int64(c.opts.MaxOpen) {
		return false
	}
	c.open.Add(1)
	return true
}

// releaseFD takes back a count whose file was not opened.
func (c *Catalogue) releaseFD() {
	c.open.Add(-1)
	if c.wantFD.Load() {
		c.retryFD()
	}
}

// retryFD lets those who wait for a descriptor try again. It runs on a goroutine of its own, because a Release
// may happen under mu.
func (c *Catalogue) retryFD() {
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		waiting := c.noFD
		c.noFD = nil
		c.wantFD.Store(false)
		if c.closed {
			return
		}
		for _, e := range waiting {
			c.jobs <- e
		}
	}()
}

// classify turns an error of the file system into what a client may know.
func classify(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrNotFound), errors.Is(err, ErrIsDir), errors.Is(err, ErrMissingSlash):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return ErrForbidden
	case !errors.As(err, &errno):
		return ErrForbidden // os.Root: the path leaves the root
	}
	switch errno {
	case syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EINVAL:
		return ErrNotFound
	case syscall.ENXIO: // a socket, or a device without driver
		return ErrForbidden
	}
	// What the disk says is for the log, not for the client: the origin shows only the class.
	return fmt.Errorf("%w: %s", ErrUnavailable, strings.TrimSpace(err.Error()))
}
