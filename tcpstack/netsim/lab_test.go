package netsim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// A lab sends numbered packets into a path at given times and writes down what comes out and when. All
// times are nanoseconds since the start.
type lab struct {
	t     *testing.T
	net   *Network
	first Sink
	next  uint32 // number of the next packet
	got   []arrival
}

type arrival struct {
	at  time.Duration
	num uint32
}

// newLab makes a lab whose path is what build returns, from the first to the last.
func newLab(t *testing.T, seed uint64, build func(n *Network) []Element) *lab {
	l := &lab{t: t, net: New(seed)}
	l.first = Chain(l, build(l.net)...)
	return l
}

// Put is the end of the path.
func (l *lab) Put(now mono.Time, p *Packet) {
	l.got = append(l.got, arrival{now.Sub(Epoch), number(p.Data)})
	l.net.release(p)
}

const protoTest = 253 // RFC 3692: for experiments

// numbered is an ECN-capable IPv4 packet of the given size that carries its number.
func numbered(num uint32, size int) []byte {
	h := wire.IPHeader{
		Src: wire.AddrFrom(SenderAddr(0)), Dst: wire.AddrFrom(ReceiverAddr(0)),
		Protocol: protoTest, HopLimit: 64, TOS: 2,
	}
	b := make([]byte, max(size, 24))
	wire.PutIP(b, &h, len(b)-20)
	binary.BigEndian.PutUint32(b[20:], num)
	return b
}

func number(b []byte) uint32 { return binary.BigEndian.Uint32(b[20:]) }

// send sends packets of the given sizes at one instant; the first ever is number 1.
func (l *lab) send(at time.Duration, sizes ...int) {
	l.net.At(Epoch.Add(at), func(mono.Time) {
		for _, size := range sizes {
			l.next++
			l.net.Inject(l.first, numbered(l.next, size))
		}
	})
}

// every sends count packets of one size, gap apart.
func (l *lab) every(gap time.Duration, count, size int) {
	for i := range count {
		l.send(time.Duration(i)*gap, size)
	}
}

func (l *lab) run(d time.Duration) {
	l.t.Helper()
	if _, err := l.net.RunFor(d, nil); err != nil {
		l.t.Fatal(err)
	}
}

// want compares the arrivals, written as "number@nanoseconds", with the ones since the last call.
func (l *lab) want(want ...string) {
	l.t.Helper()
	var got []string
	for _, a := range l.got {
		got = append(got, fmt.Sprintf("%d@%d", a.num, a.at))
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("arrived: %s\n   want: %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	l.got = nil
}

func (l *lab) numbers() (nums []uint32) {
	for _, a := range l.got {
		nums = append(nums, a.num)
	}
	return nums
}

// balance checks the equation of Counters.
func balance(t *testing.T, c Counters) {
	t.Helper()
	if c.Packets+c.Duplicated != c.Out+c.Dropped+c.Lost+c.Held {
		t.Errorf("the books do not balance: %+v", c)
	}
}

// superframe is a TCP superframe as a stack transmits it, and its payload.
func superframe(v6 bool, flags wire.Flags, seq wire.Seq, gso uint16, size int) (link.Frame, []byte) {
	ip := wire.IPHeader{
		V6: v6, Protocol: wire.ProtoTCP, HopLimit: 64, TOS: 2, DontFragment: true,
		Src: wire.AddrFrom(SenderAddr(0)), Dst: wire.AddrFrom(ReceiverAddr(0)),
	}
	if v6 {
		ip.Src, ip.Dst = wire.Addr{0: 0x20, 15: 1}, wire.Addr{0: 0x20, 15: 2}
	}
	seg := wire.Segment{
		SrcPort: 80, DstPort: 5000, Seq: seq, Ack: 77, Flags: flags, Window: 1000,
		Options: wire.Options{HasTS: true, TSVal: 5, TSEcr: 6},
	}
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i*7 + i>>8)
	}
	b := make([]byte, 100)
	n := wire.PutIP(b, &ip, seg.HeaderLen()+size)
	f := link.Frame{GSO: gso, Csum: link.CsumPartial, CsumStart: uint16(n), CsumOffset: wire.ChecksumOffset}
	n += wire.PutTCP(b[n:], &ip, &seg, size)
	f.Data, f.Pieces = b[:n], [][]byte{payload}
	return f, payload
}

// puppet is a host that does what a test says and notes when it was stepped.
type puppet struct {
	steps    []time.Duration
	deadline mono.Time
	do       func(now mono.Time) (bool, error)
}

func (h *puppet) Deadline() mono.Time { return h.deadline }

func (h *puppet) Step(now mono.Time) (bool, error) {
	h.steps = append(h.steps, now.Sub(Epoch))
	if h.deadline <= now {
		h.deadline = mono.Never
	}
	if h.do == nil {
		return false, nil
	}
	return h.do(now)
}

const (
	ms       = time.Millisecond
	us       = time.Microsecond
	megabyte = pacing.Rate(1e6) // per second: a byte takes a microsecond
)
