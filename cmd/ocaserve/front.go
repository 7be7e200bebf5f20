package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"ocaserve/ktls"
	"ocaserve/origin"
)

// openLog starts the access log. A file is opened again on SIGHUP, after it was rotated.
func (s *server) openLog(stdout io.Writer) (err error) {
	format := origin.LogCombined
	if s.opts.logJSON {
		format = origin.LogJSON
	}
	switch name := s.opts.accessLog; name {
	case "":
		return nil
	case "-":
		s.log, err = origin.NewLog(format, func() (io.WriteCloser, error) { return nopCloser{stdout}, nil })
	default:
		s.log, err = origin.NewLog(format, func() (io.WriteCloser, error) {
			return os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		})
	}
	if err != nil {
		return fmt.Errorf("--access-log: %w; name a file that may be written to, or - for standard output", err)
	}
	s.closers = append(s.closers, s.log.Close)
	return nil
}

// nopCloser keeps standard output open when the log closes.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// openOrigin makes the origin and its listeners on the stack.
func (s *server) openOrigin() (err error) {
	mode, err := ktls.ParseMode(s.opts.tls.TLS)
	if err != nil {
		return err
	}
	opts := origin.Options{
		Catalogue: s.catalogue, Cache: s.cache, Wall: time.Now, Mode: mode,
		Log: s.log, Listing: s.opts.listing, FastOpen: s.opts.link.FastOpen, NIC: s.link.sealer(),
		MaxRexmit: float64(s.opts.link.MaxRexmit),
	}
	s.opts.link.paceFlags.applyOrigin(&opts)
	if s.certs != nil {
		opts.TLS = &ktls.ServerConfig{Certs: s.certs, MinVersion: ktls.TLS12}
		if s.opts.tls.Min == "1.3" {
			opts.TLS.MinVersion = ktls.TLS13
		}
	}
	if s.origin, err = origin.New(opts); err != nil {
		return err
	}
	if s.https != portOff {
		if err := s.origin.ServeHTTPS(s.stack, anyAddr(s.https)); err != nil {
			return err
		}
	}
	if s.http != portOff {
		return s.origin.ServeHTTP(s.stack, anyAddr(s.http))
	}
	return nil
}

// anyAddr is a port on every address of the stack.
func anyAddr(p port) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(p)) }
