package tcpstack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"ocaserve/tcpstack/stream"
	"ocaserve/tcpstack/wire"
)

// acceptQueue is how many connections wait for Accept before handshakes are left unanswered.
const acceptQueue = 128

// netListener is a Listener as a net.Listener.
type netListener struct {
	l    *Listener
	wait chan *NetConn
	done chan struct{}
	once sync.Once
}

// ListenNet accepts connections to addr as blocking net.Conns. See [Stack.Listen] for the address.
func (st *Stack) ListenNet(addr netip.AddrPort) (net.Listener, error) {
	nl := &netListener{wait: make(chan *NetConn, acceptQueue), done: make(chan struct{})}
	l, err := st.Listen(addr, ListenConfig{
		Ready:  func() bool { return len(nl.wait) < cap(nl.wait) },
		Accept: nl.accept,
	})
	nl.l = l
	return nl, err
}

// accept queues a new connection. Several shards may race for the last place: the loser is refused.
func (nl *netListener) accept(c *Conn) Handler {
	n := WrapConn(c)
	select {
	case nl.wait <- n:
	default:
		c.shard.stats.ListenOverflows++
		return nil
	}
	select {
	case <-nl.done: // Close may have looked before n was there
		nl.refuseWaiting()
	default:
	}
	return n
}

// refuseWaiting resets the connections that nobody accepted.
func (nl *netListener) refuseWaiting() {
	for {
		select {
		case n := <-nl.wait:
			n.Abort()
		default:
			return
		}
	}
}

// WrapConn makes the blocking facade of an open connection; the caller makes it the handler.
func WrapConn(c *Conn) *NetConn {
	n := newNetConn()
	n.c, n.open = c, true
	return n
}

// Accept implements net.Listener.
func (nl *netListener) Accept() (net.Conn, error) {
	select {
	case n := <-nl.wait:
		return n, nil
	case <-nl.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: nl.Addr(), Err: net.ErrClosed}
	case <-nl.l.stack.stopped:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: nl.Addr(), Err: ErrStopped}
	}
}

// Close implements net.Listener: connections that nobody accepted are reset.
func (nl *netListener) Close() error {
	nl.once.Do(func() {
		nl.l.Close() //nolint:errcheck // never fails
		close(nl.done)
		nl.refuseWaiting()
	})
	return nil
}

// Addr implements net.Listener.
func (nl *netListener) Addr() net.Addr { return tcpAddr(nl.l.Addr()) }

// DialFrom opens a connection from local to remote. A zero port in local picks a free one. The error is a
// *net.OpError around ErrRefused, ErrTimeout or the context's.
func (st *Stack) DialFrom(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	return st.dialFrom(ctx, local, remote, nil)
}

func (st *Stack) dialFrom(ctx context.Context, local, remote netip.AddrPort, early []byte) (net.Conn, error) {
	n, err := st.dial(ctx, local, remote, early)
	if err != nil {
		return nil, &net.OpError{
			Op: "dial", Net: "tcp", Source: tcpAddr(local), Addr: tcpAddr(remote), Err: err,
		}
	}
	return n, nil
}

const (
	ephemeralFirst = 32768 // as Linux; RFC 6056 section 3.3.1: picked at random
	ephemeralCount = 65536 - ephemeralFirst
	dialTries      = 64
)

// errPortsBusy is EADDRINUSE to those who ask with errors.Is, as from the kernel's connect(2).
var errPortsBusy = fmt.Errorf("no free local port to this address: %w", syscall.EADDRINUSE)

var errTooMany = errors.New("too many connections")

func (st *Stack) dial(ctx context.Context, local, remote netip.AddrPort, early []byte) (*NetConn, error) {
	if !st.isLocal(wire.AddrFrom(local.Addr())) {
		return nil, errors.New("the local address is not one of this stack")
	}
	if local.Port() != 0 {
		return st.dialFlow(ctx, flowOf(local, remote), early)
	}
	for range dialTries {
		port := uint16(ephemeralFirst + rand.N(ephemeralCount))
		n, err := st.dialFlow(ctx, flowOf(netip.AddrPortFrom(local.Addr(), port), remote), early)
		if !errors.Is(err, errPortsBusy) {
			return n, err
		}
	}
	return nil, errPortsBusy
}

func flowOf(local, remote netip.AddrPort) wire.Flow {
	return wire.Flow{
		Local: wire.AddrFrom(local.Addr()), Remote: wire.AddrFrom(remote.Addr()),
		LocalPort: local.Port(), RemotePort: remote.Port(),
	}
}

// dialFlow opens the flow on its shard and waits until it is established.
func (st *Stack) dialFlow(ctx context.Context, flow wire.Flow, early []byte) (*NetConn, error) {
	n := newNetConn()
	started := make(chan error, 1)
	st.owner(&flow).Post(MessageFunc(func(s *Shard) { started <- s.open(flow, n, early) }))
	select {
	case err := <-started:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		st.owner(&flow).Post(MessageFunc(func(*Shard) {
			if n.c != nil {
				n.c.Abort()
			}
		}))
		return nil, ctx.Err()
	case <-st.stopped:
		return nil, ErrStopped
	}
	for {
		if open, err := n.opened(); open || err != nil {
			return n, err
		}
		select {
		case <-n.writable:
		case <-ctx.Done():
			n.Abort()
			return nil, ctx.Err()
		}
	}
}

// opened reports whether the handshake is over, and how.
func (n *NetConn) opened() (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return false, n.err
	}
	return n.open, nil
}

// open starts an active open on the shard.
func (s *Shard) open(flow wire.Flow, n *NetConn, early []byte) (err error) {
	var c *Conn
	if len(early) > 0 {
		c, err = s.DialFast(flow.LocalAddrPort(), flow.RemoteAddrPort(), n, stream.Bytes(early))
	} else {
		c, err = s.Dial(flow.LocalAddrPort(), flow.RemoteAddrPort(), n)
	}
	n.c = c
	return err
}
