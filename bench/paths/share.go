package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// shareSize is more than a flow gets through the bottleneck while it is measured: a file without blocks.
const shareSize = 8 << 30

// sharePaths are the bottlenecks that two flows share.
var sharePaths = []cell{
	{RTT: ms(20), BDPs: 1}, {RTT: ms(20), BDPs: 4}, {RTT: ms(100), BDPs: 1},
}

// shareAll lets a flow of each of two servers share each bottleneck, and prints what they got. The flows begin one after
// the other, the first server's first in every second repeat; the first of three parts of the time does not count. Which
// two is in o.between: of the same server twice, they tell how even flows can be that are alike.
func shareAll(ctx context.Context, dir string, o options) error {
	f, err := os.Create(filepath.Join(dir, "www", strconv.Itoa(shareSize)))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(shareSize); err != nil {
		return err
	}
	w, err := newWorld(ctx, 0, dir, o)
	defer w.close()
	if err != nil {
		return err
	}
	x, y, _ := strings.Cut(o.between, ":")
	fmt.Printf("| path | cc | %s, mean Mb/s | %s, mean Mb/s | Jain's index of the means | of each repeat |\n|---|---|---|---|---|---|\n", x, y)
	for _, c := range sharePaths {
		if !strings.HasPrefix(c.name(), o.cells) {
			continue
		}
		for i, cc := range o.ccs {
			if err := w.shareCell(ctx, &c, i, cc, o); err != nil {
				return fmt.Errorf("%s, %s: %w", c.name(), cc, err)
			}
		}
	}
	return nil
}

// shareCell prints the mean of all repeats, in which each server begins as often as the other, and Jain's index of each.
func (w *world) shareCell(ctx context.Context, c *cell, i int, cc string, o options) error {
	urls, err := between(o.between, i)
	if err != nil {
		return err
	}
	var x, y float64
	var each []string
	for n := range o.repeats {
		rates, err := w.shareOnce(ctx, c, n+1, urls, n%2, o)
		if err != nil {
			return err
		}
		x, y = x+rates[0]/float64(o.repeats), y+rates[1]/float64(o.repeats)
		each = append(each, fmt.Sprintf("%.3f (%.1f : %.1f)", jain(rates[0], rates[1]), rates[0], rates[1]))
	}
	fmt.Printf("| %s | %s | %.1f | %.1f | %.3f | %s |\n", strings.TrimSuffix(c.name(), ", 0 KiB"), cc, x, y, jain(x, y), strings.Join(each, ", "))
	return nil
}

// jain is Jain's index of fairness of two rates: 1 if they are equal, 1/2 if one has everything.
func jain(x, y float64) float64 { return (x + y) * (x + y) / (2 * (x*x + y*y)) }

// between returns the URLs of the two flows, for congestion control i.
func between(servers string, i int) (urls []string, err error) {
	for name := range strings.SplitSeq(servers, ":") {
		switch name {
		case "ocaserve":
			urls = append(urls, oursURL(i, shareSize))
		case "Linux":
			urls = append(urls, linuxURL(i, shareSize))
		default:
			return nil, fmt.Errorf("-between %s: use two of ocaserve and Linux, as ocaserve:Linux", servers)
		}
	}
	if len(urls) != 2 {
		return nil, fmt.Errorf("-between %s: use two servers, as ocaserve:Linux", servers)
	}
	return urls, nil
}

// shareOnce returns what each URL got, in Mb/s, over the last two thirds of --share.
func (w *world) shareOnce(ctx context.Context, c *cell, seed int, urls []string, first int, o options) ([]float64, error) {
	d := o.share
	l, err := w.link(ctx, c, seed)
	if err != nil {
		return nil, err
	}
	defer l.end() //nolint:errcheck // its report is not asked for
	if o.pcap != "" {
		stop, err := w.capture(filepath.Join(o.pcap, fmt.Sprintf("share %s %d.pcap", c.name(), seed)))
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	flows := make([]*meter, len(urls))
	for k := range urls {
		n := (first + k) % len(urls)
		flows[n] = new(meter)
		cmd := exec.CommandContext(ctx, "ip", "netns", "exec", w.client, "curl", "-sS", "--http1.1", urls[n])
		cmd.Stdout = flows[n]
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		wg.Go(func() { cmd.Wait() }) //nolint:errcheck // it is ended by cancel
		time.Sleep(time.Second)
	}
	rates := make([]float64, len(urls))
	if err := pause(ctx, d/3); err != nil {
		return nil, err
	}
	for n, f := range flows {
		rates[n] = -float64(f.count())
	}
	if err := pause(ctx, d-d/3); err != nil {
		return nil, err
	}
	for n, f := range flows {
		if rates[n] += float64(f.count()); rates[n] <= 0 {
			return nil, fmt.Errorf("%s: nothing arrived", urls[n])
		}
		rates[n] *= 8 / 1e6 / (d - d/3).Seconds()
	}
	return rates, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A meter counts what is written to it.
type meter struct {
	mu sync.Mutex
	n  int64
}

func (m *meter) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += int64(len(b))
	return len(b), nil
}

func (m *meter) count() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}
