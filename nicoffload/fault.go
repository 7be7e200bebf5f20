package nicoffload

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"encoding/binary"

	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/wire"
)

// Faults is a set of bugs that the adapter can be given, each of a kind that real ones have had.
type Faults uint32

const (
	FaultCsum      Faults = 1 << iota // wrong transport checksums for some payloads, always the same ones
	FaultTSO                          // some superframes: a wrong sequence number, the last segment missing, PSH on all
	FaultTLSTag                       // some tags are wrong
	FaultTLSResync                    // after a resynchronisation the keystream is not the record's
	FaultTLSPlain                     // some runs leave as plaintext
	FaultCapLie                       // some checksums are not filled in, some superframes cut at a wrong size
	FaultRxCsum                       // vouches for received packets that it did not verify
	FaultStall                        // stops for good, until it is reset
	FaultCQEDup                       // some completions come twice
	FaultCQEDrop                      // some completions do not come
	allFaults      = 1<<iota - 1
)

var faultNames = []string{
	"csum", "tso", "tls-tag", "tls-resync", "tls-plain", "cap-lie", "rx-csum", "stall", "cqe-dup", "cqe-drop",
}

// ParseFaults reads names joined by "+"; "none" and "" are none.
func ParseFaults(s string) (Faults, error) {
	var f Faults
	if s == "" || s == "none" {
		return 0, nil
	}
	for name := range strings.SplitSeq(s, "+") {
		bit := Faults(0)
		for i, known := range faultNames {
			if known == name {
				bit = 1 << i
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("unknown fault %q: known are %s, joined by +", name, strings.Join(faultNames, ", "))
		}
		f |= bit
	}
	return f, nil
}

// String is what ParseFaults reads.
func (f Faults) String() string {
	var names []string
	for i, name := range faultNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "+")
}

// SetFaults chooses the adapter's bugs from now on. It may be called from any goroutine.
func (i *Interface) SetFaults(f Faults) { i.faults.Store(uint32(f & allFaults)) }

// Faults are the adapter's bugs.
func (i *Interface) Faults() Faults { return Faults(i.faults.Load()) }

// faulty is where a queue's thread asks whether to do wrong. What it does follows from the seed.
type faulty struct {
	nif     *Interface
	count   *nicCounters
	rng     *rand.Rand
	stopped bool // FaultStall has struck
	tso     uint64
}

// one in so many times a fault strikes, where it may.
const (
	faultShare = 4
	stallShare = 64
)

func (f *faulty) has(x Faults) bool { return Faults(f.nif.faults.Load())&x != 0 }

// strikes is whether a fault that the adapter has strikes now.
func (f *faulty) strikes(x Faults, share uint32) bool {
	if !f.has(x) || f.rng.Uint32N(share) != 0 {
		return false
	}
	f.count.faultsDone.Add(1)
	return true
}

// wantCut is whether superframes must be cut here for a fault to show.
func (f *faulty) wantCut() bool { return f.has(FaultCsum | FaultTSO | FaultCapLie) }

// wantChecksum is whether checksums must be made here for a fault to show. The sum of a superframe is not a
// packet's.
func (f *faulty) wantChecksum(fr *link.Frame) bool {
	return fr.GSO == 0 && f.has(FaultCsum|FaultCapLie)
}

// fillChecksum completes the checksum of fr, in its own headers.
func (f *faulty) fillChecksum(fr *link.Frame) {
	lie := f.strikes(FaultCapLie, faultShare)
	if !lie && !wire.FillChecksum(fr.Data, fr.Pieces, int(fr.CsumStart), int(fr.CsumOffset)) {
		return
	}
	if f.has(FaultCsum) && f.dislikes(fr) {
		f.count.faultsDone.Add(1)
		fr.Data[int(fr.CsumStart)+int(fr.CsumOffset)] ^= 0x10
	}
	fr.Csum, fr.CsumStart, fr.CsumOffset = link.CsumComplete, 0, 0
}

// dislikes is whether fr's payload is of the pattern that FaultCsum gets wrong.
func (f *faulty) dislikes(fr *link.Frame) bool {
	sum := uint32(f.nif.cfg.Seed)
	if len(fr.Pieces) == 0 {
		return false
	}
	for _, b := range fr.Pieces[0][:min(16, len(fr.Pieces[0]))] {
		sum = (sum ^ uint32(b)) * 16777619 // FNV-1a
	}
	return sum>>16%faultShare == 0
}

// The ways to cut a superframe wrongly.
const (
	tsoRight = iota
	tsoSeq
	tsoLast
	tsoPush
	tsoWays
)

// segment decides how the superframe that is cut next goes wrong, and returns the size to cut it at.
func (f *faulty) segment(gso uint16) uint16 {
	f.tso = tsoRight
	if f.strikes(FaultTSO, faultShare) {
		f.tso = 1 + f.rng.Uint64N(tsoWays-1)
	}
	if gso > 8 && f.strikes(FaultCapLie, faultShare) {
		return gso - 8
	}
	return gso
}

// spoilSegment makes the headers of segment i wrong; true: the segment is lost.
func (f *faulty) spoilSegment(head []byte, ip, i int, last bool) bool {
	t := head[ip:]
	switch f.tso {
	case tsoSeq:
		if last {
			binary.BigEndian.PutUint32(t[tcpSeq:], binary.BigEndian.Uint32(t[tcpSeq:])+1)
		}
	case tsoLast:
		return last && i > 0
	case tsoPush:
		t[tcpFlags] |= byte(wire.PSH)
	}
	return false
}

// staleDump is how much of the first n bytes of a record the adapter makes to rebuild its state.
func (f *faulty) staleDump(n int) int {
	if n <= maxPrefix+1 || !f.strikes(FaultTLSResync, faultShare) {
		return n
	}
	return maxPrefix + (n-maxPrefix)/2
}

// spoilSealed makes dst wrong, which was sealed for r of the plaintext that in begins with.
func (f *faulty) spoilSealed(dst []byte, in cursor, r *run) {
	if r.to > r.length-tagLen && f.strikes(FaultTLSTag, faultShare) {
		dst[len(dst)-1] ^= 1
	}
	if !f.strikes(FaultTLSPlain, faultShare) {
		return
	}
	first, c := int(r.from), r.ctx
	for at, end := max(first, c.prefixLen), min(int(r.to), int(r.length)-tagLen-c.inner); at < end; {
		p := in.next(end - at)
		at += copy(dst[at-first:], p)
	}
}

// vouches is whether a checksum is taken to be right unseen.
func (f *faulty) vouches() bool { return f.strikes(FaultRxCsum, 1) }

// completes is whether the completion of all descriptors before done reaches the driver, at least once.
func (f *faulty) completes(n *nic, done uint64) bool {
	if f.strikes(FaultCQEDup, faultShare) {
		n.ring.complete(done)
	}
	return !f.strikes(FaultCQEDrop, faultShare)
}

// halted is whether the adapter does not go on.
func (n *nic) halted() bool {
	if !n.faults.stopped && n.faults.strikes(FaultStall, stallShare) {
		n.faults.stopped = true
	}
	return n.faults.stopped
}
