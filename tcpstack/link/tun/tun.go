// Package tun is a link to the host's kernel through a TUN interface: the kernel routes a subnet to it, and
// whatever is sent there arrives here as IP packets.
//
//  1. [Open] makes the interface, one descriptor per queue, and gives the host the subnet's first address.
//  2. [Device.Receive] reads packets, each behind a virtio_net_hdr that says how it was checksummed and
//     whether it is a superframe: the kernel hands over up to 64 KiB of TCP at once, unsegmented.
//  3. [Device.Transmit] writes a virtio_net_hdr, headers and payload pieces with one writev(2) per frame;
//     the kernel copies them before the call returns, and segments only if the packet leaves the host.
//  4. [Device.Wait] sleeps in ppoll(2) on the queue and on an eventfd, which [Device.Wake] writes only if
//     somebody sleeps.
//
// The interface is the program's own and vanishes with it, unless the user made it beforehand
// (`ip tuntap add dev NAME mode tun multi_queue user USER`), which needs no privileges later.
package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
)

const (
	// DefaultName lets the kernel pick the first free number.
	DefaultName = "ocaserve%d"
	devicePath  = "/dev/net/tun"
	probeName   = "ocaprobe%d"
)

// The default addresses of the stack: from the blocks reserved for benchmarks, which no network routes
// (RFC 2544 appendix C.2.2, RFC 5180 section 8).
var (
	DefaultAddr  = netip.MustParsePrefix("198.18.0.2/24")
	DefaultAddr6 = netip.MustParsePrefix("2001:2:0:c612::2/64")
)

// Config describes the interface.
type Config struct {
	Name string // at most 15 bytes; "%d" stands for the first free number; "": DefaultName

	// Addr and Addr6 are the stack's own addresses, with the length of the subnet that the kernel
	// routes here; the host gets the subnet's first address. The zero value: no such family.
	Addr, Addr6 netip.Prefix

	MTU    int // bytes; 0: 1500
	Queues int // 0: 1

	// TAP makes a TAP instead: frames begin with an Ethernet header.
	TAP bool

	// Clock stamps received frames and measures Wait's deadline. Nil: mono.Now.
	Clock func() mono.Time
}

// setDefaults fills in what is not set and refuses what cannot work.
func (c *Config) setDefaults() error {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if len(c.Name) >= unix.IFNAMSIZ {
		return &Error{Op: "interface name " + c.Name, Err: unix.ENAMETOOLONG,
			Fix: fmt.Sprintf("choose a name of at most %d characters", unix.IFNAMSIZ-1)}
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	// RFC 791 section 3.1 and RFC 8200 section 5 set the least MTU for each family.
	if least := c.leastMTU(); c.MTU < least || c.MTU > maxPacket {
		return &Error{Op: fmt.Sprintf("MTU %d", c.MTU), Err: unix.EINVAL,
			Fix: fmt.Sprintf("choose one from %d to %d", least, maxPacket)}
	}
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.Clock == nil {
		c.Clock = mono.Now
	}
	return nil
}

func (c *Config) leastMTU() int {
	if c.Addr6.IsValid() {
		return 1280
	}
	return 576
}

// An Error says what failed and what the user can do about it.
type Error struct {
	Op  string // what was tried
	Err error  // what the system said
	Fix string // what to do; never empty
}

func (e *Error) Error() string { return fmt.Sprintf("tun: %s: %v; %s", e.Op, e.Err, e.Fix) }

func (e *Error) Unwrap() error { return e.Err }

// ErrNoIPv6 is wrapped by Open's error when the host has IPv6 switched off; without Addr6 Open may succeed.
var ErrNoIPv6 = errors.New("IPv6 is switched off on this host")

// An Interface is an open TUN interface. It implements link.Interface.
type Interface struct {
	name    string
	cfg     Config
	queues  []*Device
	devices []link.Device // the same, as Queues returns them
	closed  atomic.Bool
	once    sync.Once
}

// Open makes the interface and brings it up. Errors are of type *Error.
func Open(cfg Config) (*Interface, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	t := &Interface{name: cfg.Name, cfg: cfg}
	for range cfg.Queues {
		// The first answer turns "%d" into a number; the other queues ask for that name.
		d, name, err := openQueue(t, t.name)
		if err != nil {
			t.Close()
			return nil, err
		}
		t.name = name
		t.queues = append(t.queues, d)
		t.devices = append(t.devices, d)
	}
	if err := configure(t.name, &cfg); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Name returns the name of the interface in the kernel.
func (t *Interface) Name() string { return t.name }

// Queues returns the devices, one per queue.
func (t *Interface) Queues() []link.Device { return t.devices }

// HostAddr returns the host's address on the interface, with the stack's prefix length; v6 chooses the
// family. It is the zero value for a family that was not configured.
func (t *Interface) HostAddr(v6 bool) netip.Prefix {
	p := t.cfg.Addr
	if v6 {
		p = t.cfg.Addr6
	}
	if !p.IsValid() {
		return netip.Prefix{}
	}
	return hostPrefix(p)
}

// Close ends every device's Wait and removes the interface. Calls in progress end first; later ones
// return net.ErrClosed.
func (t *Interface) Close() error {
	t.once.Do(func() {
		t.closed.Store(true)
		for _, d := range t.queues {
			d.close()
		}
	})
	return nil
}

// Probe finds out whether Open can work here, without changing anything: it opens a queue without a name
// of its own. reason and fix are empty if ok.
func Probe() (ok bool, reason, fix string) {
	d, _, err := openQueue(&Interface{}, probeName)
	if err == nil {
		d.close()
		return true, "", ""
	}
	var e *Error
	if errors.As(err, &e) {
		op := strings.Replace(e.Op, "interface "+probeName, "an interface", 1) // its name tells nobody anything
		return false, fmt.Sprintf("%s: %v", op, e.Err), e.Fix
	}
	return false, err.Error(), "use --net relay"
}
