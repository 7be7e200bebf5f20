package compare

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"ocaserve/ktls"
	"ocaserve/tcpstack"
)

// joinAtOnce bounds the connections that are being opened or shake hands: each is a goroutine on either side.
const joinAtOnce = 64

// connect opens a cell's connections, shakes hands on each, and makes them players. None has asked for anything yet.
func (w *world) connect(ctx context.Context, k Key) error {
	if w.opts.RTT == 0 && k.Loss == 0 {
		return w.connectCalmly(ctx, k.Conns)
	}
	return atOnce(ctx, joinAtOnce, k.Conns, func(ctx context.Context, _ int) error {
		nc, err := w.open(ctx)
		if err == nil {
			err = w.join(ctx, nc)
		}
		return err
	})
}

const (
	openFirst  = 256 // connections that are opened before any of them shakes hands
	openAtOnce = 2
)

// connectCalmly is connect over a wire that itself takes no time. The least round trip that a connection sees decides how
// large its bursts are, and after the handshake there is a queue in the way. So what it sees then should be the wire, in all
// modes, and not others' handshakes.
func (w *world) connectCalmly(ctx context.Context, n int) (err error) {
	opened := make([]net.Conn, openFirst)
	defer func() {
		for _, nc := range opened {
			if nc != nil {
				nc.Close() //nolint:errcheck // it did not join: something else has failed
			}
		}
	}()
	for ; n > 0 && err == nil; n -= openFirst {
		some := min(n, openFirst)
		err = atOnce(ctx, openAtOnce, some, func(ctx context.Context, i int) (err error) {
			opened[i], err = w.open(ctx)
			return err
		})
		if err == nil {
			err = atOnce(ctx, joinAtOnce, some, func(ctx context.Context, i int) error {
				nc := opened[i]
				opened[i] = nil
				return w.join(ctx, nc)
			})
		}
	}
	return err
}

// atOnce calls f for each number below n, for some of them at a time, until one fails.
func atOnce(ctx context.Context, some, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(n, some) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// open opens one connection.
func (w *world) open(ctx context.Context) (net.Conn, error) {
	port := uint16(443)
	if w.mode == ktls.ModeOff {
		port = 80
	}
	nc, err := w.dial(ctx, netip.AddrPortFrom(w.addr, port))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return nc, nil
}

// join shakes hands on an open connection and makes it a player.
func (w *world) join(ctx context.Context, nc net.Conn) (err error) {
	p := &player{fleet: &w.fleet}
	if w.mode != ktls.ModeOff {
		if p.send, p.recv, err = shake(ctx, nc, w.opts.Version, w.opts.Cipher); err != nil {
			nc.Close() //nolint:errcheck // it has failed already
			return err
		}
	}
	if w.kernel != nil {
		w.kernel.enter(p, nc)
		return nil
	}
	return w.detach(ctx, p, nc.(*tcpstack.NetConn))
}

func (w *world) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if w.kernel != nil {
		return w.kernel.ns.dial(ctx, to)
	}
	return w.clients.DialFrom(ctx, netip.AddrPortFrom(clientAddr, 0), to)
}

// detach makes a connection of the clients' stack a player.
func (w *world) detach(ctx context.Context, p *player, nc *tcpstack.NetConn) error {
	joined := make(chan error, 1)
	nc.Detach(func(c *tcpstack.Conn, left []byte) {
		c.SetHandler(p)
		p.conn = c
		w.fleet.ready = append(w.fleet.ready, p)
		if len(left) > 0 {
			joined <- fmt.Errorf("the server sent %d bytes before it was asked", len(left))
			return
		}
		joined <- nil
	})
	select {
	case err := <-joined:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
