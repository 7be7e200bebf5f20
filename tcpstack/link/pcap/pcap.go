// Package pcap writes what passes through a link to a pcapng file that Wireshark and tshark read.
//
//  1. The wrapped device receives or transmits.
//  2. Each frame is cut into wire packets (package gso), so that the file shows what a wire would carry, with
//     right checksums, and not superframes.
//  3. Packets are encoded into a chunk of memory that the queue owns, each with the number of the queue.
//  4. A full chunk, or any chunk before the queue goes to sleep, is handed to a goroutine that writes it.
//  5. When that goroutine falls behind and all chunks are taken, packets are left out of the file and
//     counted (isb_ifdrop); traffic never waits for the disk.
//
// Timestamps are nanoseconds. Time goes up within a queue; between queues blocks may be out of order.
package pcap

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/gso"
	"ocaserve/tcpstack/mono"
)

const (
	maxPacket    = 65535
	chunkSize    = 256 << 10
	chunksPerDev = 16 // what is waiting for the disk is bounded: 4 MiB per queue
	secretChunks = 64
)

// Config says what to keep. The zero value keeps everything.
type Config struct {
	SnapLen int // bytes kept of each packet; 0: all

	// Clock stamps transmitted frames; it must be the clock that stamps received ones. Nil: mono.Now.
	Clock func() mono.Time
	// Start is the wall time at which New is called. The zero value: now.
	Start time.Time
}

// Interface is another interface under observation. It implements link.Interface.
type Interface struct {
	inner   link.Interface
	cfg     Config
	offset  int64 // from mono.Time to nanoseconds since 1970
	taps    []*device
	devices []link.Device

	full    chan *chunk // to the writer; never blocks, since it holds all chunks there are
	free    chan *chunk // for packets
	freeKey chan *chunk // for secrets
	once    sync.Once
	done    chan struct{} // closed when the writer has ended
	err     error         // the writer's first; read after done, or by Err
	errMu   sync.Mutex

	secrets sync.Mutex // held to hand over secrets; after Close no more are taken
	closed  bool
}

// A chunk is a run of whole blocks.
type chunk struct {
	b    []byte
	home chan *chunk // where the writer puts it back
}

// pool returns a channel with n chunks, whose memory comes with their first use.
func pool(n int) chan *chunk {
	home := make(chan *chunk, n)
	for range n {
		home <- &chunk{home: home}
	}
	return home
}

// Create wraps inner and writes to the named file, which only the owner may read: it may hold plaintext and
// keys. Closing the result closes inner and the file.
func Create(inner link.Interface, name string, cfg Config) (*Interface, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("capture file: %w; choose a writable place", err)
	}
	return New(inner, f, cfg), nil
}

// New wraps inner, all of its queues, and writes to w, which it owns from now on.
func New(inner link.Interface, w io.WriteCloser, cfg Config) *Interface {
	if cfg.SnapLen == 0 {
		cfg.SnapLen = maxPacket
	}
	if cfg.Clock == nil {
		cfg.Clock = mono.Now
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Now()
	}
	queues := inner.Queues()
	i := &Interface{
		inner: inner, cfg: cfg,
		offset:  cfg.Start.UnixNano() - int64(cfg.Clock()),
		full:    make(chan *chunk, chunksPerDev*len(queues)+secretChunks),
		free:    pool(chunksPerDev * len(queues)),
		freeKey: pool(secretChunks),
		done:    make(chan struct{}),
	}
	head := appendInterface(appendSection(nil, "ocaserve"), inner.Name(), cfg.SnapLen)
	for q, d := range queues {
		t := &device{inner: d, file: i, queue: q}
		t.emit = t.packet // once: a method value made per frame would be an allocation each
		i.taps = append(i.taps, t)
		i.devices = append(i.devices, t)
	}
	go i.write(w, head)
	return i
}

// write is the writer goroutine. After an error it goes on taking chunks, and writes no more.
func (i *Interface) write(w io.WriteCloser, head []byte) {
	defer close(i.done)
	_, err := w.Write(head)
	i.setErr(err)
	for c := range i.full {
		if err == nil {
			_, err = w.Write(c.b)
			i.setErr(err)
		}
		c.b = c.b[:0]
		c.home <- c
	}
	if err == nil {
		_, err = w.Write(i.statistics())
	}
	if e := w.Close(); err == nil {
		err = e
	}
	i.setErr(err)
}

func (i *Interface) setErr(err error) {
	if err == nil {
		return
	}
	i.errMu.Lock()
	defer i.errMu.Unlock()
	if i.err == nil {
		i.err = fmt.Errorf("capture file: %w", err)
	}
}

// Err returns the first error of writing the file, such as a full disk, or nil. Traffic goes on without
// the capture.
func (i *Interface) Err() error {
	i.errMu.Lock()
	defer i.errMu.Unlock()
	return i.err
}

