package wire

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// RFC 1071 section 3 gives this example with its sum.
func TestChecksumRFC1071(t *testing.T) {
	b := unhex(t, "0001 f203 f4f5 f6f7")
	if got := Checksum(b, 0).Fold(); got != 0xddf2 {
		t.Errorf("got %04x, want ddf2", got)
	}
}

// Every length through several 64-byte blocks, with the data that makes carries run furthest.
func TestChecksumLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		for kind := range 3 {
			b := make([]byte, n)
			for i := range b {
				b[i] = [3]byte{0xff, 0, uint8(r.Uint32())}[kind]
			}
			start := uint16(r.Uint32())
			s := Checksum(binary.BigEndian.AppendUint16(nil, start), 0)
			if got, want := Checksum(b, s).Fold(), model(b, uint32(start)); got != want {
				t.Fatalf("length %d, kind %d: got %04x, want %04x", n, kind, got, want)
			}
		}
	}
}

// A chain of additions must never lose its last carry, whatever sum it starts from.
func TestChecksumCarry(t *testing.T) {
	ones := make([]byte, 200)
	for i := range ones {
		ones[i] = 0xff
	}
	for _, s := range []Sum{0, 1, 1<<64 - 1, 1<<64 - 2, 1 << 63, 0xffff} {
		for n := 0; n <= len(ones); n += 2 {
			// All ones is zero in one's complement: the sum stays what it was, but for 0 and ffff, which are both zero.
			got, want := Checksum(ones[:n], s).Fold(), s.Fold()
			if got%0xffff != want%0xffff {
				t.Fatalf("start %x, %d bytes: got %04x, want %04x", uint64(s), n, got, want)
			}
		}
	}
}

// FuzzChecksum cuts data into three pieces anywhere and compares every way to sum them with the model.
func FuzzChecksum(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint16(0), uint64(0))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7}, uint16(1), uint16(4), uint64(1<<64-1))
	f.Add(make([]byte, 129), uint16(63), uint16(65), uint64(0xffff))
	f.Fuzz(func(t *testing.T, data []byte, i, j uint16, start uint64) {
		data = data[:min(len(data), 2048)] // longer ones say nothing more, and slow the fuzzer down
		a := int(i) % (len(data) + 1)
		b := a + int(j)%(len(data)-a+1)
		s := Sum(start)
		want := model(data, uint32(s.Fold()))
		if got := Checksum(data, s).Fold(); !sameSum(got, want) {
			t.Errorf("Checksum: got %04x, want %04x", got, want)
		}
		pieces := [][]byte{data[:a], data[a:b], data[b:]}
		if got := SumPieces(pieces, s).Fold(); !sameSum(got, want) {
			t.Errorf("SumPieces cut at %d, %d of %d: got %04x, want %04x", a, b, len(data), got, want)
		}
		fillAgainstModel(t, data, a, b)
	})
}

// fillAgainstModel lets FillChecksum sum data from a to the end, cut at b, into a field at a.
func fillAgainstModel(t *testing.T, data []byte, a, b int) {
	head := append([]byte(nil), data[:b]...)
	ok := FillChecksum(head, [][]byte{data[b:]}, a, 0)
	if ok != (b-a >= 2) {
		t.Fatalf("FillChecksum with a field of %d bytes: %v", b-a, ok)
	}
	if !ok {
		return
	}
	if got, want := binary.BigEndian.Uint16(head[a:]), ^model(data[a:], 0); !sameSum(got, want) {
		t.Errorf("FillChecksum from %d, cut at %d of %d: got %04x, want %04x", a, b, len(data), got, want)
	}
}

// sameSum compares in one's complement, where 0 and ffff are the same number. Only an arbitrary start can make
// the representations differ; real sums start from 0.
func sameSum(a, b uint16) bool { return a%0xffff == b%0xffff }

func TestFillChecksumRefusesFieldOutside(t *testing.T) {
	for _, tt := range []struct{ start, offset int }{{-1, 0}, {0, -1}, {0, 3}, {4, 0}, {3, 0}, {100, 100}} {
		b := []byte{1, 2, 3, 4}
		if FillChecksum(b, nil, tt.start, tt.offset) || [4]byte(b) != [4]byte{1, 2, 3, 4} {
			t.Errorf("start %d, offset %d: accepted", tt.start, tt.offset)
		}
	}
}

// A device that finishes a partial checksum must arrive at what CompleteTCP writes, however the payload is cut.
func TestPartialEqualsComplete(t *testing.T) {
	payload := []byte("segments are cut anywhere, odd lengths included")
	for _, v6 := range []bool{false, true} {
		h := IPHeader{Src: addr("192.0.2.1"), Dst: addr("192.0.2.9"), Protocol: ProtoTCP, V6: v6}
		if v6 {
			h.Src, h.Dst = addr("2001:db8::1"), addr("2001:db8::9")
		}
		s := Segment{SrcPort: 443, DstPort: 9999, Seq: 1, Flags: ACK, Options: Options{HasTS: true, TSVal: 7}}
		header := make([]byte, s.HeaderLen())
		for cut := range len(payload) {
			pieces := [][]byte{payload[:cut], payload[cut:]}
			PutTCP(header, &h, &s, len(payload))
			partial := append([]byte(nil), header...)
			CompleteTCP(header, SumPieces(pieces, 0))
			FillChecksum(partial, pieces, 0, ChecksumOffset)
			if string(partial) != string(header) {
				t.Fatalf("v6=%v cut %d: device %x, stack %x", v6, cut, partial, header)
			}
			var got Segment
			if d := ParseTCP(&h, append(header, payload...), true, &got); d != DropNone {
				t.Fatalf("v6=%v cut %d: %v", v6, cut, d)
			}
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{20, 52, 1460, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				sink += int(Checksum(data, 0))
			}
		})
	}
}
