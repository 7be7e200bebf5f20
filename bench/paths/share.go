package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// shareAll lets a flow of each server share each bottleneck, and prints what they got. The flows begin one after the
// other, ocaserve's first in every second repeat; the first of three parts of the time does not count.
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
	fmt.Println("| path | cc | ocaserve Mb/s | Linux Mb/s | Jain's index |\n|---|---|---|---|---|")
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

// shareCell prints the repeat whose index is the median.
func (w *world) shareCell(ctx context.Context, c *cell, i int, cc string, o options) error {
	type pair struct{ ours, linux, jain float64 }
	var all []pair
	for n := range o.repeats {
		rates, err := w.shareOnce(ctx, c, n+1, []string{oursURL(i, shareSize), linuxURL(i, shareSize)}, n%2, o.share)
		if err != nil {
			return err
		}
		x, y := rates[0], rates[1]
		all = append(all, pair{x, y, (x + y) * (x + y) / (2 * (x*x + y*y))})
	}
	slices.SortFunc(all, func(a, b pair) int { return int((a.jain - b.jain) * 1e6) })
	m := all[len(all)/2]
	fmt.Printf("| %s | %s | %.1f | %.1f | %.3f (%.3f..%.3f) |\n", strings.TrimSuffix(c.name(), ", 0 KiB"), cc, m.ours, m.linux, m.jain, all[0].jain, all[len(all)-1].jain)
	return nil
}

// shareOnce returns what each URL got, in Mb/s, over the last two thirds of d.
func (w *world) shareOnce(ctx context.Context, c *cell, seed int, urls []string, first int, d time.Duration) ([]float64, error) {
	l, err := w.link(ctx, c, seed)
	if err != nil {
		return nil, err
	}
	defer l.end() //nolint:errcheck // its report is not asked for
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
