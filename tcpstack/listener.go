package tcpstack

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync/atomic"

	"ocaserve/pacing"
	"ocaserve/tcpstack/wire"
)

// ListenConfig says what happens to new connections.
type ListenConfig struct {
	// Accept is called on the connection's shard when it is established (and passed the filter), and
	// returns its handler. It must not block. A nil handler refuses: the connection is reset.
	Accept func(c *Conn) Handler
	// Ready, if set, is asked before a handshake is completed; false leaves the peer waiting, so that it
	// retransmits: an accept queue that is full. It may be called on any shard.
	Ready func() bool
	// Filter holds a connection back until its first bytes are there.
	Filter Filter
	// Functions and Congestion name the TCP implementation and the congestion control; "": the cohort's or the
	// stack's default.
	Functions, Congestion string
	// MaxPacingRate of its connections, see [Conn.SetMaxPacingRate]; 0: the stack's.
	MaxPacingRate pacing.Rate
	// FastOpen is how many connections may be in the hands of the application before their handshake is over
	// (RFC 7413; Linux: TCP_FASTOPEN, bounded by tcp_max_fastopen_qlen); 0, the default: none. The data in a SYN
	// may arrive twice, as two connections, when the network repeats the SYN: only for what can be done twice
	// without harm (section 2.1), such as a TLS ClientHello.
	FastOpen int
	// MaxConns bounds the listener's open connections; 0: no bound but the shards'.
	MaxConns int
}

// A Listener accepts connections on one address and port.
type Listener struct {
	stack *Stack
	cfg   ListenConfig
	key   listenKey
	open  atomic.Int64 // connections open

	fastPending atomic.Int64 // Fast Open connections that are not established yet
}

// listenKey is an address and port; the zero address stands for any.
type listenKey struct {
	addr wire.Addr
	port uint16
}

type listenerTable map[listenKey]*Listener

// Listen accepts connections to addr; an unspecified address means any of the stack's addresses, of both
// families. The error names what is wrong: port 0, an address that is not the stack's, a port in use.
func (st *Stack) Listen(addr netip.AddrPort, cfg ListenConfig) (*Listener, error) {
	key := listenKey{port: addr.Port()}
	if a := addr.Addr().Unmap(); a.IsValid() && !a.IsUnspecified() {
		key.addr = wire.AddrFrom(a)
		if !st.isLocal(key.addr) {
			return nil, fmt.Errorf("listen %v: not an address of this stack", addr)
		}
	}
	switch {
	case key.port == 0:
		return nil, fmt.Errorf("listen %v: a port is needed", addr)
	case cfg.Accept == nil:
		return nil, errors.New("tcpstack: ListenConfig.Accept is missing")
	}
	if err := st.CheckChoice(cfg.Functions, cfg.Congestion); err != nil {
		return nil, fmt.Errorf("listen %v: %w", addr, err)
	}
	l := &Listener{stack: st, cfg: cfg, key: key}
	st.mu.Lock()
	defer st.mu.Unlock()
	table := maps.Clone(*st.listeners.Load())
	if table[key] != nil {
		return nil, fmt.Errorf("listen %v: port in use", addr)
	}
	table[key] = l
	st.listeners.Store(&table)
	return l, nil
}

// Close stops accepting. Open connections stay.
func (l *Listener) Close() error {
	st := l.stack
	st.mu.Lock()
	defer st.mu.Unlock()
	table := maps.Clone(*st.listeners.Load())
	if table[l.key] == l {
		delete(table, l.key)
		st.listeners.Store(&table)
	}
	return nil
}

// Addr returns the address the listener was made with.
func (l *Listener) Addr() netip.AddrPort {
	if l.key.addr == (wire.Addr{}) {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), l.key.port)
	}
	return netip.AddrPortFrom(l.key.addr.Netip(), l.key.port)
}

// Open is the number of its connections.
func (l *Listener) Open() int { return int(l.open.Load()) }

// listenerFor finds who accepts connections to a local address and port.
func (st *Stack) listenerFor(a wire.Addr, port uint16) *Listener {
	t := *st.listeners.Load()
	if l := t[listenKey{a, port}]; l != nil {
		return l
	}
	return t[listenKey{port: port}]
}

// full reports whether the listener takes no further connection now.
func (l *Listener) full() bool {
	return l.cfg.MaxConns > 0 && l.open.Load() >= int64(l.cfg.MaxConns) || l.cfg.Ready != nil && !l.cfg.Ready()
}
