package compare

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/cpuid/v2"
)

// clockRate is the rate of the CPU's time stamp counter in Hz, 0 if nobody says: the base clock by CPUID, or what
// the kernel shows in /proc/cpuinfo, which on machines with an invariant TSC differs from the clock of the moment.
// Cycles are therefore reference cycles: CPU seconds times this rate.
var clockRate = sync.OnceValue(func() float64 {
	if hz := cpuid.CPU.Hz; hz > 0 {
		return float64(hz)
	}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "cpu MHz" {
			mhz, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return mhz * 1e6
		}
	}
	return 0
})
