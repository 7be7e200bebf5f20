package origin

import (
	"context"
	"errors"
	"io"
	"log"
	"net/netip"
	"time"

	"ocaserve/ktls"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/mono"
)

// This file is where the origin touches the stack; everything else knows a conn.

// handler is a session as the stack sees it.
type handler session

var (
	_ tcpstack.Handler      = (*handler)(nil)
	_ tcpstack.TimerHandler = (*handler)(nil)
	_ conn                  = (*tcpstack.Conn)(nil)
)

func (h *handler) Readable(c *tcpstack.Conn)             { (*session)(h).readable(c.Now()) }
func (h *handler) Writable(c *tcpstack.Conn)             { (*session)(h).writable(c.Now()) }
func (h *handler) Closed(c *tcpstack.Conn, _ error)      { (*session)(h).closed(c.Now()) }
func (h *handler) Timer(_ *tcpstack.Conn, now mono.Time) { (*session)(h).timer(now) }

// wakeup is a session as a message to its shard.
type wakeup session

// Run implements [tcpstack.Message].
func (w *wakeup) Run(ts *tcpstack.Shard) { (*session)(w).resumed(ts.Now()) }

// shardOf returns what the server keeps for a shard of the stack.
func (srv *Server) shardOf(ts *tcpstack.Shard) *shard {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	sh := srv.shards[ts]
	if sh == nil {
		sh = srv.newShard(
			func(s *session) { ts.Post((*wakeup)(s)) },
			func(f func(mono.Time)) { ts.Post(tcpstack.MessageFunc(func(ts *tcpstack.Shard) { f(ts.Now()) })) },
		)
		if srv.opts.NIC != nil {
			sh.setNIC(srv.opts.NIC(ts))
		}
		srv.shards[ts] = sh
	}
	return sh
}

// RecordStats are the counters of a shard's record layer. On the shard only.
func (srv *Server) RecordStats(ts *tcpstack.Shard) ktls.Stats { return srv.shardOf(ts).pool.Stats() }

// ServeHTTP accepts plain HTTP on addr of st until Drain.
func (srv *Server) ServeHTTP(st *tcpstack.Stack, addr netip.AddrPort) error {
	return srv.listen(st, addr, tcpstack.ListenConfig{Accept: srv.acceptPlain})
}

func (srv *Server) acceptPlain(c *tcpstack.Conn) tcpstack.Handler {
	if srv.draining.Load() {
		return nil
	}
	srv.opened(1)
	s := srv.shardOf(c.Shard()).newSession(c.Now(), c, nil, nil, nil)
	s.arm(c.Now())
	return (*handler)(s)
}

// handshakeAhead is how many bytes behind its Finished a client can make us hold outside its receive buffer:
// the usual first requests, no more.
const handshakeAhead = 8 << 10

// ServeHTTPS accepts HTTPS on addr of st until Drain. Handshakes run on goroutines of their own, of which
// there are at most MaxHandshakes: beyond, TCP handshakes are left unanswered and clients come back.
func (srv *Server) ServeHTTPS(st *tcpstack.Stack, addr netip.AddrPort) error {
	if srv.opts.TLS == nil {
		return errors.New("origin: HTTPS needs Options.TLS")
	}
	running, limit := &srv.handshaking, int64(srv.opts.MaxHandshakes)
	return srv.listen(st, addr, tcpstack.ListenConfig{
		Ready:  func() bool { return running.Load() < limit },
		Filter: tcpstack.FilterTLS, // no goroutine before there is a ClientHello to work on
		Accept: func(c *tcpstack.Conn) tcpstack.Handler {
			if srv.draining.Load() || running.Load() >= limit {
				return nil
			}
			running.Add(1)
			srv.opened(1)
			nc := tcpstack.WrapConn(c)
			nc.SetReadAhead(handshakeAhead)
			sh := srv.shardOf(c.Shard())
			go func() {
				defer running.Add(-1)
				srv.handshake(sh, nc)
			}()
			return nc
		},
	})
}

func (srv *Server) listen(st *tcpstack.Stack, addr netip.AddrPort, cfg tcpstack.ListenConfig) error {
	cfg.FastOpen = srv.opts.FastOpen // a SYN may come twice: a GET and a ClientHello may, too
	l, err := st.Listen(addr, cfg)
	if err != nil {
		return err
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.closers = append(srv.closers, l.Close)
	return nil
}

// patience is d, or a quarter of it when more than half of the handshakes that may run are running: clients
// that begin one and do not go on must not keep the others out for long.
func (srv *Server) patience(d time.Duration) time.Duration {
	if 2*srv.handshaking.Load() > int64(srv.opts.MaxHandshakes) {
		return d / 4
	}
	return d
}

// handshake runs a TLS handshake and hands the connection to an event-driven session.
func (srv *Server) handshake(sh *shard, nc *tcpstack.NetConn) {
	ctx, cancel := context.WithTimeout(context.Background(), srv.patience(srv.opts.HandshakeTimeout))
	defer cancel()
	t, err := ktls.Handshake(ctx, nc, srv.opts.TLS)
	if err != nil {
		srv.errors.Add(1)
		if errors.Is(err, ktls.ErrPanic) {
			srv.panics.Add(1)
			log.Print("origin: ", err) // a defect, and nobody else will tell: what net/http does
		}
		srv.farewell(nc, err)
		srv.opened(-1)
		return
	}
	nc.Detach(func(c *tcpstack.Conn, left []byte) {
		framer, opener, err := t.Start(sh.mode, sh.pool)
		if err != nil {
			srv.errors.Add(1)
			c.Abort()
			srv.opened(-1)
			return
		}
		info := &tlsInfo{t.Version.String(), t.Suite.String(), t.ServerName}
		s := sh.newSession(c.Now(), c, framer, opener, info)
		if len(left) > 0 {
			s.early = left
		}
		c.SetHandler((*handler)(s))
		s.readable(c.Now())
	})
}

// plainOnTLS is for people who forgot the s of https.
const plainOnTLS = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"This port speaks HTTPS; begin the address with https://\n"

// farewell ends a connection whose handshake failed: half-close, drain within bounds, close. Closing at once
// could turn into a RST, in which the alert would be lost.
func (srv *Server) farewell(nc *tcpstack.NetConn, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ktls.ErrPanic) {
		nc.Abort() // the facade is closed already and nobody is listening, or what was sent is unknown
		return
	}
	if errors.Is(err, ktls.ErrNotTLS) {
		io.WriteString(nc, plainOnTLS) //nolint:errcheck // a courtesy
	}
	nc.CloseWrite()                                                        //nolint:errcheck // gone already: then there is nothing to end
	nc.SetReadDeadline(srv.opts.Wall().Add(srv.patience(srv.opts.Linger))) //nolint:errcheck // never fails
	io.Copy(io.Discard, io.LimitReader(nc, maxDiscard))                    //nolint:errcheck // whatever ends it
	nc.Close()                                                             //nolint:errcheck // see CloseWrite
}
