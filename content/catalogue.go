package content

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/tcpstack/mono"
)

// What a lookup can say instead of an object.
var (
	// ErrBusy means that a worker is looking and the callback will be called when it is worth asking again.
	ErrBusy = errors.New("content: being looked up")
	// ErrNotFound: nothing servable has this name.
	ErrNotFound = errors.New("content: not found")
	// ErrForbidden: the path leaves the root, is not a regular file, or may not be read.
	ErrForbidden = errors.New("content: forbidden")
	// ErrIsDir: a directory without index.html, named with its slash. List gives its entries.
	ErrIsDir = errors.New("content: is a directory")
	// ErrMissingSlash: a directory; the client should be sent to the same path with a slash appended.
	ErrMissingSlash = errors.New("content: a directory is named without its slash")
	// ErrNotDir: List of something else.
	ErrNotDir = errors.New("content: not a directory")
	// ErrUnavailable: the disk failed, or the file is being written all the time. Trying later may help.
	ErrUnavailable = errors.New("content: not available now")
	// ErrChanged: the file is no longer of the generation it was opened as.
	ErrChanged = errors.New("content: the file changed")
	// ErrClosed: the catalogue is closed.
	ErrClosed = errors.New("content: closed")
)

const (
	indexName = "index.html"

	// defaultRevalidate trades freshness for stat(2)s: an object costs at most four a second however often it is
	// asked for, and a live playlist, rewritten every second or more, is at most a quarter of that late.
	defaultRevalidate = 250 * time.Millisecond
	// creditFor is how long an answer stays good for those who waited for it: their wake-up may take longer
	// than Revalidate, and they must not wait for ever.
	creditFor      = time.Second
	defaultMaxOpen = 1024
	namesPerOpen   = 8
	defaultWorkers = 4
	defaultListing = 10000
)

// Options configures a catalogue. Zero fields mean defaults.
type Options struct {
	Revalidate time.Duration // how long an answer is good without looking at the disk; default 250 ms, negative: not at all
	MaxOpen    int           // objects open at once, those being served included; default 1024
	MaxNames   int           // paths remembered, missing ones included; default 8 x MaxOpen
	MaxListing int           // entries in a listing; default 10000
	Workers    int           // goroutines that wait for the disk; default 4
	Hidden     bool          // serve names that begin with a dot

	clock *clock // nil: the system's
}

func (o *Options) fill() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if o.Revalidate == 0 {
		o.Revalidate = defaultRevalidate
	}
	def(&o.MaxOpen, defaultMaxOpen)
	def(&o.MaxNames, namesPerOpen*o.MaxOpen)
	def(&o.MaxListing, defaultListing)
	def(&o.Workers, defaultWorkers)
	if o.clock == nil {
		o.clock = &systemClock
	}
}

// A Catalogue serves lookups below one folder. It is safe for concurrent use.
type Catalogue struct {
	root  *os.Root
	opts  Options
	clock *clock

	mu      sync.Mutex
	entries map[name]*entry
	lru     entry    // ring of all entries; lru.next is the most recently used
	parked  []func() // no room for another entry: call these when there may be
	noFD    []*entry // wait for an object to be closed
	closed  bool

	jobs   chan *entry // room for every entry there can be: sending never blocks
	done   sync.WaitGroup
	open   atomic.Int64 // files of objects that are open
	wantFD atomic.Bool  // noFD is not empty, or about to be
}

// A name is what is looked up: a path as a file, or as a listing.
type name struct {
	path string
	list bool
}

// An entry is what is known about a name. All fields under the catalogue's mutex, but for those of the worker
// that has it.
type entry struct {
	name       name
	prev, next *entry

	busy    bool     // with a worker, or on the way to or from one
	waiters []func() // to be called when it is no longer busy
	checked mono.Time
	credit  int // waiters called that have not come yet

	obj  *Object // one hold; nil if err is set
	list *Listing
	err  error

	// The worker's, while busy.
	seen    stamp     // what it saw when the file was too fresh
	seenAt  mono.Time // since when it saw that
	startAt mono.Time // since when the file has been too fresh; zero: it is not

	fdAt    mono.Time // since when it has waited for a descriptor; zero: it has not
	fdTimer bool      // expireFD is coming; under mu
}

