package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/script"
)

type pktFlags struct {
	Files    []string `arg:"" name:"file" help:"packetdrill scripts."`
	CC       string   `name:"cc" placeholder:"NAME" help:"Congestion control, unless the script sets it."`
	Trailing bool     `help:"Packets that the stack has sent at the end and no line expects are no failure, as in packetdrill."`
	Verbose  bool     `short:"v" help:"Print each event and each packet sent, with its virtual time."`
}

// run runs the scripts against the stack, on a virtual clock: one line each, or the first mismatch.
func (f pktFlags) run(_ context.Context, stdout io.Writer) error {
	if _, err := congestion.New(f.CC, 1460); err != nil {
		return usagef("--cc: %w", err)
	}
	failed := 0
	for _, name := range f.Files {
		ok, err := f.runFile(name, stdout)
		if err != nil {
			return err
		}
		if !ok {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d scripts failed", failed, len(f.Files))
	}
	return nil
}

// runFile runs one script and prints how it went. The error is a script that cannot be read.
func (f pktFlags) runFile(name string, stdout io.Writer) (ok bool, err error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return false, usageError{err}
	}
	o := script.Options{Congestion: f.CC, Trailing: f.Trailing, Print: stdout}
	if f.Verbose {
		o.Trace = stdout
	}
	rep, err := script.Run(name, src, o)
	if err == nil {
		fmt.Fprintf(stdout, "pass %s (%d events, %v)\n", name, rep.Events, rep.Took.Round(time.Microsecond))
		return true, nil
	}
	what := "FAIL"
	if _, unknown := errors.AsType[*script.SyntaxError](err); unknown {
		what = "ERROR"
	}
	fmt.Fprintf(stdout, "%s %v\n", what, err)
	return false, nil
}
