package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/origin"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link/relay"
)

// A server is everything that serves, put together.
type server struct {
	choice
	opts        options
	https, http port
	link        openedLink
	stack       *tcpstack.Stack
	clients     *tcpstack.Stack // relay: the other end of the link
	stacks      sync.WaitGroup  // running stacks
	routes      []relay.Route   // relay: the kernel's side
	relay       *relay.Relay
	cache       *cache.Cache
	catalogue   *content.Catalogue
	certs       *ktls.Store
	selfSigned  string // public part of the self-signed certificate, "" when the user brought one
	origin      *origin.Server
	log         *origin.Log    // nil: no access log
	admin       *admin         // nil: no admin socket
	traceFile   *os.File       // of --trace; nil: none
	tracing     sync.WaitGroup // writes traceFile
	closers     []func() error // in the order of making
}

// serve runs a server until a signal or the end of ctx, and drains it.
func serve(ctx context.Context, opts options, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	s, err := newServer(ctx, opts, stdout)
	if err != nil {
		return err
	}
	defer s.close()
	life, die := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		die()
		s.stacks.Wait() // nobody may touch what is closed next
	}()
	failed, err := s.start(life)
	if err != nil {
		return err
	}
	if s.admin != nil {
		s.admin.serve()
	}
	opts.ready(s)
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("the link failed: %w", err)
		case <-hup:
			s.reload()
		case <-ctx.Done():
			again := make(chan os.Signal, 1)
			signal.Notify(again, syscall.SIGTERM, syscall.SIGINT)
			defer signal.Stop(again)
			stop()
			return s.drain(life, failed, again)
		}
	}
}

// newServer puts the parts together, cheapest to fail first. What was made is closed again on an error.
func newServer(ctx context.Context, opts options, stdout io.Writer) (*server, error) {
	s, err := &server{opts: opts}, error(nil)
	if s.choice, err = chooseLink(opts.link.Net, probeTun); err != nil {
		return nil, err
	}
	if s.https, s.http, err = opts.link.ports(s.net); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return s.openLog(stdout) },
		s.openCerts,
		s.openContent,
		s.openLink,
		func() error { return s.openRelay(ctx) },
		s.openOrigin,
		s.openTrace,
		s.openAdmin,
	} {
		if err := step(); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *server) openContent() (err error) {
	catalogue := content.Options{MaxOpen: openFiles(descriptorLimit()), MaxNames: 32 << 10}
	if s.catalogue, err = content.Open(s.opts.dir, catalogue); err != nil {
		return fmt.Errorf("cannot serve %s: %w", s.opts.dir, err)
	}
	s.closers = append(s.closers, s.catalogue.Close)
	if s.cache, err = cache.New(cache.Config{Bytes: s.opts.cache}); err != nil {
		return fmt.Errorf("--cache %s: %w", size(s.opts.cache), err)
	}
	s.closers = append(s.closers, s.cache.Close)
	return nil
}

// openFiles is how many files the catalogue may have open, of limit descriptors: the rest is for the relay's
// sockets. Each large file that is being served takes one, and when there is none left requests for further
// files wait, so that few of them would let few slow clients hold up everybody.
func openFiles(limit uint64) int { return int(min(max(limit/3, 64), 16<<10)) }

// descriptorLimit is the process's own; the Go runtime has raised it as far as it may.
func descriptorLimit() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024 // what most systems give
	}
	return uint64(l.Cur)
}

func (s *server) openLink() (err error) {
	if s.link, err = s.opts.link.open(s.net); err != nil {
		return err
	}
	s.closers = append(s.closers, s.link.Close)
	cfg := tcpstack.Config{
		Addrs: s.opts.link.plan.addrs(),
		// Requests are small: what clients pipeline and we do not read yet stays theirs to hold.
		ReceiveBuffer: 16 << 10,
		MemoryBudget:  s.opts.memory,
	}
	s.opts.link.tcpFlags.apply(&cfg)
	s.opts.link.paceFlags.apply(&cfg)
	s.stack, err = tcpstack.New(cfg, s.link.stack.Queues())
	return err
}

// openRelay makes the kernel's side of a relay; over a TUN there is nothing to do.
func (s *server) openRelay(ctx context.Context) (err error) {
	if s.link.peer == nil {
		return nil
	}
	// Any address is the clients' stack's own: each connection comes from its real client's.
	s.clients, err = tcpstack.New(tcpstack.Config{
		AnyAddr: true, ReceiveBuffer: 16 << 10, // most clients read at their leisure; who does not gets more
	}, s.link.peer.Queues())
	if err != nil {
		return err
	}
	s.routes, err = relayRoutes(ctx, s.opts.link.Listen, s.https, s.http, s.opts.link.plan.addrs())
	s.closers = append(s.closers, s.closeRoutes)
	return err
}

// closeRoutes closes the kernel's listeners that no relay has taken over.
func (s *server) closeRoutes() error {
	for _, r := range s.routes {
		r.Listener.Close()
	}
	return nil
}

