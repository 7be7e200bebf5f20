package origin

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"ocaserve/ktls"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/mono"
)

// This file shows who seals the records of open connections, and changes it.

// A Sealing says who seals the records of a connection.
type Sealing struct {
	Mode, Now ktls.Mode   // what was asked for, and what is done now
	Why       ktls.Reason // if Mode is ModeNIC and Now is not
	Version   string
	Suite     string
}

// String is "nic", "inline", "user" or "sw(retransmits)".
func (s Sealing) String() string {
	if s.Mode == ktls.ModeNIC && s.Now != ktls.ModeNIC {
		return "sw(" + s.Why.String() + ")"
	}
	return s.Now.String()
}

// sessionOf is the TLS session that handles c; nil: there is none, yet or any more.
func sessionOf(c *tcpstack.Conn) *session {
	h, ok := c.Handler().(*handler)
	if s := (*session)(h); ok && s.framer != nil && s.info != nil {
		return s
	}
	return nil
}

// SealingOf says who seals what c sends, if that is the records of a session. On the shard only.
func SealingOf(c *tcpstack.Conn) (Sealing, bool) {
	if s := sessionOf(c); s != nil {
		return s.sealing(), true
	}
	return Sealing{}, false
}

func (s *session) sealing() Sealing {
	f := s.framer
	return Sealing{Mode: f.Mode(), Now: f.ModeNow(), Why: f.Why(), Version: s.info.version, Suite: s.info.suite}
}

// ErrNoSession is returned by SetSealing for a connection that carries no records.
var ErrNoSession = errors.New("origin: the connection has no TLS session")

// SetSealing moves an open connection to ModeNIC or ModeInline at the next record. On the shard only.
func SetSealing(c *tcpstack.Conn, m ktls.Mode) error {
	s := sessionOf(c)
	if s == nil {
		return ErrNoSession
	}
	return s.framer.SetMode(m)
}

// Mode is who seals the records of new connections.
func (srv *Server) Mode() ktls.Mode {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.opts.Mode
}

// SetMode chooses who seals the records of connections whose handshake ends from now on.
func (srv *Server) SetMode(m ktls.Mode) error {
	switch {
	case m < ktls.ModeUser || m > ktls.ModeNIC:
		return errors.New("origin: HTTPS needs TLS mode user, inline or nic, not " + m.String())
	case m == ktls.ModeNIC && srv.opts.NIC == nil:
		return ktls.ErrNoNIC
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.opts.Mode = m
	for _, sh := range srv.shards {
		sh.post(func(mono.Time) { sh.setMode(m) })
	}
	return nil
}

func (sh *shard) setMode(m ktls.Mode) {
	if m == ktls.ModeNIC && !sh.nic {
		m = ktls.ModeInline
	}
	sh.mode = m
}

// tlsCounters are a part of a shard's counters.
type tlsCounters struct{ user, sw, device, rekeys, decrypt atomic.Uint64 }

// begun counts a connection by who seals its first record.
func (c *tlsCounters) begun(f *ktls.Framer) {
	switch f.ModeNow() {
	case ktls.ModeUser:
		c.user.Add(1)
	case ktls.ModeInline:
		c.sw.Add(1)
	case ktls.ModeNIC:
		c.device.Add(1)
	}
}

// opened counts what a record of the peer brought.
func (c *tlsCounters) opened(e ktls.Event, err error) {
	if err != nil {
		var alert *ktls.AlertError // escapes
		if errors.As(err, &alert) && !alert.Remote && alert.Alert == ktls.AlertBadRecordMAC {
			c.decrypt.Add(1)
		}
	}
	if e == ktls.EventKeyUpdate || e == ktls.EventKeyUpdateRequested {
		c.rekeys.Add(1)
	}
}

// Sealers are numbers of connections by who seals for them.
type Sealers struct{ User, SW, Device uint64 }

// TLSStats sum the shards' record layers.
type TLSStats struct {
	ktls.Stats
	Begun         Sealers // connections since the start, by their first record
	Now           Sealers // open ones, by their next record
	SWGCM, SWCha  uint64  // open ones in SW, by cipher
	RekeysIn      uint64  // KeyUpdates received
	DecryptErrors uint64  // records of clients that were not authentic
}

// TLSStats asks all shards. The stack must be running.
func (srv *Server) TLSStats(ctx context.Context) (sum TLSStats, err error) {
	srv.mu.Lock()
	got := make(chan TLSStats, len(srv.shards))
	n := len(srv.shards)
	for _, sh := range srv.shards {
		sh.post(func(mono.Time) { got <- sh.tlsStats() })
	}
	srv.mu.Unlock()
	for range n {
		select {
		case st := <-got:
			sum.add(&st)
		case <-ctx.Done():
			return sum, ctx.Err()
		}
	}
	return sum, nil
}

func (sh *shard) tlsStats() TLSStats {
	c := &sh.stats.tls
	st := TLSStats{
		Stats:    sh.pool.Stats(),
		Begun:    Sealers{c.user.Load(), c.sw.Load(), c.device.Load()},
		RekeysIn: c.rekeys.Load(), DecryptErrors: c.decrypt.Load(),
	}
	for s := sh.sessions; s != nil; s = s.next {
		if s.info != nil {
			st.count(s.framer.ModeNow(), s.info.suite)
		}
	}
	return st
}

// count adds an open connection.
func (t *TLSStats) count(now ktls.Mode, suite string) {
	switch now {
	case ktls.ModeUser:
		t.Now.User++
	case ktls.ModeNIC:
		t.Now.Device++
	case ktls.ModeInline:
		t.Now.SW++
		if strings.Contains(suite, "CHACHA") {
			t.SWCha++
		} else {
			t.SWGCM++
		}
	}
}

func (t *TLSStats) add(o *TLSStats) {
	t.Begun.add(&o.Begun)
	t.Now.add(&o.Now)
	for _, p := range [][2]*uint64{
		{&t.SWGCM, &o.SWGCM}, {&t.SWCha, &o.SWCha}, {&t.RekeysIn, &o.RekeysIn}, {&t.DecryptErrors, &o.DecryptErrors},
		{&t.Records, &o.Records}, {&t.Sealed, &o.Sealed}, {&t.Copied, &o.Copied}, {&t.Offloaded, &o.Offloaded},
		{&t.Plain, &o.Plain}, {&t.KeyUpdates, &o.KeyUpdates}, {&t.Switches.ToIfnet, &o.Switches.ToIfnet},
	} {
		*p[0] += *p[1]
	}
	for r := range ktls.NumReasons {
		t.Switches.ToSW[r] += o.Switches.ToSW[r]
		t.Switches.Failed[r] += o.Switches.Failed[r]
	}
}

func (s *Sealers) add(o *Sealers) {
	s.User += o.User
	s.SW += o.SW
	s.Device += o.Device
}
