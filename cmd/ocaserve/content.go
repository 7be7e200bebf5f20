package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ocaserve/content"
)

type contentFlags struct {
	Gen genFlags `cmd:"" help:"Generate a catalogue whose every byte can be recomputed from its name and offset."`
}

type genFlags struct {
	Dir      string        `arg:"" name:"dir" help:"Folder to generate into; made if missing."`
	Titles   int           `default:"1" placeholder:"N" help:"How many titles (${default})."`
	Duration time.Duration `default:"60s" help:"Length of each, rounded up to whole segments of 4 s (${default})."`
	Ladder   string        `placeholder:"SPEC" help:"Renditions, as 360p-800k,720p-3000k,1080p-6000k."`
	Files    []size        `placeholder:"SIZE" help:"Plain files of these sizes beside the titles, as 64k,1GiB."`
}

// run generates; interrupted, it goes on from there the next time.
func (f *genFlags) run(ctx context.Context, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	opts, err := f.options()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return fmt.Errorf("cannot generate into %s: %w; name a folder that may be written to", f.Dir, err)
	}
	var written int64
	opts.Progress = func(done, _ int64) { written = done }
	if err := content.Gen(ctx, f.Dir, opts); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted; the same command goes on from there")
		}
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %s, %d titles and %d files; ocaserve serve %[1]s serves it\n", f.Dir, size(written), f.Titles, len(opts.Files))
	return err
}

func (f *genFlags) options() (content.GenOptions, error) {
	opts := content.GenOptions{Titles: f.Titles, Duration: f.Duration}
	if f.Titles < 0 || f.Titles == 0 && len(f.Files) == 0 {
		return opts, usagef("--titles %d leaves nothing to generate", f.Titles)
	}
	if f.Titles == 0 {
		opts.Titles = -1
	}
	if f.Duration <= 0 {
		return opts, usagef("--duration %v is not a length; write 60s or 10m", f.Duration)
	}
	for _, s := range f.Files {
		opts.Files = append(opts.Files, int64(s))
	}
	if f.Ladder != "" {
		ladder, err := content.ParseLadder(f.Ladder)
		if err != nil {
			return opts, usagef("--ladder: %w", err)
		}
		opts.Ladder = ladder
	}
	return opts, nil
}
