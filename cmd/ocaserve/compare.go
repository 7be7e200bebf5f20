package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ocaserve/ktls"
	comparison "ocaserve/loadtest/compare"
	"ocaserve/nicoffload"
	"ocaserve/tcpstack/link/fault"
)

type compareFlags struct {
	Modes    []string      `default:"off,user,inline,nic" placeholder:"MODE,..." help:"TLS modes to compare: off, user, inline, nic (${default})."`
	Loss     []string      `default:"0,0.1%,1%,3%" placeholder:"SHARE,..." help:"Shares of packets that the wire loses, in each direction (${default})."`
	Conns    []int         `default:"64" placeholder:"N,..." help:"Connections at once (${default})."`
	Cipher   string        `default:"aes128gcm" help:"aes128gcm, aes256gcm or chacha20 (${default})."`
	Version  string        `name:"tls-version" default:"1.3" help:"TLS version, 1.3 or 1.2 (${default})."`
	Net      string        `default:"memory" placeholder:"LINK" help:"memory, a cable in this process, or tun, with clients of the kernel in a network namespace of their own, which needs root (${default})."`
	Size     size          `default:"4MiB" help:"Size of the file that is asked for again and again (${default})."`
	Duration time.Duration `default:"400ms" help:"Length of one measurement (${default})."`
	Rounds   int           `default:"3" help:"Measurements of each kind; the modes take turns, medians and spread are shown (${default})."`
	RTT      time.Duration `name:"rtt" default:"0s" help:"Round trip that the wire adds."`
	NIC      string        `name:"nic" placeholder:"SPEC" help:"The emulated adapter, in all modes: contexts=1024,bus=16GB/s,setup=50us,..."`
	rexmitFlags
	Seed uint64 `default:"1" help:"Same seed, same packets lost."`
	JSON string `name:"json" placeholder:"FILE|-" help:"Write all rounds, medians and the verdict as JSON."`
	HTML string `name:"html" placeholder:"FILE" help:"Write a page with charts, the table and the verdict; it needs nothing from outside."`
}

// run compares, and prints what was measured until a signal if one comes.
func (f *compareFlags) run(ctx context.Context, stdout io.Writer) error {
	opts, err := f.options()
	if err != nil {
		return err
	}
	files, err := f.files()
	defer files.drop()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	bar := newProgress(os.Stderr)
	opts.Progress = bar.show
	report, err := comparison.Run(ctx, opts)
	bar.end()
	if report == nil {
		return interrupted(ctx, err)
	}
	report.Command = f.command()
	if err := errors.Join(f.print(report, stdout), files.fill(report)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		fmt.Fprintf(os.Stderr, "interrupted: the figures are of %d of %d measurements\n", report.Done(), report.Planned())
		return nil
	}
	return err
}

// interrupted says of a comparison that was ended before anything was measured what people want to know.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted before the first measurement was finished")
	}
	return err
}

