// Package testenv tells tests what the machine lets them do, and gives them a network of their own.
//
//  1. [Main] runs a package's tests in a fresh network namespace, if the system permits it.
//  2. [Need] skips a test whose needs are not met, with the reason; where OCASERVE_E2E=require is set, as
//     in CI, a missing need fails the test instead, so that nothing goes untested unnoticed.
package testenv

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// inside marks a process that runs in the namespace; its value is "1".
const inside = "OCASERVE_TEST_NETNS"

// Required reports whether a missing need is a failure: OCASERVE_E2E=require.
func Required() bool { return os.Getenv("OCASERVE_E2E") == "require" }

// Need ends the test unless ok: what is missing and why go into the message.
func Need(t testing.TB, what string, ok bool, reason string) {
	t.Helper()
	switch {
	case ok:
	case Required():
		t.Fatalf("OCASERVE_E2E=require, but %s is not available: %s", what, reason)
	default:
		t.Skipf("needs %s: %s", what, reason)
	}
}

// NeedNamespace ends the test unless Main has put it into a network namespace of its own.
func NeedNamespace(t testing.TB) {
	t.Helper()
	Need(t, "a network namespace of its own", os.Getenv(inside) == "1", namespaceReason)
}

// NeedProgram ends the test unless the program is installed, and returns its path.
func NeedProgram(t testing.TB, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	Need(t, "the program "+name, err == nil, "not found in PATH")
	return p
}

var namespaceReason = "the package's TestMain does not call testenv.Main"

// Main runs m in a process with a network namespace of its own, whose loopback interface is up, and
// returns the exit status. Where the system does not permit that, it runs m here, and NeedNamespace skips.
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
func Main(m *testing.M) int {
	if os.Getenv(inside) == "1" {
		if err := loopbackUp(); err != nil {
			println("testenv: bringing up lo:", err.Error())
			return 1
		}
		return m.Run()
	}
	status, err := reexec()
	if err != nil {
		namespaceReason = err.Error()
		return m.Run()
	}
	return status
}

// reexec runs this program again, with the same arguments, in a new namespace; first with the privileges
// it has, else as root of a new user namespace. An error means that no process was started.
func reexec() (int, error) {
	runtime.LockOSThread() // Pdeathsig is the death of the thread that started the child
	root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	group := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	var err error
	for _, attr := range []*syscall.SysProcAttr{
		{Cloneflags: syscall.CLONE_NEWNET},
		{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER, UidMappings: root, GidMappings: group},
	} {
		attr.Pdeathsig = syscall.SIGKILL
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = attr
		if err = cmd.Start(); err != nil {
			continue
		}
		err = cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return max(1, exit.ExitCode()), nil
		}
		return 0, nil
	}
	return 0, err
}

// loopbackUp sets IFF_UP on lo (netdevice(7), SIOCSIFFLAGS).
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var ifr struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte // struct ifreq is 40 bytes
	}
	copy(ifr.name[:], "lo")
	ifr.flags = syscall.IFF_UP
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&ifr)))
	if errno != 0 {
		return errno
	}
	return nil
}
