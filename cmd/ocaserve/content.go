package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

type contentFlags struct {
	Gen genFlags `cmd:"" help:"Generate a catalogue whose every byte can be recomputed from its name and offset."`
}

type genFlags struct {
	Dir      string        `arg:"" name:"dir" help:"Folder to generate into; made if missing."`
	Titles   int           `default:"1" placeholder:"N" help:"How many titles (${default})."`
	Duration time.Duration `default:"60s" help:"Length of a title (${default})."`
	Segment  time.Duration `default:"4s" help:"Length of a segment (${default})."`
	Ladder   string        `placeholder:"SPEC" help:"Renditions as HEIGHT@RATE: 360@800k,720@3M,1080@6M."`
}

func (f *genFlags) run(ctx context.Context, stdout io.Writer) error {
	if f.Titles < 1 || f.Duration <= 0 || f.Segment <= 0 || f.Segment > f.Duration {
		return usagef("--titles must be at least 1 and --segment between 0 and --duration")
	}
	return fmt.Errorf("content gen is not wired yet")
}
