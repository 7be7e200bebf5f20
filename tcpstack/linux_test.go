package tcpstack_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ocaserve/internal/testenv"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/link/tun"
	"ocaserve/tcpstack/stream"
)

// TestMain gives the tests a network of their own, and fails if one of them leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := testenv.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var (
	stack4 = netip.MustParsePrefix("198.18.0.2/24")
	stack6 = netip.MustParsePrefix("2001:2::2/64")
)

// overTun runs a stack against the kernel's TCP, over a TUN in the test's own namespace.
func overTun(t testing.TB, name string, queues int) *tcpstack.Stack {
	t.Helper()
	testenv.NeedNamespace(t)
	ok, reason, _ := tun.Probe()
	testenv.Need(t, "a TUN device", ok, reason)
	dev, err := tun.Open(tun.Config{Name: name, Addr: stack4, Addr6: stack6, Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	st, err := tcpstack.New(tcpstack.Config{Addrs: []netip.Addr{stack4.Addr(), stack6.Addr()}}, dev.Queues())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		dev.Close()
	})
	return st
}

// TestLinuxPeer exchanges bytes with the kernel's TCP, both ways, on both families.
func TestLinuxPeer(t *testing.T) {
	for queues, name := range map[int]string{1: "ocaone", 2: "ocatwo"} {
		t.Run(name, func(t *testing.T) { linuxPeer(t, overTun(t, name, queues)) })
	}
}

func linuxPeer(t *testing.T, st *tcpstack.Stack) {
	ln, err := st.ListenNet(netip.MustParseAddrPort("[::]:80"))
	if err != nil {
		t.Fatal(err)
	}
	go echoServer(ln)
	for _, addr := range []string{"198.18.0.2:80", "[2001:2::2]:80"} {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { echoOnce(t, addr, uint64(i)) })
		}
		wg.Wait()
	}
	ln.Close()
	stats, err := st.Stats(t.Context())
	if err != nil || stats.BytesRetransmitted > 0 || stats.WireDrops != [len(stats.WireDrops)]uint64{} {
		t.Logf("stats: %+v %v", stats, err)
	}
}

func echoServer(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

func echoOnce(t *testing.T, addr string, seed uint64) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(sent)
	go func() {
		c.Write(sent)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%s: %d of %d bytes, %v", addr, len(got), len(sent), err)
	}
}

// source sends n bytes of the same block on the event path.
type source struct {
	block []byte
	left  int
}

func (s *source) Readable(c *tcpstack.Conn) { c.Discard(c.Readable()); s.Writable(c) }
func (s *source) Writable(c *tcpstack.Conn) {
	for s.left > 0 && c.Room() > 0 {
		n := min(s.left, len(s.block))
		c.Append(stream.Bytes(s.block[:n]))
		s.left -= n
	}
	if s.left == 0 {
		c.CloseWrite()
	}
}
func (s *source) Closed(*tcpstack.Conn, error) {}

// BenchmarkSendOverTun measures the event path into the kernel of the same machine.
func BenchmarkSendOverTun(b *testing.B) {
	st := overTun(b, "ocabench0", 1)
	block := make([]byte, 16<<10)
	const size = 1 << 28
	if _, err := st.Listen(netip.MustParseAddrPort("[::]:80"), tcpstack.ListenConfig{
		Accept: func(c *tcpstack.Conn) tcpstack.Handler {
			s := &source{block: block, left: size}
			s.Writable(c)
			return s
		},
	}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	buf := make([]byte, 1<<20)
	for b.Loop() {
		c, err := net.Dial("tcp", "198.18.0.2:80")
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, buf)
		if n != size || err != nil {
			b.Fatal(n, err)
		}
		c.Close()
	}
	stats, _ := st.Stats(b.Context())
	b.Logf("frames %d, segments %d, retransmitted %d, stopped %d", stats.FramesSent, stats.SegmentsSent, stats.BytesRetransmitted, stats.QueueStopped)
}
