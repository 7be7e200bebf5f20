package bisect

import (
	"context"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ocaserve/cache"
	"ocaserve/content"
	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/nicoffload"
	"ocaserve/origin"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/link/memory"
)

const (
	fileName = "f"
	hostName = "bisect.test"
)

// ends are the addresses of server and client.
var ends = [2][]netip.Addr{
	{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")},
}

// A stage is what all legs share: the file and the certificate.
type stage struct {
	opts  *Options
	dir   string
	file  []byte
	certs *ktls.Store
	roots *x509.CertPool
}

func newStage(opts *Options) (s *stage, err error) {
	s = &stage{opts: opts, file: make([]byte, opts.Size), roots: x509.NewCertPool()}
	rand.NewChaCha8([32]byte{2}).Read(s.file) //nolint:errcheck // never fails
	if s.dir, err = os.MkdirTemp("", "ocaserve-bisect-"); err != nil {
		return nil, err
	}
	if err := errors.Join(s.fill(), s.certify()); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) www() string { return filepath.Join(s.dir, "www") }

func (s *stage) fill() error {
	if err := os.Mkdir(s.www(), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.www(), fileName), s.file, 0o600)
}

func (s *stage) certify() error {
	pair, public, err := ktls.SelfSigned(filepath.Join(s.dir, "tls"), []string{hostName})
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(public)
	if err != nil {
		return err
	}
	s.roots.AppendCertsFromPEM(pem)
	s.certs, err = ktls.NewStore(pair)
	return err
}

func (s *stage) close() { os.RemoveAll(s.dir) } //nolint:errcheck // what is left is in the system's temporary folder

// A world is one leg's server and client.
type world struct {
	*stage
	nic            *nicoffload.Interface
	wire           *fault.Interface
	server, client *tcpstack.Stack
	end            context.CancelFunc
	running        sync.WaitGroup
	closers        []func() error // in the order of making
}

// newWorld makes a world in which the offloads on are on, and others not, and runs it.
func (s *stage) newWorld(bad fault.Config, on []string) (*world, error) {
	w := &world{stage: s, end: func() {}}
	for _, step := range []func() error{
		func() error { return w.lay(bad) },
		func() error { return Only(w.nic, on...) },
		w.serve,
	} {
		if err := step(); err != nil {
			w.close()
			return nil, err
		}
	}
	ctx, end := context.WithCancel(context.Background())
	w.end = end
	for _, st := range []*tcpstack.Stack{w.server, w.client} {
		w.running.Go(func() { _ = st.Run(ctx) }) // ends with the leg, or the leg stalls
	}
	return w, nil
}

// lay makes the cable: the adapter at the server's end, the wire at the client's. The wire cuts superframes and
// completes checksums that were left to it, and nobody vouches for what comes off it.
func (w *world) lay(bad fault.Config) (err error) {
	a, b := memory.New(memory.Config{TSO: true})
	w.closers = append(w.closers, a.Close)
	if w.nic, err = nicoffload.New(a, w.opts.NIC); err != nil {
		return err
	}
	w.closers = append(w.closers, w.nic.Close)
	w.wire = fault.New(b, bad)
	if w.server, err = newStack(ends[0], w.nic); err != nil {
		return err
	}
	w.client, err = newStack(ends[1], w.wire)
	return err
}

// newStack makes an end. BBR does not take every loss for congestion: with others a bad wire takes ten times as long.
func newStack(addrs []netip.Addr, nif link.Interface) (*tcpstack.Stack, error) {
	return tcpstack.New(tcpstack.Config{Addrs: addrs, Congestion: "bbr"}, nif.Queues())
}

// serve makes the origin, which leaves records to the adapter while that takes them.
func (w *world) serve() error {
	catalogue, err := content.Open(w.www(), content.Options{})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, catalogue.Close)
	pages, err := cache.New(cache.Config{Bytes: max(16<<20, 2*w.opts.Size)})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, pages.Close)
	srv, err := origin.New(origin.Options{
		Catalogue: catalogue, Cache: pages, Wall: time.Now, Mode: ktls.ModeNIC,
		TLS: &ktls.ServerConfig{Certs: w.certs},
		NIC: func(s *tcpstack.Shard) offload.NIC { return w.nic.Queues()[s.ID()].(offload.NIC) },
	})
	if err != nil {
		return err
	}
	any := netip.IPv6Unspecified()
	return errors.Join(
		srv.ServeHTTP(w.server, netip.AddrPortFrom(any, 80)), srv.ServeHTTPS(w.server, netip.AddrPortFrom(any, 443)))
}

// close takes the world apart: first who uses things, then the things.
func (w *world) close() {
	w.end()
	w.running.Wait()
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]() //nolint:errcheck // nobody is left to act on it
	}
}

// An adapter has offloads that can be switched; *nicoffload.Interface is one.
type adapter interface {
	Features() []nicoffload.Feature
	SetFeature(name string, on bool) error
}

// Only switches all of an adapter's offloads off but those named, and those that they need.
func Only(nic adapter, on ...string) error {
	for _, f := range nic.Features() {
		if !f.Fixed {
			if err := nic.SetFeature(f.Name, false); err != nil {
				return err
			}
		}
	}
	for _, name := range on {
		if err := nic.SetFeature(name, true); err != nil {
			return err
		}
	}
	return nil
}

// names lists the offloads that are on, or that could be.
func names(nic adapter, all bool) (list []string) {
	for _, f := range nic.Features() {
		if !f.Fixed && (f.On || all) {
			list = append(list, f.Name)
		}
	}
	return list
}
