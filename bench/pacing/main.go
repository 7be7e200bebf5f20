// Command pacing measures what pacing costs: the CPU seconds that a shard spends for each GB it sends, paced and
// unpaced, with the same number of connections over the same paths:
//
//		go run ./bench/pacing [--cells 40x100Mbps,160x25Mbps,800x5Mbps,4000x1Mbps] [--burst 1ms] [--tls] [--time 3s] [--rounds 3]
//
//	 1. A stack of one shard sends without end, from bytes that stay in cache: nothing but the stack, one copy and, with
//	    --tls, the sealing of records is measured.
//	 2. Beyond its link is a path for each connection: a bottleneck of its rate, a round trip of 20 ms, a receiver that
//	    acknowledges every second segment. They come at no cost: the shard runs on a virtual clock, which goes on by the
//	    CPU time that the shard took, as on a core of its own, and from there to the next event.
//	 3. Each cell is measured three ways, in turn, as often as --rounds says: "clocked", so that ACKs let segments go;
//	    "paced" over the same paths, at the rate by SO_MAX_PACING_RATE, which carries the same bytes at the same rates;
//	    and "flat out" with no path at all, where each frame is acknowledged at once.
//	 4. What is measured is the CPU time of the shard's turns, and 3 us for each sleep. What is printed are medians, and
//	    the ratio to clocked.
//
// It needs no privileges.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack"
)

// A cell is so many connections; rate 0 is no path between.
type cell struct {
	conns int
	rate  pacing.Rate
	paced bool
	burst time.Duration
	stack string
	tls   bool
}

type options struct {
	cells         string
	length, burst time.Duration
	rounds        int
	stack         string
	tls, flat     bool
}

func main() {
	var o options
	flag.StringVar(&o.cells, "cells", "40x100Mbps,160x25Mbps,800x5Mbps,4000x1Mbps", "connections x rate, separated by commas")
	flag.DurationVar(&o.length, "time", 3*time.Second, "how long each measurement takes")
	flag.DurationVar(&o.burst, "burst", pacing.Burst, "how much of the rate leaves in one burst")
	flag.IntVar(&o.rounds, "rounds", 3, "measurements of each cell")
	flag.StringVar(&o.stack, "stack", tcpstack.FunctionsRack, "TCP implementation of the paced connections; the others run base, which is not paced")
	flag.BoolVar(&o.flat, "flat", true, "measure flat out too")
	flag.BoolVar(&o.tls, "tls", false, "send TLS records, sealed when they leave")
	flag.Parse()
	if err := compareAll(&o); err != nil {
		fmt.Fprintln(os.Stderr, "pacing:", err)
		os.Exit(1)
	}
}

func compareAll(o *options) error {
	runtime.LockOSThread()
	calibrate()
	fmt.Printf("%22s %9s %6s %10s %10s %10s %10s %7s\n", "", "CPU-s/GB", "Gb/s", "frames/GB", "ACKs/GB", "sleeps/GB", "KiB/frame", "ratio")
	for _, text := range strings.Split(o.cells, ",") {
		c, err := parseCell(text)
		if err != nil {
			return err
		}
		c.tls = o.tls
		if err := c.compare(text, o); err != nil {
			return err
		}
	}
	return nil
}

// compare measures a cell each way, in turn.
func (c cell) compare(name string, o *options) error {
	flat, clocked, paced := c, c, c
	flat.rate, flat.stack, clocked.stack = 0, tcpstack.FunctionsBase, tcpstack.FunctionsBase
	paced.paced, paced.burst, paced.stack = true, o.burst, o.stack
	names, ways := []string{"clocked", "paced", "flat out"}, []cell{clocked, paced, flat}
	if !o.flat {
		ways = ways[:2]
	}
	all := make([][]figure, len(ways))
	for range o.rounds {
		for i, way := range ways {
			f, err := measure(way, o.length)
			if err != nil {
				return err
			}
			all[i] = append(all[i], f)
		}
	}
	base := median(all[0]).cost()
	for i := range ways {
		f := median(all[i])
		f.print(name+" "+names[i], f.cost()/base)
	}
	return nil
}

func (f figure) print(name string, ratio float64) {
	gb := float64(max(f.bytes, 1)) / 1e9
	fmt.Printf("%22s %9.3f %6.2f %10.0f %10.0f %10.0f %10.1f %7.2f\n", name, f.cost(), gb*8/f.wall.Seconds(),
		float64(f.frames)/gb, float64(f.acks)/gb, float64(f.sleeps)/gb, float64(f.bytes)/1024/float64(max(f.frames, 1)), ratio)
}

func parseCell(text string) (c cell, err error) {
	n, rate, _ := strings.Cut(text, "x")
	conns, err := strconv.Atoi(n)
	r, ok := parseRate(rate)
	if err != nil || !ok || conns < 1 || conns > 60_000 {
		return c, fmt.Errorf("%q: want connections x rate, such as 40x100Mbps", text)
	}
	return cell{conns: conns, rate: r}, nil
}
