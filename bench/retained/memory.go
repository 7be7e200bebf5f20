package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// A state is the process's memory at one moment.
type state struct {
	heap, inUse, rss int64
}

// lookNow collects garbage, gives what is free back to the system, and looks.
func lookNow() (s state, err error) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap, s.inUse = int64(m.HeapAlloc), int64(m.HeapInuse)
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return s, err
	}
	var size int64
	if _, err := fmt.Sscan(string(text), &size, &s.rss); err != nil {
		return s, err
	}
	s.rss *= int64(os.Getpagesize())
	return s, nil
}

// An account is the objects on the heap, in bytes, by who made them: those of the pools and queues that hold what is
// in flight, idle ones included.
type account struct {
	Records    int64 `json:"records"`    // structs of records, a tag in each, and lists of their pieces; in mode off, of page spans
	Buffers    int64 `json:"buffers"`    // sealed records
	Slots      int64 `json:"slots"`      // places in the send queues
	Scoreboard int64 `json:"scoreboard"` // TCP's own, the same in all modes: what was sent when, as one burst
	Rest       int64 `json:"rest"`       // of the program, what the state in flight added
}

// makers are the functions that make what an account counts; the first function of ours on an object's stack decides.
var makers = []struct {
	name string
	of   func(*account) *int64
}{
	{"ocaserve/ktls.(*Pool).get", func(a *account) *int64 { return &a.Buffers }},
	{"ocaserve/ktls.(*Pool).", func(a *account) *int64 { return &a.Records }},
	{"ocaserve/ktls.(*record).", func(a *account) *int64 { return &a.Records }},
	{"ocaserve/tcpstack/stream.(*arrays[...]).", func(a *account) *int64 { return &a.Slots }},
	{"ocaserve/tcpstack/recovery.", func(a *account) *int64 { return &a.Scoreboard }},
}

// accountNow reads the heap's profile, which is that of the last collection but one.
func accountNow() (a account) {
	for range 3 {
		runtime.GC()
	}
	n, _ := runtime.MemProfile(nil, false)
	list := make([]runtime.MemProfileRecord, 2*n+1000)
	n, _ = runtime.MemProfile(list, false)
	for i := range list[:n] {
		*a.of(maker(list[i].Stack())) += list[i].InUseBytes()
	}
	return a
}

// maker is the first function of ours on a stack.
func maker(stack []uintptr) string {
	for frames := runtime.CallersFrames(stack); ; {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "ocaserve/") {
			return f.Function
		}
		if !more {
			return ""
		}
	}
}

func (a *account) of(maker string) *int64 {
	for _, m := range makers {
		if strings.HasPrefix(maker, m.name) {
			return m.of(a)
		}
	}
	return &a.Rest
}