// start runs the stacks until life ends; a link that fails is reported.
func (s *server) start(life context.Context) (<-chan error, error) {
	failed := make(chan error, 2)
	if err := s.startTrace(); err != nil {
		return failed, err
	}
	s.makeProcessors()
	for _, st := range []*tcpstack.Stack{s.stack, s.clients} {
		if st == nil {
			continue
		}
		s.stacks.Go(func() {
			if err := st.Run(life); err != nil && life.Err() == nil {
				failed <- err
			}
		})
	}
	if s.clients == nil {
		return failed, nil
	}
	var err error
	if s.relay, err = relay.Listen(relay.Config{Routes: s.routes, Dial: s.clients.DialFrom}); err == nil {
		s.closers = append(s.closers, s.relay.Close)
	}
	return failed, err
}

// makeProcessors gives the Go scheduler one more processor for each thread that waits in the kernel: those of shards, and
// of the adapter. Such a thread keeps its processor while it waits, until the scheduler's monitor takes it away, and that
// sleeps for up to 10 ms where little goes on. With none to spare, each look at the disk made a first byte so much later.
func (s *server) makeProcessors() {
	threads := s.opts.link.Shards
	if s.link.nic != nil {
		threads *= 2
	}
	if s.clients != nil {
		threads += s.opts.link.Shards
	}
	runtime.GOMAXPROCS(processors + threads)
}

// processors is how many the Go scheduler has where nobody asks for more: as many as the machine lets the process use.
var processors = runtime.GOMAXPROCS(0)

// reload reads the certificates again and reopens the access log; what fails stays as it was.
func (s *server) reload() {
	var err error
	if s.certs != nil {
		err = s.certs.Reload()
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Reopen())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ocaserve:", oneLine(err))
	}
}

// lastWords is what the ends of connections may take after a second signal, on a machine that is busy too.
const lastWords = 5 * time.Second

// drain takes no new connections, lets running responses finish, and gives up on them after the time-out or a
// second signal. Giving up is not a failure: the user set the limit, or has lost patience. When the stacks stop,
// which is next, the clients get a RST.
func (s *server) drain(life context.Context, failed <-chan error, again <-chan os.Signal) error {
	if s.relay != nil {
		s.relay.StopAccepting()
	}
	ctx, cancel := context.WithTimeout(life, s.opts.drain)
	defer cancel()
	done := make(chan struct{})
	go func() {
		_ = s.origin.Drain(ctx) // its only error says that the time is over
		if s.relay != nil {
			_ = s.relay.Drain(ctx) // likewise
		}
		close(done)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("the link failed while draining: %w", err)
	case <-done:
		return nil
	case sig := <-again:
		// A process that was told twice ends, whatever holds it up: with the status of a shell's child that
		// the signal killed.
		time.AfterFunc(lastWords, func() { os.Exit(128 + int(sig.(syscall.Signal))) })
		return nil
	}
}

// close takes apart what was made, last first. Errors have nobody left to act on them.
func (s *server) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		_ = s.closers[i]()
	}
}

// url is the address to type, "" if the scheme is off.
func (s *server) url(scheme string) string {
	p, usual := s.https, port(443)
	if scheme == "http" {
		p, usual = s.http, 80
	}
	if p == portOff {
		return ""
	}
	host := s.opts.link.plan.Stack[0].Addr().String()
	if s.clients != nil {
		if host = s.opts.link.listenName(); host == "" {
			host = "localhost"
		}
	}
	if p != usual {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(p)))
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}

// linkLine describes the link that was opened.
func (s *server) linkLine() string {
	if s.clients != nil {
		return fmt.Sprintf("relay: kernel sockets into the stack at %s", s.opts.link.plan)
	}
	return fmt.Sprintf("tun: interface %s, the stack is %s", s.link.stack.Name(), s.opts.link.plan)
}

func (s *server) tlsLine() string {
	from := "self-signed, " + s.selfSigned
	if s.selfSigned == "" {
		from = strings.Join(s.opts.tls.Cert, ", ")
	}
	mode := s.opts.tls.TLS
	return fmt.Sprintf("%s (%s), TLS %s and later, certificate %s", mode, sealWords[mode], s.opts.tls.Min, from)
}

// summary is serve's one line.
func (s *server) summary() string {
	var urls []string
	for _, scheme := range []string{"https", "http"} {
		if u := s.url(scheme); u != "" {
			urls = append(urls, u)
		}
	}
	why := s.why + s.link.note
	text := fmt.Sprintf("serving %s at %s over %s (%s)", s.opts.dir, strings.Join(urls, " and "), s.linkLine(), why)
	if s.https != portOff {
		text += fmt.Sprintf("; TLS %s: %s", s.opts.tls.TLS, sealWords[s.opts.tls.TLS])
	}
	if s.selfSigned != "" {
		text += "; self-signed certificate in " + s.selfSigned
	}
	return text + "; Ctrl-C ends"
}
