package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/shape"
)

type linkFlags struct {
	A        string        `name:"a" required:"" placeholder:"[NETNS:]IF[,ADDR/LEN...]" help:"One end: an interface to make, or a TUN or TAP that exists, in a named network namespace or in this one, with addresses to give it."`
	B        string        `name:"b" required:"" placeholder:"[NETNS:]IF[,ADDR/LEN...]" help:"The other end."`
	TAP      bool          `name:"tap" help:"Make TAPs, which carry Ethernet; without it TUNs, which carry IP."`
	MTU      int           `name:"mtu" default:"1500" help:"MTU of both interfaces (${default})."`
	Both     string        `name:"both" placeholder:"SPEC" help:"Shape each direction: rate=100Mbps,delay=10ms,jitter=1ms,loss=1%,reorder=2%,reorder-by=5ms,dup=1%,queue=1bdp,aqm=codel,police=50Mbps. loss=1%/5 comes in bursts of 5; queue is in BDPs, bytes (64KiB) or packets (100p)."`
	AB       string        `name:"ab" placeholder:"SPEC" help:"What differs from A to B."`
	BA       string        `name:"ba" placeholder:"SPEC" help:"What differs from B to A."`
	Seed     uint64        `default:"1" help:"Same seed, same fate of the n-th packet of a direction."`
	Duration time.Duration `help:"End after this time; without it on SIGINT or SIGTERM."`
	JSON     string        `name:"json" placeholder:"FILE|-" help:"Write the counters at the end as JSON."`
	Realtime bool          `default:"true" negatable:"" help:"Run in the scheduler's FIFO class where permitted, so that others' load does not delay packets."`
}

// config reads what the user wants of the link.
func (f *linkFlags) config() (shape.Config, error) {
	c := shape.Config{Seed: f.Seed}
	if f.TAP {
		c.Medium = link.MediumEthernet
	}
	both, err := shape.ParsePath(shape.Path{}, f.Both)
	if err != nil {
		return c, usagef("--both: %w", err)
	}
	if c.AB, err = shape.ParsePath(both, f.AB); err != nil {
		return c, usagef("--ab: %w", err)
	}
	if c.BA, err = shape.ParsePath(both, f.BA); err != nil {
		return c, usagef("--ba: %w", err)
	}
	if f.MTU < 576 || f.MTU > 65535 {
		return c, usagef("--mtu %d is out of range; use 576 to 65535", f.MTU)
	}
	if f.Duration < 0 {
		return c, usagef("--duration %v is negative; leave it out to run until SIGINT", f.Duration)
	}
	return c, nil
}

// ends reads what the user wants joined.
func (f *linkFlags) ends() (ends [2]*linkEnd, err error) {
	for i, text := range []string{f.A, f.B} {
		if ends[i], err = parseLinkEnd(text); err != nil {
			return ends, usagef("--%c: %w", 'a'+i, err)
		}
	}
	if ends[0].ns == ends[1].ns && ends[0].name == ends[1].name {
		return ends, usagef("--a and --b are both %s; a link joins two interfaces", ends[0])
	}
	return ends, nil
}

// run joins the interfaces until a signal or the end of the duration, then says what happened.
func (f *linkFlags) run(ctx context.Context, stdout io.Writer) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ends, err := f.ends()
	if err != nil {
		return err
	}
	talk, result, err := f.outputs(stdout)
	if err != nil {
		return err
	}
	for _, e := range ends {
		if err := e.open(f.TAP, f.MTU); err != nil {
			return err
		}
		defer e.close()
	}
	l := shape.NewLoop(cfg, ends[0].device, ends[1].device)
	if err := f.loop(ctx, l, ends, talk); err != nil {
		return fmt.Errorf("the link failed: %w", err)
	}
	return errors.Join(f.report(l.Report(), result), result.Close())
}

// outputs opens what the counters go to, before the link runs, so that a mistake shows at once; and says where to
// talk: not on standard output if that is to be JSON.
func (f *linkFlags) outputs(stdout io.Writer) (talk io.Writer, result io.WriteCloser, err error) {
	switch f.JSON {
	case "":
		return stdout, nopCloser{stdout}, nil
	case "-":
		return os.Stderr, nopCloser{stdout}, nil
	}
	file, err := os.Create(f.JSON)
	if err != nil {
		return nil, nil, fmt.Errorf("--json: %w", err)
	}
	return stdout, file, nil
}

// loop runs the link.
func (f *linkFlags) loop(ctx context.Context, l *shape.Loop, ends [2]*linkEnd, stdout io.Writer) error {
	if f.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.Duration)
		defer cancel()
	}
	// Packets are recycled: what is there to collect is not worth a pause, unless queues have no bounds.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	return l.Run(ctx, f.Realtime, func(prioritized bool) {
		how := ""
		if f.Realtime && !prioritized {
			how = "; no permission for the FIFO class: other load may delay packets"
		}
		fmt.Fprintf(stdout, "linking %s and %s%s; Ctrl-C ends it\n", ends[0], ends[1], how)
	})
}

// report prints the counters for a person or, where asked for, for a program.
func (f *linkFlags) report(r shape.Report, w io.Writer) error {
	if f.JSON != "" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	_, err := fmt.Fprintf(w, "a->b %s\nb->a %s\n%s\n", countersLine(r.AB), countersLine(r.BA), lateLine(r.Lateness))
	return err
}

func lateLine(l shape.LatenessSummary) string {
	return fmt.Sprintf("late: p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us, of %d packets",
		l.P50, l.P99, l.P999, l.Max, l.Packets)
}

// countersLine names what is not zero.
func countersLine(c shape.Counters) string {
	parts := []string{fmt.Sprintf("%d packets, %s, %d delivered", c.Packets, size(c.Bytes), c.Delivered)}
	for _, n := range []struct {
		count uint64
		what  string
	}{
		{c.Policed, "policed"}, {c.QueueDrops, "dropped by the queue"}, {c.Marked, "marked"}, {c.Lost, "lost"},
		{c.Reordered, "reordered"}, {c.Duplicated, "duplicated"}, {c.Held, "under way"},
		{c.Refused, "refused by the device"}, {c.Bad, "malformed"},
	} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if c.MaxQueue > 0 {
		parts = append(parts, "longest queue "+size(c.MaxQueue).String())
	}
	return strings.Join(parts, ", ")
}
