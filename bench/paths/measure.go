package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A fetch is one transfer.
type fetch struct {
	Seed    int     `json:"seed"`
	Seconds float64 `json:"seconds"` // from before the handshake to the last byte
	Packets int     `json:"packets"` // that the server sent into the link
	Lost    int     `json:"lost"`    // of them, by the wire
	Dropped int     `json:"dropped"` // of them, by the queue
	LateP99 float64 `json:"late_p99_us"`
	LateMax float64 `json:"late_max_us"`
}

// A result is what a cell gave, by server.
type result struct {
	Cell  cell    `json:"cell"`
	Name  string  `json:"name"`
	CC    string  `json:"cc"`
	Ours  []fetch `json:"ocaserve"`
	Linux []fetch `json:"linux"`
}

// measure lets the servers take turns.
func (w *world) measure(ctx context.Context, j job, o options) (result, error) {
	r := result{Cell: j.cell, Name: j.cell.name(), CC: j.cc}
	i := slices.Index(o.ccs, j.cc)
	repeats := o.repeats
	switch {
	case o.quick:
		repeats = 2
	case j.cell.Short && j.cell.Loss > 0:
		repeats *= 8 // the figure is a 95th percentile
	case j.cell.Loss > 0:
		repeats = 2*repeats - 1 // where the losses fall decides: 5 seeds leave much to chance, and these cells cost little
	}
	servers := []struct {
		name string
		url  string
		to   *[]fetch
	}{{"ocaserve", oursURL(i, j.cell.Size), &r.Ours}, {"linux", linuxURL(i, j.cell.Size), &r.Linux}}
	for _, s := range servers { // the first use of a server and of a file is not what is compared
		if _, err := w.curl(ctx, w.server, s.url, j.cell.Size); err != nil {
			return r, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for n := range repeats {
		for _, s := range servers {
			pcap := ""
			if o.pcap != "" {
				pcap = filepath.Join(o.pcap, fmt.Sprintf("%s %s %s %d.pcap", j.cell.name(), j.cc, s.name, n+1))
			}
			f, err := w.fetch(ctx, &j.cell, n+1, s.url, pcap)
			if err != nil {
				return r, fmt.Errorf("%s: %w", s.name, err)
			}
			*s.to = append(*s.to, f)
		}
	}
	return r, nil
}

// fetch links the namespaces, lets curl fetch, and ends the link.
func (w *world) fetch(ctx context.Context, c *cell, seed int, url, pcap string) (f fetch, err error) {
	l, err := w.link(ctx, c, seed)
	if err != nil {
		return f, err
	}
	defer l.end() //nolint:errcheck // ended twice only after an error that is known
	if pcap != "" {
		stop, err := w.capture(pcap)
		if err != nil {
			return f, err
		}
		defer stop()
	}
	f.Seed = seed
	if f.Seconds, err = w.curl(ctx, w.client, url, c.Size); err != nil {
		return f, err
	}
	// The connection must have ended before the link does, or its last packets are the next one's first.
	time.Sleep(2*c.RTT + 50*time.Millisecond)
	report, err := l.end()
	f.Packets, f.Lost, f.Dropped = report.BA.Packets, report.BA.Lost, report.BA.QueueDrops
	f.LateP99, f.LateMax = report.Late.P99, report.Late.Max
	return f, err
}

// curl fetches in namespace ns and returns how long it took.
func (w *world) curl(ctx context.Context, ns, url string, size int) (float64, error) {
	args := append([]string{"netns", "exec", ns}, first...)
	args = append(args, "curl", "-sS", "--fail", "--http1.1", "--max-time", "120", "-o", "/dev/null", "-w", "%{time_total} %{size_download}\n", url)
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	var seconds float64
	var got int
	if n, _ := fmt.Sscan(string(out), &seconds, &got); err != nil || n != 2 || got != size {
		return 0, fmt.Errorf("curl %s: %v, want %d bytes: %s", url, err, size, out)
	}
	return seconds, nil
}

// A linkRun is a running `ocaserve link`.
type linkRun struct {
	cmd    *exec.Cmd
	stdout io.Reader
	done   bool
}

// linkReport is the part of its report that is kept.
type linkReport struct {
	BA struct {
		Packets, Lost int
		QueueDrops    int `json:"queue_drops"`
	}
	Late struct {
		P99, Max float64
	} `json:"lateness_us"`
}

// link joins the namespaces, the client on side a.
func (w *world) link(ctx context.Context, c *cell, seed int) (*linkRun, error) {
	l := &linkRun{}
	l.cmd = exec.CommandContext(ctx, filepath.Join(w.dir, "ocaserve"), "link", "--a", w.client+":"+device, "--b", w.server+":"+device,
		"--both", c.delay(), "--ba", c.there(), "--seed", fmt.Sprint(seed), "--json", "-")
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	talk, err := l.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if l.stdout, err = l.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(talk)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "linking") {
		l.cmd.Process.Kill() //nolint:errcheck // our own child
		l.cmd.Wait()         //nolint:errcheck // it has said why
		return nil, fmt.Errorf("the link does not come up: %q, %v", line, err)
	}
	go io.Copy(os.Stderr, lines) //nolint:errcheck // ends with the child
	return l, nil
}

// end stops the link and reads its report.
func (l *linkRun) end() (r linkReport, err error) {
	if l.done {
		return r, nil
	}
	l.done = true
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return r, err
	}
	err = json.NewDecoder(l.stdout).Decode(&r)
	if werr := l.cmd.Wait(); err == nil {
		err = werr
	}
	return r, err
}

// capture writes the server's end of the link to a file until stop is called.
func (w *world) capture(name string) (stop func(), err error) {
	cmd := exec.Command("ip", "netns", "exec", w.server, "tcpdump", "-q", "--immediate-mode", "-U", "-s", "100", "-i", device, "-w", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	time.Sleep(300 * time.Millisecond) // it says nothing when it is ready
	return func() {
		time.Sleep(100 * time.Millisecond)
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // our own child
		cmd.Wait()                          //nolint:errcheck
	}, nil
}
