// Package relay feeds a stack inside the process from kernel sockets, for those who may not open a TUN.
//
//  1. A kernel listener accepts a client.
//  2. Dial opens a connection through the stack at the other end of an in-process link, from the client's
//     real address, so that the server's logs and limits see who is there.
//  3. Two goroutines copy, one per direction. A FIN is passed on as a FIN, a reset as a reset; a reader that
//     is slow makes the other side slow.
//  4. [Relay.StopAccepting] and [Relay.Drain] end in good order: a byte that the stack believes delivered,
//     because the relay acknowledged it, must still reach the client's kernel.
//
// The copying is the price of needing no privileges. The kernel has shaken hands with a client before the
// stack knows of it; a connection that the stack refuses is reset.
package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Route leads from a kernel listener to the server in the stack.
type Route struct {
	Listener net.Listener     // of TCP; owned by the relay
	To       []netip.AddrPort // the server's addresses, at most one per family; a client takes that of its own
}

// Config describes a relay. Routes and Dial are needed.
type Config struct {
	Routes []Route

	// Dial connects through the stack; local is the client's address and port. If that port is taken
	// inside (errors.Is syscall.EADDRINUSE, such as by a connection in TIME-WAIT), it is called again
	// with port 0: any. The connection should have CloseWrite, and Abort or SetLinger to reset.
	Dial func(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error)

	MaxConns    int           // 0: 16384. At the bound clients wait in the kernel's backlog.
	DialTimeout time.Duration // 0: 10 s
	// Linger is how long a client may keep its half of a connection open without sending, after the
	// server has closed the other. 0: 60 s, as Linux for orphans (tcp_fin_timeout).
	Linger time.Duration
}

// A Relay carries connections until it is closed.
type Relay struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	slots  chan struct{} // one entry per connection
	stop   chan struct{} // closed by StopAccepting
	once   sync.Once

	accepting sync.WaitGroup // goroutines that accept
	running   sync.WaitGroup // connections
	outward   sync.WaitGroup // connections that may have bytes for the client still

	mu    sync.Mutex
	pipes map[*pipe]struct{}
	ended bool // Close was called: no new pipes

	accepted, refused, up, down atomic.Uint64
}

// Listen starts to accept on every route. Only a mistake in cfg is an error.
func Listen(cfg Config) (*Relay, error) {
	if cfg.Dial == nil || len(cfg.Routes) == 0 {
		return nil, errors.New("relay: needs Dial and at least one route")
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16384
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	if cfg.Linger == 0 {
		cfg.Linger = time.Minute
	}
	r := &Relay{
		cfg: cfg, slots: make(chan struct{}, cfg.MaxConns), stop: make(chan struct{}), pipes: map[*pipe]struct{}{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for i := range cfg.Routes {
		r.accepting.Go(func() { r.accept(&r.cfg.Routes[i]) })
	}
	return r, nil
}

// Stats are counts since the start, but for Active.
type Stats struct {
	Accepted uint64 // clients taken from the kernel
	Refused  uint64 // of these: the stack could not be reached, so that the client was reset
	Active   int    // connections now
	Up, Down uint64 // bytes from and to clients
}

// Stats may be called from any goroutine.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	active := len(r.pipes)
	r.mu.Unlock()
	return Stats{
		Accepted: r.accepted.Load(), Refused: r.refused.Load(), Active: active,
		Up: r.up.Load(), Down: r.down.Load(),
	}
}

// StopAccepting closes the listeners; running connections go on. It returns when no new one can come.
func (r *Relay) StopAccepting() {
	r.once.Do(func() {
		close(r.stop)
		for _, t := range r.cfg.Routes {
			t.Listener.Close()
		}
	})
	r.accepting.Wait()
}

// Drain stops accepting and waits until the server has ended every connection and the clients' kernel has
// its last bytes, or until ctx ends, whose error it returns. Close comes next.
func (r *Relay) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		r.StopAccepting()
		r.outward.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends everything: connections with bytes on their way to the client are reset, for a FIN would pass
// a part off as the whole. It returns when all goroutines have ended.
func (r *Relay) Close() error {
	r.cancel()
	r.mu.Lock()
	r.ended = true
	for p := range r.pipes {
		p.end()
	}
	r.mu.Unlock()
	r.StopAccepting()
	r.running.Wait()
	return nil
}

// accept takes clients from one listener, as long as there are slots.
func (r *Relay) accept(t *Route) {
	const longest = time.Second
	pause := 5 * time.Millisecond
	for {
		select {
		case r.slots <- struct{}{}:
		case <-r.stop:
			return
		}
		c, err := t.Listener.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			r.accepted.Add(1)
			r.outward.Add(1)
			r.running.Go(func() { r.carry(t, c) })
			continue
		}
		<-r.slots
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Out of descriptors, mostly: wait for connections to end.
		select {
		case <-time.After(pause):
		case <-r.stop:
			return
		}
		pause = min(2*pause, longest)
	}
}

// carry serves one client from its dial to its end.
func (r *Relay) carry(t *Route, outer net.Conn) {
	defer func() { <-r.slots }()
	p := &pipe{relay: r, outer: outer}
	inner, err := r.dial(t, outer)
	if err == nil {
		p.inner = inner
		err = r.add(p)
	}
	if err != nil {
		r.refused.Add(1)
		reset(outer)
		if inner != nil {
			reset(inner)
		}
		r.outward.Done()
		return
	}
	p.run()
	r.mu.Lock()
	delete(r.pipes, p)
	r.mu.Unlock()
}

// add makes Close find p.
func (r *Relay) add(p *pipe) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return net.ErrClosed
	}
	r.pipes[p] = struct{}{}
	return nil
}

// errNoAddress: the server has no address of the client's family.
var errNoAddress = errors.New("relay: no server address of the client's family")

// dial reaches the server from the client's address.
func (r *Relay) dial(t *Route, outer net.Conn) (net.Conn, error) {
	client, ok := addrPort(outer.RemoteAddr())
	if !ok {
		return nil, errNoAddress
	}
	for _, to := range t.To {
		if to.Addr().Is4() != client.Addr().Is4() {
			continue
		}
		ctx, cancel := context.WithTimeout(r.ctx, r.cfg.DialTimeout)
		defer cancel()
		c, err := r.cfg.Dial(ctx, client, to)
		if errors.Is(err, syscall.EADDRINUSE) {
			// The kernel tells connections apart by its own address too, and forgets them sooner
			// when the client closes first. The address is what logs and limits look at.
			c, err = r.cfg.Dial(ctx, netip.AddrPortFrom(client.Addr(), 0), to)
		}
		return c, err
	}
	return nil, errNoAddress
}

// addrPort of a TCP socket; an IPv4 client of a dual-stack listener is an IPv4 client.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), ap.IsValid()
}
