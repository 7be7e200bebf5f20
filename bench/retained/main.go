// Command retained measures what memory the server keeps for each byte that is sent and not acknowledged, in each TLS
// mode, in the running process:
//
//			go run ./bench/retained [--modes off,user,inline,nic] [--conns 1000] [--json FILE]
//
//	 1. A world is the origin with its cache and a stack of one shard, behind the emulated adapter, and a second stack for
//	    the clients (world.go). They shake hands by crypto/tls. From then on both stacks take their turns on a virtual
//	    clock, and what clients acknowledge takes 100 ms to the server (hold.go).
//		 2. Each client fetches 3 MiB, so that congestion windows grow beyond 1 MiB; then all is acknowledged, and
//		    nothing is asked for. That is the state that the next one is compared with.
//		 3. Each client asks for 1 MiB. All of it is sent, and time stands still before any of it is acknowledged. Clients keep nothing of
//		    what they receive; all connections send the same pages of the cache, which are not counted.
//		 4. Memory is looked at in both states (memory.go): the heap after a collection, the resident memory of the process, and
//		    in a second run, because a profile takes memory itself, every object on the heap by who made it.
//
// Each mode has a process of its own. It needs no privileges, and some 6 GB of memory for 1,000 connections.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"ocaserve/ktls"
)

type options struct {
	modes   string
	conns   int
	json    string
	one     string // measure this mode in this process
	profile bool
}

func main() {
	var o options
	flag.StringVar(&o.modes, "modes", "off,user,inline,nic", "TLS modes, separated by commas")
	flag.IntVar(&o.conns, "conns", 1000, "connections")
	flag.StringVar(&o.json, "json", "", "write the figures to this file")
	flag.StringVar(&o.one, "one", "", "measure this mode in this process, and print JSON")
	flag.BoolVar(&o.profile, "profile", false, "with --one: take the account of objects, not the sums")
	flag.Parse()
	run := compareAll
	if o.one != "" {
		run = measureOne
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "retained:", err)
		os.Exit(1)
	}
}

// A figure is one mode's memory, bytes.
type figure struct {
	Mode     string `json:"mode"`
	Conns    int    `json:"connections"`
	InFlight int64  `json:"in_flight"` // sent and not acknowledged, all connections
	Queued   int64  `json:"queued"`    // appended and not acknowledged

	Heap     int64 `json:"heap_alloc"` // what this added to the heap's objects, after a collection
	HeapUsed int64 `json:"heap_inuse"` // and to the spans that hold them
	RSS      int64 `json:"rss"`        // and to the resident memory of the process

	Account account `json:"account"`
}

// measureOne measures a mode here.
func measureOne(o *options) error {
	mode, err := ktls.ParseMode(o.one)
	if err != nil {
		return err
	}
	if o.profile {
		runtime.MemProfileRate = 1
	}
	f, err := measure(mode, o.conns, o.profile)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// compareAll measures each mode in processes of its own.
func compareAll(o *options) error {
	var all []figure
	for _, mode := range strings.Split(o.modes, ",") {
		f, err := child(o, mode, false)
		if err != nil {
			return err
		}
		p, err := child(o, mode, true)
		if err != nil {
			return err
		}
		f.Account = p.Account
		if all = append(all, f); len(all) == 1 {
			printHead()
		}
		f.print()
	}
	if o.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(text, '\n'), 0o644)
}

func child(o *options, mode string, profile bool) (f figure, err error) {
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	cmd := exec.Command(self, "--one", mode, "--conns", fmt.Sprint(o.conns), fmt.Sprintf("--profile=%t", profile))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("mode %s: %w", mode, err)
	}
	return f, json.Unmarshal(out, &f)
}

func printHead() {
	fmt.Printf("bytes kept for each byte in flight\n%8s %12s %10s %10s %10s | %10s %10s %10s %10s %10s\n", "mode", "in flight",
		"heap", "in use", "RSS", "records", "buffers", "slots", "sum", "TCP")
}

func (f *figure) print() {
	per := func(n int64) float64 { return float64(n) / float64(f.InFlight) }
	a := &f.Account
	fmt.Printf("%8s %12d %10.5f %10.5f %10.5f | %10.5f %10.5f %10.5f %10.5f %10.5f\n", f.Mode, f.InFlight,
		per(f.Heap), per(f.HeapUsed), per(f.RSS), per(a.Records), per(a.Buffers), per(a.Slots),
		per(a.Records+a.Buffers+a.Slots), per(a.Scoreboard))
}