// Open makes a catalogue of dir. Close ends it.
func Open(dir string, opts Options) (*Catalogue, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("content: cannot serve %s: %w", dir, err)
	}
	opts.fill()
	c := &Catalogue{
		root: root, opts: opts, clock: opts.clock,
		entries: make(map[name]*entry),
		jobs:    make(chan *entry, opts.MaxNames),
	}
	c.lru.prev, c.lru.next = &c.lru, &c.lru
	for range opts.Workers {
		c.done.Add(1)
		go c.worker()
	}
	return c, nil
}

// Lookup returns the object of a URL path, percent-decoded once, with a hold for the caller, or one of the errors
// above. With ErrBusy, w is called once, from another goroutine, when it is worth asking again; it must not block.
func (c *Catalogue) Lookup(path string, w func()) (*Object, error) {
	if err := checkPath(path, c.opts.Hidden); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.known(name{path, false}, w)
	if err == nil {
		err = e.err
	}
	if err != nil {
		return nil, err
	}
	e.obj.Acquire()
	return e.obj, nil
}

// List returns the entries of the directory that path names, with its slash. It is as asynchronous as Lookup. The
// listing is shared: read only.
func (c *Catalogue) List(path string, w func()) (*Listing, error) {
	if err := checkPath(path, c.opts.Hidden); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.known(name{path, true}, w)
	if err == nil {
		err = e.err
	}
	if err != nil {
		return nil, err
	}
	return e.list, nil
}

// known returns the entry if what it says is recent enough, else it has a worker look. Caller holds mu.
func (c *Catalogue) known(n name, w func()) (*entry, error) {
	if c.closed {
		return nil, ErrClosed
	}
	e := c.entries[n]
	if e == nil {
		if len(c.entries) >= c.opts.MaxNames && !c.evictName() {
			c.parked = append(c.parked, w)
			return nil, ErrBusy
		}
		// The path may be part of the caller's receive buffer.
		e = &entry{name: name{strings.Clone(n.path), n.list}}
		c.entries[e.name] = e
	} else {
		e.unlink()
	}
	e.linkAfter(&c.lru)
	if !e.busy && e.good(c.clock.now(), c.opts.Revalidate) {
		return e, nil
	}
	e.waiters = append(e.waiters, w)
	if !e.busy {
		e.busy = true
		c.jobs <- e
	}
	return nil, ErrBusy
}

// good reports whether the answer may be used, and uses up a credit.
func (e *entry) good(now mono.Time, revalidate time.Duration) bool {
	if !e.checked.IsSet() {
		return false
	}
	age := now.Sub(e.checked)
	if e.credit > 0 && age <= creditFor {
		e.credit--
		return true
	}
	return age < revalidate
}

func (e *entry) linkAfter(at *entry) {
	e.prev, e.next = at, at.next
	at.next.prev, at.next = e, e
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

// evictName forgets the least recently used name that no worker has. Caller holds mu.
func (c *Catalogue) evictName() bool {
	for e := c.lru.prev; e != &c.lru; e = e.prev {
		if !e.busy {
			c.forget(e)
			return true
		}
	}
	return false
}

// forget drops an entry and its hold on the object. Caller holds mu.
func (c *Catalogue) forget(e *entry) {
	e.unlink()
	delete(c.entries, e.name)
	if e.obj != nil {
		e.obj.Release()
		e.obj = nil
	}
}

// finish publishes a worker's answer and calls those who wait for it.
func (c *Catalogue) finish(e *entry, obj *Object, list *Listing, err error) {
	c.mu.Lock()
	old := e.obj
	e.obj, e.list, e.err = obj, list, err
	e.busy, e.checked, e.credit = false, c.clock.now(), len(e.waiters)
	e.startAt, e.seenAt, e.fdAt = 0, 0, 0
	calls := append(e.waiters, c.parked...)
	e.waiters, c.parked = nil, nil
	closed := c.closed
	c.mu.Unlock()
	if old != nil && old != obj {
		old.Release()
	}
	if closed {
		c.drop(e)
	}
	for _, w := range calls {
		w()
	}
}

// drop forgets an entry of a closed catalogue.
func (c *Catalogue) drop(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.name] == e {
		c.forget(e)
	}
}

// Close stops the workers and answers all who wait. Objects that are held stay open until they are released.
func (c *Catalogue) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.jobs)
	c.noFD = nil
	c.mu.Unlock()
	c.done.Wait()

	c.mu.Lock()
	calls := c.parked
	c.parked = nil
	for c.lru.next != &c.lru {
		e := c.lru.next
		calls = append(calls, e.waiters...)
		e.waiters = nil
		c.forget(e)
	}
	c.mu.Unlock()
	for _, w := range calls {
		w()
	}
	return c.root.Close()
}
