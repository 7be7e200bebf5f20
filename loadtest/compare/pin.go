package compare

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"ocaserve/tcpstack"
)

// Where there are two processors or more, the server's thread gets one of its own. The adapter is a thread here, and the
// clients are: on the server's processor they would push what it works on out of its caches, most of all when the
// adapter seals, and the host would pay for silicon that in truth has memory of its own.

// A pinning keeps the server's thread apart. The zero value does nothing.
type pinning struct{ all, server, others unix.CPUSet }

// newPinning divides the processors that the process may use.
func newPinning() (p pinning) {
	if unix.SchedGetaffinity(0, &p.all) != nil || p.all.Count() < 2 {
		return pinning{}
	}
	p.others = p.all
	for cpu := 0; p.server.Count() == 0; cpu++ {
		if p.all.IsSet(cpu) {
			p.server.Set(cpu)
			p.others.Clear(cpu)
		}
	}
	return p
}

// on reports whether threads are kept apart.
func (p *pinning) on() bool { return p.all.Count() > 0 }

// apply moves all threads of the process to the other processors, and then the one that runs the server's shard to its
// own. Threads to come inherit the place of the one that makes them, and that is none that a goroutine has locked, as the
// server's is. When the server is gone, its thread serves others where it is, until the next measurement moves it.
func (p *pinning) apply(server *tcpstack.Stack) {
	if !p.on() {
		return
	}
	moveThreads(&p.others)
	server.Shards()[0].Post(tcpstack.MessageFunc(func(*tcpstack.Shard) {
		_ = unix.SchedSetaffinity(0, &p.server) // it may stay with the others: the figures say where time went
	}))
}

// undo lets all threads run everywhere again.
func (p *pinning) undo() {
	if p.on() {
		moveThreads(&p.all)
	}
}

// moveThreads sets the processors of all threads. Those that end meanwhile are not missed; those that begin, made by
// one that has not been moved yet, the second pass finds.
func moveThreads(to *unix.CPUSet) {
	for range 2 {
		for _, id := range threads() {
			_ = unix.SchedSetaffinity(id, to)
		}
	}
}

// threads lists the threads of the process.
func threads() (ids []int) {
	tasks, _ := os.ReadDir("/proc/self/task") // without it threads stay where they are
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
