package tcpstack_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ocaserve/tcpstack"
)

// sysctl sets a parameter of the test's own network namespace.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
		t.Skipf("the kernel does not let the test set %s: %v", name, err)
	}
}

const (
	tcpFastOpen = 23         // TCP_FASTOPEN
	msgFastOpen = 0x20000000 // MSG_FASTOPEN
)

// kernelFast connects from the kernel with the request in the SYN, and returns the answer.
func kernelFast(t *testing.T, to [4]byte, port int, request string) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 5})
	if err := syscall.Sendto(fd, []byte(request), msgFastOpen, &syscall.SockaddrInet4{Port: port, Addr: to}); err != nil {
		t.Fatalf("sendto with MSG_FASTOPEN: %v", err)
	}
	buf := make([]byte, 4096)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(buf[:n])
}

// TestLinuxFastOpenClient: the kernel as a client of ours asks for a cookie, and then sends data in its SYN.
func TestLinuxFastOpenClient(t *testing.T) {
	st := overTun(t, "ocafast0", 1)
	sysctl(t, "tcp_fastopen", "3")
	if _, err := st.Listen(netip.MustParseAddrPort("198.18.0.2:80"), tcpstack.ListenConfig{
		FastOpen: 16,
		Accept: func(c *tcpstack.Conn) tcpstack.Handler {
			n := tcpstack.WrapConn(c)
			go func() {
				buf := make([]byte, 100)
				k, _ := n.Read(buf)
				n.Write([]byte(strings.ToUpper(string(buf[:k]))))
				n.Close()
			}()
			return n
		},
	}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if got := kernelFast(t, [4]byte{198, 18, 0, 2}, 80, "hello"); got != "HELLO" {
			t.Fatalf("got %q", got)
		}
	}
	stats, err := st.Stats(t.Context())
	if err != nil || stats.FastOpenCookieReqd != 1 || stats.FastOpenPassive != 3 || stats.FastOpenPassiveFail != 0 {
		t.Errorf("%+v %v", stats.OpenStats, err)
	}
}

// TestLinuxFastOpenServer: the kernel as a server of ours.
func TestLinuxFastOpenServer(t *testing.T) {
	st := overTun(t, "ocafast1", 1)
	sysctl(t, "tcp_fastopen", "3")
	addr := kernelAddr(t, "ocafast1")
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpFastOpen, 16) })
	}}
	ln, err := lc.Listen(t.Context(), "tcp4", addr.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go echoServer(ln)
	remote := netip.MustParseAddrPort(ln.Addr().String())
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		c, err := st.DialFast(ctx, netip.AddrPortFrom(stack4.Addr(), 0), remote, []byte("hello"))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
			t.Fatalf("got %q, %v", buf, err)
		}
		c.Close()
	}
	stats, err := st.Stats(t.Context())
	if err != nil || stats.FastOpenActive != 2 || stats.FastOpenActiveFail != 0 {
		t.Errorf("%+v %v", stats.OpenStats, err)
	}
}

// kernelAddr is the kernel's address on an interface.
func kernelAddr(t *testing.T, name string) netip.Addr {
	t.Helper()
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr()
		}
	}
	t.Fatal("no IPv4 address on " + name)
	return netip.Addr{}
}

// TestLinuxECN: the kernel asks for ECN, and data flows both ways with it.
func TestLinuxECN(t *testing.T) {
	st := overTun(t, "ocaecn0", 1)
	sysctl(t, "tcp_ecn", "1")
	agreed := make(chan bool, 1)
	if _, err := st.Listen(netip.MustParseAddrPort("198.18.0.2:80"), tcpstack.ListenConfig{
		Accept: func(c *tcpstack.Conn) tcpstack.Handler {
			agreed <- c.Info().Options&tcpstack.InfoECN != 0
			n := tcpstack.WrapConn(c)
			go func() {
				io.Copy(n, n)
				n.Close()
			}()
			return n
		},
	}); err != nil {
		t.Fatal(err)
	}
	echoOnce(t, "198.18.0.2:80", 5)
	if !<-agreed {
		t.Error("no ECN with Linux")
	}
}
