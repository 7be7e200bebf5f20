package compare

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/tun"
	"ocaserve/tcpstack/mono"
)

// This file is the other kind of client: the kernel's TCP, in a network namespace of its own, with a TUN between it
// and the server. A connection has a goroutine there; what is done with its bytes is the same.

// tunAddr is the server's address on the TUN.
var tunAddr = tun.DefaultAddr

// A namespace is a thread in a network namespace that nobody else has. What is made on it, interfaces and sockets,
// belongs there; all but making can be done on any thread.
type namespace struct {
	work chan func()
	nif  *tun.Interface
}

// newNamespace makes a namespace with a TUN in it. It is gone when close is called and its TUN is closed.
func newNamespace() (*namespace, error) {
	n := &namespace{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and the namespace with it
		made <- n.enter()
		for f := range n.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		close(n.work)
		return nil, err
	}
	return n, nil
}

func (n *namespace) enter() (err error) {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return fmt.Errorf("--net tun needs a network namespace of its own: %w; run as root, or use --net memory", err)
	}
	if n.nif, err = tun.Open(tun.Config{Addr: tunAddr}); err != nil {
		return fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "--net relay", "--net memory"))
	}
	return nil
}

// dial opens a connection from within the namespace.
func (n *namespace) dial(ctx context.Context, to netip.AddrPort) (nc net.Conn, err error) {
	done := make(chan struct{})
	n.work <- func() {
		defer close(done)
		var d net.Dialer // with one address it stays on this thread
		nc, err = d.DialContext(ctx, "tcp4", to.String())
	}
	<-done
	return nc, err
}

func (n *namespace) close() error {
	close(n.work)
	return n.nif.Close()
}

// A kernelConn is a client's connection of the kernel.
type kernelConn struct {
	net.Conn
	now mono.Time // when bytes were read last
	out []byte    // what is to be written
}

// kernelClients are all of them. mu guards the fleet, which belongs to a shard where clients are the stack's.
type kernelClients struct {
	ns      *namespace
	mu      sync.Mutex
	conns   []*kernelConn
	running sync.WaitGroup // the loops
}

// enter takes a connection whose handshake is over into the fleet.
func (k *kernelClients) enter(p *player, nc net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.kernel = &kernelConn{Conn: nc, now: mono.Now()}
	k.conns = append(k.conns, p.kernel)
	p.fleet.ready = append(p.fleet.ready, p)
}

// start lets all connections begin.
func (k *kernelClients) start(w *world) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := mono.Now()
	for _, c := range k.conns {
		c.now = now
	}
	w.fleet.start()
	for _, p := range w.fleet.ready {
		k.running.Go(func() {
			w.fail(fmt.Errorf("client %v: %w", p.kernel.LocalAddr(), k.pump(p)))
		})
	}
}

// pump is a connection's loop: write what was asked, read what comes. It ends with an error, be it that the
// connection was closed.
func (k *kernelClients) pump(p *player) error {
	c, buf := p.kernel, make([]byte, 64<<10)
	for {
		k.mu.Lock()
		out := c.out
		c.out = nil
		k.mu.Unlock()
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return err
			}
		}
		n, err := c.Read(buf)
		if err == nil {
			err = k.feed(p, buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

func (k *kernelClients) feed(p *player, b []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.kernel.now = mono.Now()
	for len(b) > 0 {
		n, err := p.received(b, p.kernel.now)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// close ends the connections, and with them their loops.
func (k *kernelClients) close() {
	k.mu.Lock()
	for _, c := range k.conns {
		c.Conn.Close() //nolint:errcheck // nobody is left to act on it
	}
	k.mu.Unlock()
	k.running.Wait()
}

// layTUN makes the namespace; the bad wire stands between adapter and TUN, and only if there is one to be.
func (w *world) layTUN(loss float64) (link.Interface, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, ns.close)
	w.kernel = &kernelClients{ns: ns}
	w.addr = tunAddr.Addr()
	if w.opts.badWire() {
		return w.spoil(ns.nif, loss), nil
	}
	return ns.nif, nil
}
