package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The admin socket of a running server. A client sends one line of JSON, {"verb":"ss","args":{...}}, and gets
// lines: {"data":...} any number of times, then {"end":true} or {"error":"..."}. A verb may go over to raw
// bytes instead, after {"raw":true}; they end with the connection. Whoever wants to stop a long answer closes
// their half, or all of it.

// A verb answers a request. It runs on a goroutine of its own; what it wants from connections it posts to the
// shards. ctx ends with the server.
type verb func(ctx context.Context, s *server, r *adminRequest) error

// verbs is what the socket knows.
var verbs = map[string]verb{
	"ethtool": ethtoolVerb,
	"info":    infoVerb,
	"ss":      ssVerb,
	"stack":   stackVerb,
	"stats":   statsVerb,
	"trace":   traceVerb,
	"tlsstat": tlsstatVerb,
}

const (
	adminClients  = 16               // at once; more are told to come back
	adminPatience = 10 * time.Second // for a client to send its request, and to take each line of the answer
)

// adminLine is a line of the answer.
type adminLine struct {
	Data  json.RawMessage `json:"data,omitempty"`
	Error string          `json:"error,omitempty"`
	Raw   bool            `json:"raw,omitempty"`
	End   bool            `json:"end,omitempty"`
}

type adminCall struct {
	Verb string          `json:"verb"`
	Args json.RawMessage `json:"args,omitempty"`
}

// An adminRequest is a request being answered.
type adminRequest struct {
	args json.RawMessage
	conn *net.UnixConn
	raw  bool
}

// Args reads the arguments into v; a field that v does not have is an error.
func (r *adminRequest) Args(v any) error {
	if len(r.args) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(r.args)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Send writes one line of data.
func (r *adminRequest) Send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.line(adminLine{Data: b})
}

func (r *adminRequest) line(l adminLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_ = r.conn.SetWriteDeadline(time.Now().Add(adminPatience))
	_, err = r.conn.Write(append(b, '\n'))
	return err
}

// Raw goes over to bytes. A client that does not take them for a while gets no more.
func (r *adminRequest) Raw() (io.Writer, error) {
	r.raw = true
	return patientWriter{r.conn}, r.line(adminLine{Raw: true})
}

// Hangup waits until the client has closed its half.
func (r *adminRequest) Hangup() {
	_ = r.conn.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, r.conn)
}

type patientWriter struct{ net.Conn }

func (w patientWriter) Write(b []byte) (int, error) {
	_ = w.SetWriteDeadline(time.Now().Add(adminPatience))
	return w.Conn.Write(b)
}

// An admin serves the socket.
type admin struct {
	server *server
	path   string
	socket *net.UnixListener
	ctx    context.Context
	end    context.CancelFunc
	busy   sync.WaitGroup
	places chan struct{}
}

// openAdmin makes the socket; it is served once the stack runs. Only a socket that the user asked for must be.
func (s *server) openAdmin() error {
	where := s.opts.link.Admin
	if where == "off" {
		return nil
	}
	path, err := adminPath(where)
	if err == nil {
		s.admin, err = listenAdmin(path)
	}
	if err != nil && where == "" {
		fmt.Fprintln(os.Stderr, "ocaserve: no admin socket:", oneLine(err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("--admin %s: %w", where, err)
	}
	s.admin.server = s
	s.closers = append(s.closers, s.admin.close)
	return nil
}

// listenAdmin makes a socket that this user alone may use. One that a killed server has left behind is
// replaced.
func listenAdmin(path string) (*admin, error) {
	removeStale(path)
	name, done, err := shortName(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.New("another server answers there; choose another name, or off")
	}
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // name is not the path; close removes it
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	return &admin{path: path, socket: l, ctx: ctx, end: end, places: make(chan struct{}, adminClients)}, nil
}

// serve answers until close.
func (a *admin) serve() {
	a.busy.Go(func() {
		for {
			c, err := a.socket.AcceptUnix()
			if err != nil {
				return
			}
			a.busy.Go(func() { a.answer(c) })
		}
	})
}

func (a *admin) close() error {
	a.end()
	err := errors.Join(os.Remove(a.path), a.socket.Close())
	a.busy.Wait()
	return err
}

// answer reads a request and runs its verb.
func (a *admin) answer(c *net.UnixConn) {
	defer c.Close()
	defer context.AfterFunc(a.ctx, func() { c.Close() })()
	r := &adminRequest{conn: c}
	err := a.run(r)
	switch {
	case r.raw:
	case err != nil:
		_ = r.line(adminLine{Error: oneLine(err)})
	default:
		_ = r.line(adminLine{End: true})
	}
}

func (a *admin) run(r *adminRequest) error {
	if !peerIsMe(r.conn) {
		return errors.New("this server belongs to another user")
	}
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		return fmt.Errorf("%d clients are being answered; try again", adminClients)
	}
	_ = r.conn.SetReadDeadline(time.Now().Add(adminPatience))
	line, err := bufio.NewReader(io.LimitReader(r.conn, 64<<10)).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no request: %w", err)
	}
	var call adminCall
	if err := json.Unmarshal(line, &call); err != nil {
		return fmt.Errorf("a request is a line such as {\"verb\":\"info\"}: %w", err)
	}
	v, ok := verbs[call.Verb]
	if !ok {
		return fmt.Errorf("unknown verb %q; there are: %s", call.Verb, strings.Join(slices.Sorted(maps.Keys(verbs)), ", "))
	}
	r.args = call.Args
	return v(a.ctx, a.server, r)
}

// serverInfo tells a server from others.
type serverInfo struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Dir     string    `json:"dir"`
	URLs    []string  `json:"urls"`
	Link    string    `json:"link"`
}

func infoVerb(_ context.Context, s *server, r *adminRequest) error {
	info := serverInfo{PID: os.Getpid(), Version: versionLine(), Started: processStart, Dir: s.opts.dir, Link: s.linkLine()}
	for _, scheme := range []string{"https", "http"} {
		if u := s.url(scheme); u != "" {
			info.URLs = append(info.URLs, u)
		}
	}
	return r.Send(info)
}

var processStart = time.Now()
