// Command paths compares ocaserve's TCP with Linux's over the same emulated paths:
//
//		go run ./bench/paths [--repeats 5] [--cc cubic,bbr] [--cells 100ms] [--quick] [--json FILE]
//
//	 1. Each of a few workers makes two network namespaces. In one run the servers, all of the same files over
//	    plain HTTP: nginx, one per congestion control, on the kernel's TCP, and ocaserve, one per congestion
//	    control, on its own. In the other is the client, curl on the kernel's TCP (world.go).
//	 2. `ocaserve link` joins the two, afresh for every fetch, with the cell's path and the repeat's seed, so
//	    that the n-th packet of either server meets the same fate (measure.go). ocaserve's packets are
//	    forwarded by the kernel from its TUN to the link's; nginx's start at the link's.
//	 3. A cell is a path and a size (cells.go). Its servers take turns, repeat by repeat.
//	 4. With --share two servers send at the same time instead, one flow each (share.go).
//	 5. The medians are printed side by side, with the emulator's own lateness (report.go).
//
// It needs root, nginx, curl and iproute2, and touches nothing outside its namespaces.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	repeats int
	workers int
	budget  float64
	ccs     []string
	cells   string
	quick   bool
	json    string
	pcap    string
	stack   string
	share   time.Duration
	between string // with share: the two servers
}

func main() {
	var o options
	ccs := flag.String("cc", "cubic,bbr", "congestion controls, of both servers; ocaserve's newreno is Linux's reno")
	flag.IntVar(&o.repeats, "repeats", 5, "fetches per cell and server; the median counts")
	flag.IntVar(&o.workers, "workers", 8, "cells that are measured at the same time at most, each between namespaces of its own")
	flag.Float64Var(&o.budget, "budget", 220, "Mb/s that all cells measured at a time may take together, so that the machine is not the limit")
	flag.StringVar(&o.cells, "cells", "", "measure only the cells whose name begins with one of these texts, separated by semicolons")
	flag.BoolVar(&o.quick, "quick", false, "every fourth cell, twice")
	flag.StringVar(&o.json, "json", "", "also write every fetch to this file")
	flag.StringVar(&o.pcap, "pcap", "", "capture each fetch at the server's end, headers only, into this folder")
	flag.StringVar(&o.stack, "stack", "rack", "ocaserve's TCP: rack or base")
	flag.DurationVar(&o.share, "share", 0, "instead, let a long flow of each server share one bottleneck for so long, and tell how fair they are")
	flag.StringVar(&o.between, "between", "ocaserve:Linux", "with -share: the servers of the two flows")
	flag.Parse()
	o.ccs = strings.Split(*ccs, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "paths:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root, to make network namespaces: run it with sudo")
	}
	for _, n := range []string{"nginx", "curl", "ip", "go", "sysctl"} {
		if _, err := exec.LookPath(n); err != nil {
			return fmt.Errorf("%s is not installed: apt-get install nginx-light curl iproute2 procps", n)
		}
	}
	dir, err := os.MkdirTemp("", "ocaserve-paths-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := prepare(ctx, dir); err != nil {
		return err
	}
	if o.share > 0 {
		return shareAll(ctx, dir, o)
	}
	cells := selectCells(o)
	if len(cells) == 0 {
		return fmt.Errorf("no cell's name begins with one of %q; they are like %q", o.cells, allCells()[0].name())
	}
	results, err := measureAll(ctx, dir, cells, o)
	if err != nil {
		return err
	}
	return report(os.Stdout, results, o)
}

// selectCells applies --cells and --quick.
func selectCells(o options) []cell {
	var list []cell
	for i, c := range allCells() {
		words := strings.Split(o.cells, ";")
		if o.cells != "" && !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(c.name(), w) }) {
			continue
		}
		if !o.quick || o.cells != "" || i%4 == 1 {
			list = append(list, c)
		}
	}
	return list
}

// A job is a cell for one congestion control.
type job struct {
	index int
	cell  cell
	cc    string
}

// measureAll lets the workers take cells from a list. The first error ends all.
func measureAll(ctx context.Context, dir string, cells []cell, o options) ([]result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var jobs []job
	for _, cc := range o.ccs {
		for _, c := range cells {
			jobs = append(jobs, job{len(jobs), c, cc})
		}
	}
	// The slow ones first, so that none is left over at the end.
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(a.cell.expected(), b.cell.expected()) })
	s := &schedule{todo: jobs, budget: o.budget * 1e6 / 8}
	s.changed.L = &s.mu
	results := make([]result, len(jobs))
	var wg sync.WaitGroup
	for i := range min(o.workers, len(jobs)) {
		wg.Go(func() {
			if err := work(ctx, i, dir, s, results, o); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	fmt.Fprintf(os.Stderr, "\r%70s\r", "")
	return results, context.Cause(ctx)
}

// A schedule hands out jobs as long as the machine has room for them.
type schedule struct {
	mu      sync.Mutex
	changed sync.Cond
	todo    []job
	budget  float64 // bytes per second that may be expected at a time
	used    float64
}

// take waits for room for the next job; false: there is none left.
func (s *schedule) take() (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.todo) > 0 {
		j = s.todo[0]
		if s.used == 0 || s.used+j.cell.expected() <= s.budget {
			s.todo = s.todo[1:]
			s.used += j.cell.expected()
			fmt.Fprintf(os.Stderr, "\r%3d left, %-60s", len(s.todo), j.cc+" "+j.cell.name())
			return j, true
		}
		s.changed.Wait()
	}
	return j, false
}

// done makes room.
func (s *schedule) done(j job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= j.cell.expected()
	if s.used < 1 { // rounding must not keep the last jobs out
		s.used = 0
	}
	s.changed.Broadcast()
}

// work makes a world and measures jobs in it until there are none left.
func work(ctx context.Context, number int, dir string, s *schedule, results []result, o options) error {
	w, err := newWorld(ctx, number, dir, o)
	defer w.close()
	if err != nil {
		return err
	}
	for {
		j, ok := s.take()
		if !ok || ctx.Err() != nil {
			return nil // if it has ended, the cause is known
		}
		results[j.index], err = w.measure(ctx, j, o)
		s.done(j)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", j.cell.name(), j.cc, err)
		}
	}
}
