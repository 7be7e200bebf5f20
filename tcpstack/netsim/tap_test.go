package netsim

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// TestCapture compares a file byte by byte with the format of draft-ietf-opsawg-pcap.
func TestCapture(t *testing.T) {
	var file bytes.Buffer
	c := NewCapture(&file)
	l := newLab(t, 1, func(n *Network) []Element {
		return []Element{n.NewTap(c.See), n.NewWire(WireConfig{Delay: ms + 1}), n.NewTap(c.See)}
	})
	l.send(1700*ms, 65)
	l.run(3000 * ms)
	packet := hex.EncodeToString(numbered(1, 65))
	want := strings.Join([]string{
		"4d3cb2a1",                                             // magic number: little-endian, nanoseconds
		"02000400",                                             // version 2.4
		"0000000000000000",                                     // reserved
		"00000100",                                             // snap length 65536
		"65000000",                                             // LINKTYPE_RAW 101
		"01000000", "0027b929", "41000000", "41000000", packet, // 1 s and 700000000 ns, 65 bytes
		"01000000", "4169c829", "41000000", "41000000", packet, // 1 s and 701000001 ns
	}, "")
	if got := hex.EncodeToString(file.Bytes()); got != want || c.Err() != nil {
		t.Errorf("error %v, wrote\n%s, want\n%s", c.Err(), got, want)
	}
}

type fullDisk struct{ writes int }

func (d *fullDisk) Write([]byte) (int, error) { d.writes++; return 0, errors.New("disk full") }

func TestCaptureKeepsTheFirstError(t *testing.T) {
	var d fullDisk
	c := NewCapture(&d)
	c.See(Epoch, &Packet{Data: []byte{1}})
	if c.Err() == nil || d.writes != 1 {
		t.Errorf("error %v after %d writes", c.Err(), d.writes)
	}
}

// TestSequence: a connection's graph, with a retransmission, SACK, a scaled window, and offsets beyond the
// wrap of sequence numbers.
func TestSequence(t *testing.T) {
	n := New(1)
	var q Sequence
	data := Chain(n.NewDiscard(""), n.NewTap(q.Data))
	acks := Chain(n.NewDiscard(""), n.NewTap(q.Acks))
	put := func(to Sink, s wire.Segment) {
		ip := wire.IPHeader{
			Protocol: wire.ProtoTCP, HopLimit: 64,
			Src: wire.AddrFrom(SenderAddr(0)), Dst: wire.AddrFrom(ReceiverAddr(0)),
		}
		b := make([]byte, 2000)
		n.Inject(to, b[:wire.PutSegment(b, &ip, &s)])
		n.now = n.now.Add(ms)
	}
	const isn = wire.Seq(1<<32 - 500)
	const there, other = 80, 81
	payload := make([]byte, 1000)
	ack := wire.Segment{SrcPort: 5000, DstPort: there, Flags: wire.ACK, Seq: 9, Window: 10}
	put(data, wire.Segment{SrcPort: there, DstPort: 5000, Flags: wire.SYN, Seq: isn, Window: 10})
	put(acks, wire.Segment{SrcPort: 5000, DstPort: there, Flags: wire.SYN | wire.ACK, Seq: 8, Ack: isn.Add(1), Window: 99,
		Options: wire.Options{HasWScale: true, WScale: 7}})
	for _, off := range []int{0, 1000, 2000, 1000} {
		put(data, wire.Segment{SrcPort: there, DstPort: 5000, Flags: wire.ACK, Seq: isn.Add(1 + off), Payload: payload})
	}
	put(data, wire.Segment{SrcPort: other, DstPort: 5000, Flags: wire.ACK, Seq: 1, Payload: payload})
	ack.Ack = isn.Add(1001)
	ack.Options.NSACK, ack.Options.SACK[0] = 1, wire.SACKBlock{Left: isn.Add(2001), Right: isn.Add(3001)}
	put(acks, ack)
	n.Inject(data, numbered(1, 100)) // not TCP
	var out bytes.Buffer
	if _, err := q.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	want := `0.001000000	ack	0	99
0.002000000	data	0	1000
0.003000000	data	1000	2000
0.004000000	data	2000	3000
0.005000000	retransmit	1000	2000
0.007000000	ack	1000	2280
0.007000000	sack	2000	3000
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	var d fullDisk
	if _, err := q.WriteTo(&d); err == nil || d.writes != 1 {
		t.Error("a full disk was not noticed")
	}
}

// TestForgottenConnect: a path without an end says so, with the element's name.
func TestForgottenConnect(t *testing.T) {
	defer func() {
		if r, _ := recover().(string); !strings.Contains(r, "here is connected to nothing") {
			t.Errorf("panic %q", r)
		}
	}()
	n := New(1)
	n.NewPolicer(PolicerConfig{Name: "here", Rate: 1, Burst: 1000}).Put(mono.Time(n.Now()), n.newPacket([]byte{1}))
}
