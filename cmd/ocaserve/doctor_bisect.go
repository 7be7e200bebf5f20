package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"ocaserve/loadtest/bisect"
)

// speedRounds is how often each offload is timed, on and off in turns.
const speedRounds = 5

func (f *doctorFlags) bisectOptions() (bisect.Options, error) {
	cfg, err := nicConfig(cmp.Or(f.NIC, "on"), "")
	if err != nil {
		return bisect.Options{}, err
	}
	if cfg == nil {
		return bisect.Options{}, usagef("--nic off leaves no offload to look at")
	}
	cfg.Log = nil // faults that the adapter finds itself are part of what is reported
	opts := bisect.Options{NIC: *cfg, Size: int64(f.Size), Rounds: speedRounds}
	if err := opts.Check(); err != nil {
		return bisect.Options{}, usagef("--size: %w", err)
	}
	return opts, nil
}

// bisect runs the search; something found is a failure, so that scripts can ask.
func (f *doctorFlags) bisect(ctx context.Context, stdout io.Writer) error {
	opts, err := f.bisectOptions()
	if err != nil {
		return err
	}
	if !f.JSON {
		opts.Say = func(line string) { fmt.Fprintln(stdout, line) }
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	r, err := bisect.Run(ctx, opts)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; nothing was concluded")
	}
	if err != nil {
		return err
	}
	return f.report(r, stdout)
}

func (f *doctorFlags) report(r *bisect.Report, stdout io.Writer) error {
	if f.JSON {
		if err := r.WriteJSON(stdout); err != nil {
			return err
		}
	}
	if r.Found() {
		return errors.New(r.Verdict)
	}
	if !f.JSON {
		fmt.Fprintln(stdout, r.Verdict)
	}
	return nil
}
