package wire

import "testing"

// The packet path allocates nothing, whatever arrives.
func TestNoAllocations(t *testing.T) {
	var h IPHeader
	var s Segment
	var m ICMP
	out := make([]byte, 2048)
	_, big := tooBig(t, true)
	ping, udp := unhex(t, echoRequest4), unhex(t, udp6)
	pieces := [][]byte{udp[:7], udp[7:]}
	packets := [][]byte{unhex(t, linuxSYN), unhex(t, linuxACK), unhex(t, linuxData), unhex(t, linuxSYN6)}
	paths := map[string]func(){
		"TCP in and out": func() {
			for _, p := range packets {
				b, _ := ParseIP(p, &h)
				ParseTCP(&h, b, true, &s)
				PutSegment(out, &h, &s)
			}
		},
		"echo": func() {
			b, _ := ParseIP(ping, &h)
			ParseICMP(&h, b, &m)
			PutEchoReply(out, &h, &m)
		},
		"error in": func() {
			b, _ := ParseIP(big, &h)
			ParseICMP(&h, b, &m)
		},
		"error out": func() {
			ParseIP(udp, &h)
			PutPortUnreachable(out, &h, udp)
			PutPacketTooBig(out, h.Dst, &h, udp, 1280)
		},
		"sums": func() {
			sink += int(SumPieces(pieces, 0))
			FillChecksum(out[:60], pieces, 20, ChecksumOffset)
		},
		"hashes": func() {
			sink += int(SymmetricHash(h.Src, h.Dst, 1, 2) + MicrosoftKey.Hash(h.Src, h.Dst, 1, 2))
		},
		"drop": func() {
			_, d := ParseIP(ping[:10], &h)
			sink += len(d.String())
		},
	}
	for name, f := range paths {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct {
		name, hex string
		verify    bool
	}{
		{"ack4/verified", linuxACK, true},
		{"ack4/offloaded", linuxACK, false},
		{"sack4/verified", linuxSACK, true},
		{"syn4/verified", linuxSYN, true},
		{"syn6/verified", linuxSYN6, true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			packet := unhex(b, bb.hex)
			var h IPHeader
			var s Segment
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				p, d := ParseIP(packet, &h)
				if d != DropNone || ParseTCP(&h, p, bb.verify, &s) != DropNone {
					b.Fatal("dropped")
				}
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, bb := range []struct {
		name, hex string
		complete  bool
	}{
		{"ack4/complete", linuxACK, true},
		{"ack4/partial", linuxACK, false},
		{"sack4/complete", linuxSACK, true},
		{"syn6/complete", linuxSYN6, true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			packet := unhex(b, bb.hex)
			h, s := mustParse(b, packet)
			out := make([]byte, len(packet))
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				n := PutIP(out, &h, s.HeaderLen())
				PutTCP(out[n:], &h, &s, 0)
				if bb.complete {
					CompleteTCP(out[n:], 0)
				}
			}
		})
	}
}

func BenchmarkParseICMP(b *testing.B) {
	packet := unhex(b, echoRequest4)
	var h IPHeader
	var m ICMP
	b.SetBytes(int64(len(packet)))
	b.ReportAllocs()
	for b.Loop() {
		p, _ := ParseIP(packet, &h)
		if ParseICMP(&h, p, &m) != DropNone {
			b.Fatal("dropped")
		}
	}
}
