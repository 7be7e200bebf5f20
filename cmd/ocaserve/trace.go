package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/trace"
)

type traceFlags struct {
	Start traceStartFlags `cmd:"" help:"Record what connections of a running server do, until Ctrl-C."`
	Plot  tracePlotFlags  `cmd:"" help:"Draw a record: one HTML page with a time-sequence graph, windows, RTT, rates and limits."`
	Text  traceTextFlags  `cmd:"" help:"Print a record, one line per event."`
}

type traceStartFlags struct {
	adminFlags
	Conn  string        `placeholder:"FILTER" help:"Connections to record, as in ss: dport = :5000, dst 192.0.2.7."`
	Share share         `default:"100%" placeholder:"SHARE" help:"Record a share of them, chosen by a hash of addresses and ports: 1%."`
	For   time.Duration `placeholder:"TIME" help:"Stop after a time: 30s."`
	Out   string        `short:"o" required:"" placeholder:"FILE" help:"Where to write the record."`
}

// traceArgs is the request.
type traceArgs struct {
	Filter string  `json:"filter,omitempty"`
	Share  float64 `json:"share,omitempty"`
}

// run has the server send the record; ending it is our half's end of the socket.
func (f *traceStartFlags) run(ctx context.Context, stdout io.Writer) (err error) {
	if _, err := parseFilter(f.Conn); err != nil {
		return usageError{err}
	}
	if f.For < 0 {
		return usagef("--for %v is negative; leave it out to record until Ctrl-C", f.For)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c, err := f.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := sendCall(c, "trace", traceArgs{Filter: f.Conn, Share: float64(f.Share)}); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	if l, err := readLine(in); err != nil || !l.Raw {
		return errors.Join(err, errIf(!l.Raw && err == nil, "the server sends no record"))
	}
	out, err := os.Create(f.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	fmt.Fprintf(stdout, "recording to %s; Ctrl-C ends\n", f.Out)
	if f.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.For)
		defer cancel()
	}
	defer context.AfterFunc(ctx, func() { _ = c.CloseWrite() })()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	t, err := trace.Read(out)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, describeTrace(t))
	return nil
}

func errIf(bad bool, text string) error {
	if bad {
		return errors.New(text)
	}
	return nil
}

func describeTrace(t *trace.Trace) string {
	events, lost := 0, uint64(0)
	for _, c := range t.Conns {
		events, lost = events+len(c.Events), lost+c.Lost
	}
	text := fmt.Sprintf("%d connections, %d events", len(t.Conns), events)
	if len(t.Conns) == 1 {
		text = fmt.Sprintf("1 connection, %d events", events)
	}
	if lost > 0 {
		text += fmt.Sprintf("; %d more were overwritten before they could be written", lost)
	}
	return text
}

type tracePlotFlags struct {
	File string `arg:"" help:"The record."`
	Out  string `short:"o" required:"" placeholder:"FILE.html" help:"The page to write."`
}

func (f *tracePlotFlags) run(_ context.Context, stdout io.Writer) (err error) {
	t, err := readTrace(f.File)
	if err != nil {
		return err
	}
	out, err := os.Create(f.Out)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	if err := errors.Join(trace.Plot(w, t), w.Flush(), out.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %s; open it in a browser\n", f.Out, describeTrace(t))
	return err
}

func readTrace(name string) (*trace.Trace, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, usageError{err}
	}
	defer in.Close()
	t, err := trace.Read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

type traceTextFlags struct {
	File string `arg:"" help:"The record."`
}

func (f *traceTextFlags) run(_ context.Context, stdout io.Writer) error {
	t, err := readTrace(f.File)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(stdout)
	if err := trace.Text(w, t); err != nil {
		return err
	}
	return w.Flush()
}

// A share is a part of the whole: 1%, 0.01.
type share float64

// UnmarshalText reads a share above 0 and up to 100%.
func (s *share) UnmarshalText(b []byte) error {
	v, err := fault.ParseShare(string(b))
	if err != nil || v == 0 {
		return fmt.Errorf("%q is not a share; write more than 0%%, up to 100%%, such as 1%% or 0.01", b)
	}
	*s = share(v)
	return nil
}
