package script

import (
	"fmt"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// A device is the link of the stack under test: frames go in when the script says, and what comes out is
// kept, cut into segments, until a line of the script asks for it.
type device struct {
	caps link.Caps
	now  func() mono.Time
	mss  func(*wire.Flow) int // of the connection, or 0
	in   [][]byte
	out  []sent
	note func(*sent) // called for every segment as it is sent
	err  error       // the stack sent something that no network would carry
}

// sent is a segment that the stack has sent, in the stack's own numbers.
type sent struct {
	at   mono.Time
	flow wire.Flow // as the stack sees it
	ip   wire.IPHeader
	seg  wire.Segment
	opts []option
	full bool // it carries as much as a segment can, so that the next one may belong to the same burst
}

// Caps implements link.Device: a plain interface that takes superframes, so that they are tested too.
func (d *device) Caps() link.Caps { return d.caps }

// Wait implements link.Device; a simulation never waits.
func (d *device) Wait(mono.Time) error { return nil }

// Wake implements link.Device.
func (d *device) Wake() {}

// Receive implements link.Device.
func (d *device) Receive(frames []link.Frame) (int, error) {
	n := min(len(frames), len(d.in))
	for i := range n {
		frames[i] = link.Frame{Data: d.in[i], Time: d.now()}
	}
	d.in = d.in[n:]
	return n, nil
}

// Transmit implements link.Device.
func (d *device) Transmit(frames []link.Frame) (int, error) {
	for i := range frames {
		d.take(&frames[i])
	}
	return len(frames), nil
}

// take checks a frame and cuts it as a NIC would.
func (d *device) take(f *link.Frame) {
	raw := append([]byte(nil), f.Data...)
	for _, p := range f.Pieces {
		raw = append(raw, p...)
	}
	s := sent{at: d.now()}
	payload, drop := wire.ParseIP(raw, &s.ip)
	if drop == wire.DropNone && s.ip.Protocol != wire.ProtoTCP {
		d.err = fmt.Errorf("the stack has sent a packet of protocol %d, which scripts cannot describe", s.ip.Protocol)
		return
	}
	if drop == wire.DropNone {
		drop = wire.ParseTCP(&s.ip, payload, f.Csum == link.CsumComplete, &s.seg)
	}
	if drop != wire.DropNone {
		d.err = fmt.Errorf("the stack has sent a packet that nobody would take: %v", drop)
		return
	}
	s.flow = wire.Flow{Local: s.ip.Src, Remote: s.ip.Dst, LocalPort: s.seg.SrcPort, RemotePort: s.seg.DstPort}
	s.opts = parseOptions(payload[20 : int(payload[12]>>4)*4])
	d.cut(&s, int(f.GSO))
}

// cut keeps s as segments of size bytes of payload; 0: as it is.
func (d *device) cut(s *sent, size int) {
	data := s.seg.Payload
	step := max(size, 1)
	if size == 0 {
		step = max(len(data), 1)
	}
	for at := 0; at == 0 || at < len(data); at += step {
		c := *s
		c.seg.Seq = s.seg.Seq.Add(at)
		c.seg.Payload = data[at:min(at+step, len(data))]
		c.full = len(c.seg.Payload) > 0 && len(c.seg.Payload) >= d.mss(&s.flow)
		if at+step < len(data) { // FIN and PSH belong to the end of a superframe
			c.seg.Flags &^= wire.FIN | wire.PSH
			c.full = true
		}
		if at > 0 {
			c.seg.Flags &^= wire.CWR // and CWR to its start (RFC 3168 section 6.1.2)
		}
		if n := s.ip.HeaderLen + s.seg.HeaderLen() + len(c.seg.Payload); n > d.caps.MTU && d.err == nil {
			d.err = fmt.Errorf("the stack has sent a packet of %d bytes over an MTU of %d", n, d.caps.MTU)
		}
		d.note(&c)
		d.out = append(d.out, c)
	}
}
