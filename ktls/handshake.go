package ktls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
)

// ErrNotTLS is wrapped by Handshake when the first bytes are no TLS record. No alert was sent: the peer
// could not read it. Five bytes have been consumed.
var ErrNotTLS = errors.New("the client does not speak TLS")

// ErrPanic is wrapped by Handshake when crypto/tls, or a callback of its configuration, panicked. The text has
// the stack.
var ErrPanic = errors.New("a panic in the handshake")

// A Session is an established connection at the moment of hand-over: what was agreed, and the state of both
// directions.
type Session struct {
	Version    Version
	Suite      Suite
	ServerName string // SNI, empty if the client sent none
	ALPN       string // empty if the client offered nothing
	Resumed    bool
	Write      *WriteState
	Read       *ReadState
}

// Start moves the session's states into a framer and an opener that belong to pool's shard.
func (s *Session) Start(mode Mode, pool *Pool) (*Framer, *Opener, error) {
	f, err := NewFramer(mode, s.Write, pool)
	if err != nil {
		return nil, nil, err
	}
	o := NewOpener(s.Read)
	o.Follow(f)
	return f, o, nil
}

// Handshake runs the server's side of a TLS handshake over nc and takes the session out of crypto/tls. It
// blocks; it may be called from any goroutine, with any number of handshakes sharing cfg. It consumes not a
// byte behind the client's Finished, and nothing more will be written to nc by it.
//
//  1. crypto/tls reads and writes through a tap, which feeds it single records and counts both directions.
//  2. The traffic secrets come out of crypto/tls by its key log, into memory of this handshake alone: looking
//     them up by client random in a shared table would confuse two connections that replay one ClientHello.
//     A resumed TLS 1.2 session logs nothing; its master secret travels in our own ticket (see wrap).
//  3. The secrets and counts become a WriteState and a ReadState; what is left of the secrets is wiped.
//
// A failure has sent at most one fatal alert, as far as the peer could still read one; the caller
// half-closes, drains and closes nc. When ctx ends, nc is closed and the error is ctx.Err(). After a panic
// nobody knows what was sent: the caller closes nc at once.
func Handshake(ctx context.Context, nc net.Conn, cfg *ServerConfig) (s *Session, err error) {
	defer func() {
		// What one client's bytes set off must not end the connections of all the others.
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("ktls: %w: %v\n%s", ErrPanic, p, debug.Stack())
		}
	}()
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	t := &tap{Conn: nc, secrets: keyLog{also: cfg.keyLog()}}
	defer t.wipe()
	conn := tls.Server(t, t.configure(base))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, t.failed(ctx, err)
	}
	return t.session(conn.ConnectionState())
}

// configure makes the configuration of one handshake. Certificates and ticket keys are shared with base.
func (t *tap) configure(base *tls.Config) *tls.Config {
	conf := base.Clone()
	conf.KeyLogWriter = &t.secrets
	conf.WrapSession = func(st tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		return t.wrap(conf, st, state)
	}
	conf.UnwrapSession = func(ticket []byte, st tls.ConnectionState) (*tls.SessionState, error) {
		return t.unwrap(conf, ticket, st)
	}
	return conf
}

// session builds the session from what the tap has seen.
func (t *tap) session(st tls.ConnectionState) (*Session, error) {
	if t.err != nil {
		return nil, fmt.Errorf("ktls: hand-over: %w", t.err)
	}
	s := &Session{
		Version: Version(st.Version), Suite: Suite(st.CipherSuite),
		ServerName: st.ServerName, ALPN: st.NegotiatedProtocol, Resumed: st.DidResume,
		Write: new(WriteState), Read: new(ReadState),
	}
	take := t.take13
	if s.Version == TLS12 {
		take = t.take12
	}
	if err := take(s); err != nil {
		return nil, fmt.Errorf("ktls: hand-over: %w", err)
	}
	return s, nil
}

// take13: our records go on after the tickets, the client's begin at 0 because crypto/tls stops at its
// Finished, which is the last record under the handshake key.
func (t *tap) take13(s *Session) error {
	client, server := t.secrets.client.bytes(), t.secrets.server.bytes()
	if len(client) == 0 || len(server) == 0 {
		return errors.New("crypto/tls did not log the traffic secrets")
	}
	if err := s.Write.initSecret(s.Suite, server, t.trial.seq); err != nil {
		return err
	}
	return s.Read.initSecret(s.Suite, client, 0)
}

// take12 derives the key block from the master secret (RFC 5246, 6.3; the extended master secret of RFC 7627
// changes how the master secret came about, not this). Both directions go on after their Finished.
func (t *tap) take12(s *Session) error {
	info, err := s.Suite.info(s.Version)
	if err != nil {
		return err
	}
	if len(t.secrets.master.bytes()) == 0 || !t.haveRandom || t.helloN < len(t.hello) {
		return errors.New("master secret or randoms missing")
	}
	if s.Resumed {
		t.secrets.logResumed(t.hello[helloRandom:])
	}
	client, server := info.keyBlock(t.secrets.master.bytes(), t.hello[helloRandom:], t.serverRandom[:])
	if err := s.Write.init(TLS12, s.Suite, info, server, t.out.sinceCCS); err != nil {
		return err
	}
	if err := s.Read.init(TLS12, s.Suite, info, client, t.in.sinceCCS); err != nil {
		return err
	}
	return t.checkFinished(s)
}

// checkFinished refuses a client that hid more handshake bytes behind its Finished in the same record:
// crypto/tls holds them, and nobody would ever look at them.
func (t *tap) checkFinished(s *Session) error {
	const finished = 4 + 12
	plain := t.in.handshakeBytes - int(t.in.sinceCCS)*(int(s.Read.keys.explicit)+tagLen)
	if plain == finished {
		return nil
	}
	msg := []byte{levelFatal, byte(AlertUnexpectedMessage)}
	t.Conn.Write(s.Write.keys.seal(s.Write.seq, typeAlert, msg)) // best effort: the connection ends here
	return errors.New("handshake data behind the client's Finished")
}

// failed turns the error of a handshake into ours, and makes sure that the peer hears of it once.
func (t *tap) failed(ctx context.Context, err error) error {
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil {
		return fmt.Errorf("ktls: %w (it began with %q)", ErrNotTLS, header.RecordHeader[:])
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	reachable := t.ioErr == nil && ctx.Err() == nil
	if reachable && !t.alerted && !t.out.ccs {
		// A few paths of crypto/tls give up without an alert. As long as our records go out in the clear we
		// can add it.
		t.Conn.Write([]byte{byte(typeAlert), 3, 3, 0, 2, levelFatal, byte(AlertInternalError)})
	}
	return fmt.Errorf("ktls: handshake: %w", err)
}
