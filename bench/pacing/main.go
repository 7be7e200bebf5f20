// Command pacing measures what pacing costs: the CPU seconds that a shard spends for each GB it sends, paced and
// unpaced, with the same number of connections:
//
//		go run ./bench/pacing [--cells 40x100Mbps,160x25Mbps,4000x1Mbps] [--burst 1ms] [--time 3s] [--rounds 3]
//
//	 1. Two stacks on a cable in memory, one shard each; the server's shard sends bytes that stay in cache to every
//	    connection, so that nothing but the stack and one copy is measured: with TLS, a disk or a NIC behind it the
//	    share of pacing is smaller.
//	 2. For each cell the connections are opened, run in, and measured: payload sent, CPU time of the server's
//	    thread (RUSAGE_THREAD), frames, wake-ups; first unpaced, then paced. What is printed are medians of rounds.
//
// It needs no privileges.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/stream"
)

type cell struct {
	conns int
	rate  pacing.Rate // 0: unpaced
	burst time.Duration
}

func main() {
	cells := flag.String("cells", "40x100Mbps,160x25Mbps,800x5Mbps,4000x1Mbps", "connections x rate, separated by commas")
	length := flag.Duration("time", 3*time.Second, "how long each measurement takes")
	burst := flag.Duration("burst", pacing.Burst, "how much of the rate leaves in one burst")
	rounds := flag.Int("rounds", 3, "measurements of each cell")
	flag.Parse()
	if err := run(*cells, *length, *burst, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "pacing:", err)
		os.Exit(1)
	}
}

func run(cells string, length, burst time.Duration, rounds int) error {
	fmt.Printf("%22s %12s %10s %12s %12s %8s\n", "", "CPU-s/GB", "Gb/s", "frames/GB", "KiB/frame", "ratio")
	for _, text := range strings.Split(cells, ",") {
		c, err := parseCell(text)
		if err != nil {
			return err
		}
		c.burst = burst
		unpaced, err := median(cell{conns: c.conns}, length, rounds)
		if err != nil {
			return err
		}
		paced, err := median(c, length, rounds)
		if err != nil {
			return err
		}
		unpaced.print(fmt.Sprintf("%d unpaced", c.conns), "")
		paced.print(text, fmt.Sprintf("%.2f", paced.cost()/unpaced.cost()))
	}
	return nil
}

func parseCell(text string) (c cell, err error) {
	n, rate, ok := strings.Cut(text, "x")
	if c.conns, err = strconv.Atoi(n); err != nil || !ok || c.conns < 1 || c.conns > 60_000 {
		return c, fmt.Errorf("%q: want connections x rate, such as 40x100Mbps", text)
	}
	c.rate, err = pacing.ParseRate(rate)
	return c, err
}

// A figure is one measurement of the server's shard.
type figure struct {
	bytes, frames uint64
	cpu, wall     time.Duration
}

// cost is CPU seconds per GB.
func (f figure) cost() float64 { return f.cpu.Seconds() * 1e9 / float64(max(f.bytes, 1)) }

func (f figure) print(name, ratio string) {
	fmt.Printf("%22s %12.3f %10.2f %12.0f %12.1f %8s\n", name, f.cost(), float64(f.bytes)*8/1e9/f.wall.Seconds(),
		float64(f.frames)*1e9/float64(max(f.bytes, 1)), float64(f.bytes)/1024/float64(max(f.frames, 1)), ratio)
}

func median(c cell, length time.Duration, rounds int) (figure, error) {
	var all []figure
	for range rounds {
		f, err := measure(c, length)
		if err != nil {
			return f, err
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b figure) int { return int(1e6 * (a.cost() - b.cost())) })
	return all[len(all)/2], nil
}

var server, client = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

// measure runs one cell.
func measure(c cell, length time.Duration) (f figure, err error) {
	a, b := memory.New(memory.Config{TSO: true, RingBytes: 8 << 20, RingFrames: 4096})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	functions := tcpstack.FunctionsRack
	if c.rate == 0 {
		functions = tcpstack.FunctionsBase
	}
	from, err := tcpstack.New(tcpstack.Config{Addrs: []netip.Addr{server}, MaxPacingRate: c.rate, PaceBurst: c.burst, Functions: functions}, a.Queues())
	if err != nil {
		return f, err
	}
	to, err := tcpstack.New(tcpstack.Config{Addrs: []netip.Addr{client}, ReceiveBuffer: 256 << 10, MaxReceiveBuffer: 256 << 10}, b.Queues())
	if err != nil {
		return f, err
	}
	if _, err := from.Listen(netip.AddrPortFrom(server, 80), tcpstack.ListenConfig{
		Accept: func(*tcpstack.Conn) tcpstack.Handler { return source{} },
	}); err != nil {
		return f, err
	}
	ended := make(chan error, 2)
	for _, st := range []*tcpstack.Stack{from, to} {
		go func() { ended <- st.Run(ctx) }()
	}
	if err := dial(to, c.conns); err != nil {
		return f, err
	}
	time.Sleep(2 * time.Second) // to run in
	start := snapshot(from)
	time.Sleep(length)
	end := snapshot(from)
	stop()
	<-ended
	<-ended
	return figure{end.bytes - start.bytes, end.frames - start.frames, end.cpu - start.cpu, end.wall - start.wall}, nil
}

// dial opens the connections, a few at a time.
func dial(st *tcpstack.Stack, n int) error {
	failed := make(chan error, n)
	for i := range n {
		local := netip.AddrPortFrom(client, uint16(1024+i))
		st.Shards()[0].Post(tcpstack.MessageFunc(func(s *tcpstack.Shard) {
			_, err := s.Dial(local, netip.AddrPortFrom(server, 80), sink{})
			failed <- err
		}))
		if err := <-failed; err != nil {
			return err
		}
		if i%100 == 99 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// snapshot asks the server's shard, on its own thread.
func snapshot(st *tcpstack.Stack) figure {
	got := make(chan figure)
	st.Shards()[0].Post(tcpstack.MessageFunc(func(s *tcpstack.Shard) {
		const thread = 1 // RUSAGE_THREAD
		var u syscall.Rusage
		syscall.Getrusage(thread, &u) //nolint:errcheck // fails for wrong arguments only
		v := s.Snapshot()
		got <- figure{v.BytesSent, v.FramesSent, time.Duration(u.Utime.Nano() + u.Stime.Nano()), time.Duration(s.Now())}
	}))
	return <-got
}

// source sends without end, the same bytes.
type source struct{}

var span stream.Span = stream.Bytes(make([]byte, 64<<10))

func (source) Readable(c *tcpstack.Conn) {
	c.Discard(c.Readable())
	source{}.Writable(c)
}

func (source) Writable(c *tcpstack.Conn) {
	for c.Room() > 0 {
		c.Append(span)
	}
}

func (source) Closed(*tcpstack.Conn, error) {}

// sink asks for it with one byte, and forgets what comes.
type sink struct{}

func (sink) Readable(c *tcpstack.Conn)    { c.Discard(c.Readable()) }
func (sink) Writable(c *tcpstack.Conn)    { c.Append(stream.Bytes([]byte{0})) }
func (sink) Closed(*tcpstack.Conn, error) {}
