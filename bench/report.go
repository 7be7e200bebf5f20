package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// figures are what one round of one server gives.
type figures struct {
	CPUPerGB    float64 `json:"cpu_seconds_per_gb"`  // of the server's processes, user and system
	CorePerGB   float64 `json:"core_seconds_per_gb"` // of the core they run on, interrupts included
	GBPerSecond float64 `json:"gb_per_second"`
}

// cpuOf is the CPU time of a process and its children, in seconds (proc(5): utime and stime, in ticks of
// 10 ms).
func cpuOf(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	sum := (user + system) / 100
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return sum, nil //nolint:nilerr // a kernel without the file: no children counted
	}
	for _, c := range strings.Fields(string(children)) {
		n, _ := strconv.Atoi(c)
		s, err := cpuOf(n)
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}

// coreBusy is the time that core 0 was not idle since boot, in seconds (proc(5), /proc/stat). Unlike a
// process's time it has what the kernel does for a server in interrupts: for a TCP in the kernel that is
// the handling of ACKs. It means something only while nothing else runs on that core.
func coreBusy() (float64, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(stat)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] != "cpu0" {
			continue
		}
		busy := 0.0
		for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
			n, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return 0, err
			}
			busy += n / 100
		}
		return busy, nil
	}
	return 0, fmt.Errorf("/proc/stat has no line for core 0")
}

// report prints the medians and their spread, and what they mean beside nginx.
func report(out io.Writer, servers []server, results [][]figures, o options) error {
	fmt.Fprintf(out, "%-24s %12s %16s %12s %16s %8s\n", "server", "CPU-s/GB", "(min..max)", "core-s/GB", "(min..max)", "GB/s")
	medians := map[string]float64{}
	for i, s := range servers {
		cpu := column(results[i], func(f figures) float64 { return f.CPUPerGB })
		core := column(results[i], func(f figures) float64 { return f.CorePerGB })
		speed := column(results[i], func(f figures) float64 { return f.GBPerSecond })
		medians[s.name] = core[len(core)/2]
		fmt.Fprintf(out, "%-24s %12.3f %16s %12.3f %16s %8.2f\n", s.name, cpu[len(cpu)/2], spread(cpu),
			core[len(core)/2], spread(core), speed[len(speed)/2])
	}
	ratio(out, medians, "https", "ocaserve https inline", "nginx https")
	ratio(out, medians, "http", "ocaserve http", "nginx http")
	if o.json == "" {
		return nil
	}
	named := map[string][]figures{}
	for i, s := range servers {
		named[s.name] = results[i]
	}
	data, err := json.MarshalIndent(named, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(data, '\n'), 0o644)
}

func column(rows []figures, of func(figures) float64) []float64 {
	var v []float64
	for _, r := range rows {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return v
}

func spread(sorted []float64) string {
	return fmt.Sprintf("(%.3f..%.3f)", sorted[0], sorted[len(sorted)-1])
}

func ratio(out io.Writer, medians map[string]float64, what, ours, theirs string) {
	if a, b := medians[ours], medians[theirs]; a > 0 && b > 0 {
		fmt.Fprintf(out, "%s: ocaserve spends %.2f of nginx's core time per byte\n", what, a/b)
	}
}