// statistics returns the block for the end of the file.
func (i *Interface) statistics() []byte {
	s := i.Stats()
	return appendStatistics(nil, int64(i.cfg.Clock())+i.offset, s.Captured+s.Dropped, s.Dropped)
}

// Write puts lines in the format of SSLKEYLOGFILE into the capture, so that Wireshark can decrypt it; it
// may be called from any goroutine, with whole lines. What is written before a packet is captured stands
// before it in the file. After Close lines are ignored.
func (i *Interface) Write(keylog []byte) (int, error) {
	i.secrets.Lock()
	defer i.secrets.Unlock()
	if !i.closed {
		c := <-i.freeKey // may wait for the disk: handshakes, not packets
		c.b = appendSecrets(c.b, keylog)
		i.full <- c
	}
	return len(keylog), nil
}

// Name returns the wrapped interface's name.
func (i *Interface) Name() string { return i.inner.Name() }

// Queues returns the wrapped devices, in the same order.
func (i *Interface) Queues() []link.Device { return i.devices }

// Stats counts wire packets, all queues.
type Stats struct {
	Captured uint64
	Dropped  uint64 // passed, but are missing in the file: the disk was too slow
}

// Stats may be called from any goroutine.
func (i *Interface) Stats() (s Stats) {
	for _, t := range i.taps {
		s.Captured += t.packets.Load()
		s.Dropped += t.dropped.Load()
	}
	return s
}

// Close closes the wrapped interface, completes the file, and returns the first error of either.
func (i *Interface) Close() error {
	err := i.inner.Close()
	i.once.Do(func() {
		for _, t := range i.taps {
			t.close()
		}
		i.secrets.Lock()
		i.closed = true
		i.secrets.Unlock()
		close(i.full)
	})
	<-i.done
	if err == nil {
		err = i.Err()
	}
	return err
}

// A device is one queue under observation.
type device struct {
	inner link.Device
	file  *Interface
	queue int
	cut   gso.Segmenter
	emit  func([]byte)

	mu     sync.Mutex // between the owner and Close
	closed bool
	cur    *chunk // being filled; nil: none
	time   int64  // of the frame under way, nanoseconds since 1970
	dir    uint32

	packets, dropped atomic.Uint64
}

// Caps returns the wrapped device's.
func (d *device) Caps() link.Caps { return d.inner.Caps() }

// Receive receives from the wrapped device and records.
func (d *device) Receive(frames []link.Frame) (int, error) {
	n, err := d.inner.Receive(frames)
	if n > 0 {
		d.record(frames[:n], flagInbound, 0)
	}
	return n, err
}

// Transmit transmits through the wrapped device and records what it took, whose memory is unchanged as
// long as this call lasts. The time is that before the call, so that an answer never precedes its cause.
func (d *device) Transmit(frames []link.Frame) (int, error) {
	now := d.file.cfg.Clock()
	n, err := d.inner.Transmit(frames)
	if n > 0 {
		d.record(frames[:n], flagOutbound, now)
	}
	return n, err
}

// record captures frames; each received one has its own time.
func (d *device) record(frames []link.Frame, dir uint32, now mono.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.dir = dir
	for k := range frames {
		f := &frames[k]
		if dir == flagInbound {
			now = f.Time
		}
		d.time = int64(now) + d.file.offset
		if !d.cut.Segment(f, d.emit) {
			d.oddity(f)
		}
	}
}

// oddity captures a frame that cannot be cut as it is: it will be what somebody is looking for.
func (d *device) oddity(f *link.Frame) {
	raw := link.Frame{Data: f.Data, Pieces: f.Pieces}
	d.cut.Segment(&raw, d.emit)
}

// packet appends one wire packet to the chunk, or counts it if there is no room.
func (d *device) packet(p []byte) {
	need := packetOverhead + min(len(p), d.file.cfg.SnapLen) + 3
	if d.cur != nil && len(d.cur.b)+need > chunkSize {
		d.submit()
	}
	if d.cur == nil {
		select {
		case d.cur = <-d.file.free:
			if d.cur.b == nil {
				d.cur.b = make([]byte, 0, chunkSize)
			}
		default:
			d.dropped.Add(1)
			return
		}
	}
	d.cur.b = appendPacket(d.cur.b, d.queue, d.time, p, d.file.cfg.SnapLen, d.dir)
	d.packets.Add(1)
}

// submit hands the chunk to the writer.
func (d *device) submit() {
	if d.cur != nil {
		d.file.full <- d.cur
		d.cur = nil
	}
}

// Wait hands over what has been captured, so that the file is up to date whenever nothing happens, and
// waits on the wrapped device.
func (d *device) Wait(until mono.Time) error {
	d.mu.Lock()
	if !d.closed {
		d.submit()
	}
	d.mu.Unlock()
	return d.inner.Wait(until)
}

// Wake makes the current or the next Wait return.
func (d *device) Wake() { d.inner.Wake() }

// close hands over the last chunk.
func (d *device) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.submit()
}
