package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
)

type doctorFlags struct {
	Bisect bool   `name:"bisect-offloads" env:"-" help:"Find the offload that breaks or slows transfers: in this process, all off, then one by one on, every byte compared, over perfect and bad wires. Exit status 1 if there is one."`
	NIC    string `name:"nic" env:"-" placeholder:"on|SPEC" help:"--bisect-offloads: the emulated adapter, as serve --nic has it (on); faults=csum and others inject bugs to find."`
	Size   size   `name:"size" env:"-" placeholder:"SIZE" help:"--bisect-offloads: size of the file that is transferred (16MiB)."`
	JSON   bool   `name:"json" env:"-" help:"--bisect-offloads: the report as JSON."`
}

// A finding is one line of the doctor's report.
type finding struct {
	what string
	err  error  // nil: works
	note string // what it is good for, or what is used instead
}

func (f *doctorFlags) run(ctx context.Context, stdout io.Writer) error {
	if f.Bisect {
		return f.bisect(ctx, stdout)
	}
	if err := f.plain(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, versionLine())
	for _, f := range diagnose(probeTun, exec.LookPath) {
		if f.err != nil {
			fmt.Fprintf(stdout, "  no   %-8s %v\n", f.what, f.err)
			continue
		}
		fmt.Fprintf(stdout, "  ok   %-8s %s\n", f.what, f.note)
	}
	c, err := chooseLink("auto", probeTun)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "--net auto takes %s: %s\n", c.net, c.why)
	return nil
}

// plain refuses what only the search for an offload heeds.
func (f *doctorFlags) plain() error {
	for _, x := range []struct {
		flag  string
		given bool
	}{{"--nic", f.NIC != ""}, {"--size", f.Size != 0}, {"--json", f.JSON}} {
		if x.given {
			return usagef("%s is for --bisect-offloads: add that, or leave it out", x.flag)
		}
	}
	return nil
}

func diagnose(tun func() error, look func(string) (string, error)) []finding {
	findings := []finding{
		{"tun", tun(), "own IP subnet, 64 KiB bursts, checksum offload"},
		{"relay", nil, "needs nothing: kernel sockets feed the stack in this process"},
		{"memory", nil, "in-process, for tests"},
		{"cpus", nil, fmt.Sprintf("%d: as many shards by default", processors)},
	}
	for _, p := range []struct{ name, without string }{
		{"ffmpeg", "not found: the demo title is made of deterministic bytes instead of a picture; install ffmpeg for a real one"},
		{"curl", "not found: install curl to try the line that demo prints"},
	} {
		path, err := look(p.name)
		if err != nil {
			err = fmt.Errorf("%s", p.without)
		}
		findings = append(findings, finding{p.name, err, path})
	}
	return findings
}