// options reads the flags.
func (f *compareFlags) options() (o comparison.Options, err error) {
	o = comparison.Options{
		Conns: f.Conns, Net: f.Net, Size: int64(f.Size), Duration: f.Duration, Rounds: f.Rounds, RTT: f.RTT, Seed: f.Seed,
		MaxRexmit: float64(f.MaxRexmit),
	}
	if err := f.notEmpty(); err != nil {
		return o, err
	}
	for _, s := range f.Modes {
		m, err := ktls.ParseMode(s)
		if err != nil {
			return o, usagef("--modes: %w", err)
		}
		o.Modes = append(o.Modes, m)
	}
	for _, s := range f.Loss {
		p, err := fault.ParseShare(s)
		if err != nil {
			return o, usagef("--loss %s: %w", s, err)
		}
		o.Loss = append(o.Loss, p)
	}
	if o.Cipher, err = comparison.ParseCipher(f.Cipher); err != nil {
		return o, usagef("--cipher: %w", err)
	}
	versions := map[string]ktls.Version{"1.3": ktls.TLS13, "1.2": ktls.TLS12}
	if o.Version = versions[f.Version]; o.Version == 0 {
		return o, usagef("--tls-version %s: use 1.3 or 1.2", f.Version)
	}
	if o.NIC, err = f.adapter(); err != nil {
		return o, err
	}
	if err := o.Check(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

// adapter reads --nic, which says what adapter there is, not whether.
func (f *compareFlags) adapter() (nicoffload.Config, error) {
	cfg, err := nicConfig(cmp.Or(f.NIC, "on"), "")
	switch {
	case err != nil:
		return nicoffload.Config{}, err
	case cfg == nil:
		return nicoffload.Config{}, usagef("--nic off: every mode is measured behind the adapter; leave nic out of --modes if it is not to seal")
	}
	cfg.Log = nil // what it says of itself is in the figures
	return *cfg, nil
}

// notEmpty refuses what the comparison would take for a wish for its defaults.
func (f *compareFlags) notEmpty() error {
	switch {
	case len(f.Modes) == 0:
		return usagef("--modes: name one or more of off, user, inline and nic, such as --modes inline,nic")
	case len(f.Loss) == 0:
		return usagef("--loss: name one share or more, such as --loss 0,1%%")
	case len(f.Conns) == 0:
		return usagef("--conns: name one number or more, such as --conns 64")
	case f.Rounds == 0:
		return usagef("--rounds 0: use 1 or more")
	case f.Duration == 0:
		return usagef("--duration 0s: use 10ms or more")
	case f.Net == "":
		return usagef("--net: use memory or tun")
	}
	return nil
}

// print shows the report. With --json - there is no table: standard output is for a program.
func (f *compareFlags) print(r *comparison.Report, stdout io.Writer) error {
	if f.JSON == "-" {
		return r.WriteJSON(stdout)
	}
	r.WriteTable(stdout)
	return nil
}

// reportFiles are what a report goes to.
type reportFiles []reportFile

type reportFile struct {
	*outFile
	flag  string
	write func(*comparison.Report, io.Writer) error
}

// files opens those that are asked for, before a comparison that may take long.
func (f *compareFlags) files() (list reportFiles, err error) {
	if f.JSON != "" && f.JSON == f.HTML {
		return nil, usagef("--json and --html are one file: name two")
	}
	for _, r := range []struct {
		flag, name string
		write      func(*comparison.Report, io.Writer) error
	}{{"--json", f.JSON, (*comparison.Report).WriteJSON}, {"--html", f.HTML, (*comparison.Report).WriteHTML}} {
		if r.name == "" || r.flag == "--json" && r.name == "-" {
			continue
		}
		o, err := newOutFile(r.name)
		if err != nil {
			return list, fmt.Errorf("%s: %w; name a file that may be written to", r.flag, err)
		}
		list = append(list, reportFile{o, r.flag, r.write})
	}
	return list, nil
}

func (l reportFiles) fill(report *comparison.Report) (err error) {
	for _, f := range l {
		if e := f.fill(func(w io.Writer) error { return f.write(report, w) }); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f.flag, e))
		}
	}
	return err
}

func (l reportFiles) drop() {
	for _, f := range l {
		f.drop()
	}
}

// command is what was typed.
func (f *compareFlags) command() string {
	words := []string{"ocaserve"}
	for _, a := range os.Args[1:] {
		words = append(words, shellWord(a))
	}
	return strings.Join(words, " ")
}

// A progress is a line on a terminal that is written over, or plain lines elsewhere.
type progress struct {
	w        *os.File
	terminal bool
	shown    bool
}

func newProgress(w *os.File) *progress {
	info, err := w.Stat()
	return &progress{w: w, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) show(at comparison.Progress) {
	text := fmt.Sprintf("%d of %d: round %d, %v, loss %s, %d connections, %v left", at.Done+1, at.Total, at.Round,
		at.Cell.Mode, strconv.FormatFloat(100*at.Cell.Loss, 'g', 4, 64)+"%", at.Cell.Conns, at.Left.Round(time.Second))
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(p.w, text)
	}
	p.shown = true
}

// end takes the line away.
func (p *progress) end() {
	if p.terminal && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
