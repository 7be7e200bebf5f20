package compare

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A load is processor time, of all programs on the machine and of this one.
type load struct {
	all, own time.Duration
	known    bool
}

// tick is the unit of /proc/stat: USER_HZ, which is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// loadNow reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, in ticks.
func loadNow() (l load) {
	text, err := os.ReadFile("/proc/stat")
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	if err != nil || len(fields) < 9 {
		return l
	}
	for i, f := range fields[1:9] {
		if n, err := strconv.ParseInt(string(f), 10, 64); err == nil && i != 3 && i != 4 {
			l.all += time.Duration(n) * tick
		}
	}
	var u syscall.Rusage
	l.known = syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil
	l.own = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return l
}

// others is the share of the machine's processors that other programs used, or its host took away, since l.
func (l *load) others(now load, wall time.Duration, cores int) float64 {
	if !l.known || !now.known || wall <= 0 {
		return math.NaN()
	}
	foreign := (now.all - l.all) - (now.own - l.own)
	return min(1, max(0, foreign.Seconds()/(wall.Seconds()*float64(cores))))
}
