// Command bench serves the same file by ocaserve and by nginx and prints the CPU seconds that each server
// spent per GB, side by side:
//
//		go run ./bench [--size 256MiB] [--fetches 4] [--rounds 5]
//
//	 1. It makes two network namespaces: nginx in one, the client in the other, a veth pair between them
//	    (main.go, world.go). ocaserve's TUN is in the client's namespace.
//	 2. Each round starts every server afresh, on core 0, warms it with one fetch, and lets a curl on
//	    core 1 fetch the file several times; the rounds are interleaved, so that drift hits all alike.
//	 3. The server's CPU time is read from /proc before and after; medians over the rounds are printed
//	    (report.go).
//
// It needs root, nginx, curl, openssl and iproute2, and touches nothing outside its namespaces.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

type options struct {
	size    int64
	fetches int
	rounds  int
	json    string
	only    string
}

func main() {
	var o options
	size := flag.Int64("size", 256, "size of the file, MiB")
	flag.IntVar(&o.fetches, "fetches", 8, "fetches that are measured per round")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.StringVar(&o.json, "json", "", "also write the figures to this file")
	flag.StringVar(&o.only, "only", "", "measure only the servers whose name contains this")
	flag.Parse()
	o.size = *size << 20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inside marks the process that already runs in the server's namespace.
const inside = "OCASERVE_BENCH_INSIDE"

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root, to make network namespaces: run it with sudo")
	}
	if os.Getenv(inside) == "" {
		return again(ctx)
	}
	dir, err := os.MkdirTemp("", "ocaserve-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := newWorld(ctx, dir, o.size)
	if err != nil {
		return err
	}
	defer w.close()
	return measure(ctx, w, o)
}

// again runs this program in a network namespace of its own.
func again(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}

// measure runs all rounds and prints the table.
func measure(ctx context.Context, w *world, o options) error {
	servers := w.servers(o.only)
	results := make([][]figures, len(servers))
	for round := range o.rounds {
		for i, s := range servers {
			fmt.Fprintf(os.Stderr, "\rround %d/%d: %-28s", round+1, o.rounds, s.name)
			f, err := w.once(ctx, s, o)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			results[i] = append(results[i], f)
		}
	}
	fmt.Fprintf(os.Stderr, "\r%60s\r", "")
	return report(os.Stdout, servers, results, o)
}

// need names the programs that must be installed.
func need(names ...string) error {
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			return fmt.Errorf("%s is not installed: apt-get install nginx-light curl openssl iproute2 util-linux", n)
		}
	}
	return nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }
