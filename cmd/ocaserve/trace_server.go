package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// seeFlags are a server's: how to look into it.
type seeFlags struct {
	Admin      string `placeholder:"NAME|PATH|off" help:"Socket that ocaserve ss, stack and trace talk to: a name under the user's state folder, or a path. Without it the process's number is the name."`
	Trace      string `placeholder:"FILE" help:"Record connections from the start, for ocaserve trace plot."`
	TraceShare share  `default:"100%" placeholder:"SHARE" help:"Share of the connections that --trace records (${default})."`
}

const traceTick = 200 * time.Millisecond // how often events of quiet connections are asked for

// traceConfig makes a filter and a share into a configuration. The share is of a hash, so that the same
// connection is in or out on every server.
func traceConfig(filter string, part float64) (tcpstack.TraceConfig, error) {
	match, err := parseFilter(filter)
	if err != nil || part >= 1 {
		return tcpstack.TraceConfig{Match: match}, err
	}
	limit := uint32(part * math.MaxUint32)
	return tcpstack.TraceConfig{Match: func(f *wire.Flow) bool {
		h := wire.SymmetricHash(f.Remote, f.Local, f.RemotePort, f.LocalPort) // which chose the shard: mix it
		return h*2654435761 <= limit && match(f)
	}}, nil
}

// writeTrace writes what t records to w, until t has been stopped.
func writeTrace(ctx context.Context, t *tcpstack.Tracer, w io.Writer) error {
	defer t.Stop()
	out, err := trace.NewWriter(w, trace.Header{Program: versionLine(), Wall: time.Now(), Mono: mono.Now()})
	if err != nil {
		return err
	}
	tick := time.NewTicker(traceTick)
	defer tick.Stop()
	return t.Write(ctx, out, tick.C)
}

// traceVerb sends a record until the client closes its half.
func traceVerb(ctx context.Context, s *server, r *adminRequest) error {
	var args traceArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	cfg, err := traceConfig(args.Filter, args.Share)
	if err != nil {
		return err
	}
	t, err := s.stack.StartTrace(cfg)
	if errors.Is(err, tcpstack.ErrTracing) {
		return fmt.Errorf("%w, by another client or by --trace; end that first", err)
	}
	if err != nil {
		return err
	}
	defer t.Stop()
	w, err := r.Raw()
	if err != nil {
		return err
	}
	go func() {
		r.Hangup()
		t.Stop()
	}()
	return writeTrace(ctx, t, w)
}

// openTrace makes the file of --trace; startTrace begins to fill it, and it is whole when the stack has stopped.
func (s *server) openTrace() (err error) {
	f := s.opts.link.seeFlags
	if f.Trace == "" {
		return nil
	}
	if s.traceFile, err = os.Create(f.Trace); err != nil {
		return fmt.Errorf("--trace: %w", err)
	}
	s.closers = append(s.closers, func() error {
		s.tracing.Wait()
		return s.traceFile.Close()
	})
	return nil
}

func (s *server) startTrace() error {
	if s.traceFile == nil {
		return nil
	}
	cfg, err := traceConfig("", float64(s.opts.link.TraceShare))
	if err != nil {
		return err
	}
	t, err := s.stack.StartTrace(cfg)
	if err != nil {
		return err
	}
	s.tracing.Go(func() {
		if err := writeTrace(context.Background(), t, s.traceFile); err != nil {
			fmt.Fprintln(os.Stderr, "ocaserve: --trace:", oneLine(err))
		}
	})
	return nil
}
