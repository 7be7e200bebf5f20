package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A relay carries connections from kernel sockets into the stack: it accepts, dials the stack from the
// client's own address over a link inside this process, and copies both ways.
//
// The copying costs a goroutine per direction and connection. That is the price of needing no privileges;
// over a TUN there is no relay.
type relay struct {
	dial      func(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error)
	stack     []netip.Addr // where the stack answers, at most one per family
	listeners []net.Listener
	accepting sync.WaitGroup // goroutines that accept
	running   sync.WaitGroup // connections
	outward   sync.WaitGroup // connections with bytes still to be carried to the client
}

// listen opens the kernel's side. host is a name or an address of this machine, "" for all.
func (r *relay) listen(ctx context.Context, host, flag string, p port) error {
	if p == portOff {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, r.network(), net.JoinHostPort(host, strconv.Itoa(int(p))))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %s is taken by another program; choose another with --%s PORT, or --%s off", p, flag, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %s is reserved for root; choose one above 1023 with --%s PORT", p, flag)
	case err != nil:
		return fmt.Errorf("--%s %s: %w; --listen takes an address of this machine", flag, p, err)
	}
	r.listeners = append(r.listeners, l)
	return nil
}

// network leaves out the family that the stack has no address of.
func (r *relay) network() string {
	if len(r.stack) == 2 {
		return "tcp"
	}
	if r.stack[0].Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// run serves until ctx ends: then the listeners close at once, and running connections when their time comes.
func (r *relay) run(ctx context.Context) {
	for _, l := range r.listeners {
		r.accepting.Go(func() { r.accept(ctx, l) })
	}
}

// flush waits until what the stack has sent is in the kernel's hands: the stack takes the relay's
// acknowledgement for the client's. closeListeners comes first.
func (r *relay) flush(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		r.accepting.Wait() // the listeners are closed; nothing is added after this
		r.outward.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// closeListeners refuses new connections; running ones go on.
func (r *relay) closeListeners() {
	for _, l := range r.listeners {
		l.Close()
	}
}

func (r *relay) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, mostly: wait for connections to end rather than spin.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		r.outward.Add(1)
		r.running.Go(func() { r.carry(ctx, c.(*net.TCPConn)) })
	}
}

// carry joins one kernel connection to one of the stack.
func (r *relay) carry(ctx context.Context, outer *net.TCPConn) {
	inner, err := r.reach(ctx, addrPort(outer.RemoteAddr()), addrPort(outer.LocalAddr()).Port())
	if err != nil {
		_ = outer.SetLinger(0) // refused inside: reset outside
		outer.Close()
		r.outward.Done()
		return
	}
	stop := context.AfterFunc(ctx, func() { inner.Close(); outer.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { forward(inner, outer) })
	both.Go(func() { defer r.outward.Done(); forward(outer, inner) })
	both.Wait()
	inner.Close()
	outer.Close()
}

// reach dials the stack from the client's address. If that port is still in TIME-WAIT inside, another one
// does: the address is what logs and limits look at.
func (r *relay) reach(ctx context.Context, client netip.AddrPort, port uint16) (c net.Conn, err error) {
	remote := netip.AddrPortFrom(r.stack[0], port)
	if client.Addr().Is4() != r.stack[0].Is4() {
		remote = netip.AddrPortFrom(r.stack[len(r.stack)-1], port)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for try := range uint16(8) {
		local := client
		if try > 0 {
			local = netip.AddrPortFrom(client.Addr(), 1024+(client.Port()+try*8111)%64000)
		}
		c, err = r.dial(ctx, local, remote)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return c, err
		}
	}
	return nil, err
}

// forward copies one direction to its end and passes the end on: FIN for FIN, and for an error a close of
// both, since half a conversation is of no use.
func forward(dst, src net.Conn) {
	buf := relayBuffers.Get().(*[]byte)
	defer relayBuffers.Put(buf)
	_, err := io.CopyBuffer(writerOnly{dst}, readerOnly{src}, *buf)
	half, ok := dst.(interface{ CloseWrite() error })
	if err == nil && ok {
		err = half.CloseWrite()
	}
	if err != nil || !ok {
		dst.Close()
		src.Close()
	}
}

var relayBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// writerOnly and readerOnly hide ReadFrom and WriteTo, so that the pooled buffer is used: splice needs two
// kernel sockets, and the fallback would allocate.
type (
	writerOnly struct{ io.Writer }
	readerOnly struct{ io.Reader }
)

// addrPort of a TCP socket, an IPv4 client of a dual-stack listener as IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
