package main

import (
	"bytes"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

const leastCache size = 256 << 20

// defaultCache is a quarter of the memory: what is not served from memory is in the kernel's page cache at best,
// and the kernel, the connections and everybody else need room too.
func defaultCache(total int64) size {
	return max(leastCache, size(total/4)>>20<<20)
}

const leastMemory size = 64 << 20

// defaultMemory is what connections may hold, an eighth of the memory: half of what the page cache gets.
func defaultMemory(total int64) size {
	return max(leastMemory, size(total/8)>>20<<20)
}

// memoryTotal is what this process may hope for: the machine's memory, or the limit of its control group. 0 if
// the system does not say.
func memoryTotal() int64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	own, _ := os.ReadFile("/proc/self/cgroup") // absent: no control groups, no limit
	return min(int64(info.Totalram)*int64(info.Unit), groupLimit("/sys/fs/cgroup", own))
}

// groupLimit is the least memory.max from a process's control group (version 2, the line "0::/path") up to root.
func groupLimit(root string, own []byte) int64 {
	limit := int64(math.MaxInt64)
	for line := range bytes.Lines(own) {
		group, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::/")
		if !ok {
			continue
		}
		for dir := path.Join("/", group); ; dir = path.Dir(dir) {
			text, _ := os.ReadFile(path.Join(root, dir, "memory.max")) // "max", or absent at the top: no limit
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				limit = min(limit, n)
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}
