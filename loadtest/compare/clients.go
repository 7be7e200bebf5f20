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

// shakesAtOnce bounds the handshakes under way: each is a goroutine on either side with its buffers.
const shakesAtOnce = 32

// connect opens n connections, shakes hands on each, and makes them players. None has asked for anything yet.
func (w *world) connect(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(n, shakesAtOnce) {
		wait.Go(func() {
			for next.Add(1) <= int64(n) && ctx.Err() == nil {
				if err := w.join(ctx); err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// join opens one connection.
func (w *world) join(ctx context.Context) error {
	port := uint16(443)
	if w.mode == ktls.ModeOff {
		port = 80
	}
	nc, err := w.dial(ctx, netip.AddrPortFrom(w.addr, port))
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
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
