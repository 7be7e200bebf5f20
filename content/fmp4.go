package content

import "encoding/binary"

const (
	timescale    = 12800
	sampleTicks  = timescale / framesPerSec
	sampleCount  = segmentSeconds * framesPerSec
	segmentTicks = segmentSeconds * timescale

	syncSample   = 0x02000000 // sample_depends_on 2: on no other
	deltaSample  = 0x01010000 // depends on others, is not a sync sample
	fillerPrefix = 5          // length and header of the filler NAL unit
)

// initSegment is the CMAF header of a rendition (ISO/IEC 23000-19 section 7.3.1): ftyp and a moov without samples.
func (r Rung) initSegment() []byte {
	var w boxWriter
	w.box("ftyp", func() {
		w.text("iso6")
		w.u32(1)
		w.text("iso6cmfcmp41")
	})
	w.box("moov", func() {
		w.full("mvhd", 0, 0, func() {
			w.u32(0, 0, timescale, 0) // the duration is that of the fragments
			w.u32(0x10000)            // rate 1.0
			w.u16(0x100, 0)           // volume 1.0
			w.zeros(8)
			w.unity()
			w.zeros(24)
			w.u32(2) // next_track_ID
		})
		w.box("trak", func() { r.trak(&w) })
		w.box("mvex", func() {
			w.full("trex", 0, 0, func() { w.u32(1, 1, sampleTicks, 0, deltaSample) })
		})
	})
	return w.b
}

func (r Rung) trak(w *boxWriter) {
	w.full("tkhd", 0, 7, func() { // enabled, in movie, in preview
		w.u32(0, 0, 1, 0, 0)
		w.zeros(16)
		w.unity()
		w.u32(uint32(r.width())<<16, uint32(r.Height)<<16)
	})
	w.box("mdia", func() {
		w.full("mdhd", 0, 0, func() {
			w.u32(0, 0, timescale, 0)
			w.u16(0x55c4, 0) // "und"
		})
		w.full("hdlr", 0, 0, func() {
			w.u32(0)
			w.text("vide")
			w.zeros(12)
			w.text("video\x00")
		})
		w.box("minf", func() {
			w.full("vmhd", 0, 1, func() { w.zeros(8) })
			w.box("dinf", func() {
				w.full("dref", 0, 0, func() {
					w.u32(1)
					w.full("url ", 0, 1, func() {}) // in this file
				})
			})
			w.box("stbl", func() { r.sampleTable(w) })
		})
	})
}

// sampleTable describes the codec; the samples themselves are in the fragments.
func (r Rung) sampleTable(w *boxWriter) {
	pic := r.picture()
	w.full("stsd", 0, 0, func() {
		w.u32(1)
		w.box("avc1", func() { // ISO/IEC 14496-15 section 5.4.2
			w.zeros(6)
			w.u16(1) // data_reference_index
			w.zeros(16)
			w.u16(uint16(pic.width), uint16(pic.height))
			w.u32(0x480000, 0x480000, 0) // 72 dpi
			w.u16(1)                     // frames per sample
			w.zeros(32)                  // compressorname
			w.u16(24, 0xffff)
			w.box("avcC", func() {
				sps, pps := pic.sps(), pic.pps()
				w.u8(1, profileIDC, constraintBits, byte(pic.level()), 0xff, 0xe1) // 4-byte lengths, one SPS
				w.u16(uint16(len(sps)))
				w.u8(sps...)
				w.u8(1)
				w.u16(uint16(len(pps)))
				w.u8(pps...)
			})
		})
	})
	w.full("stts", 0, 0, func() { w.u32(0) })
	w.full("stsc", 0, 0, func() { w.u32(0) })
	w.full("stsz", 0, 0, func() { w.u32(0, 0) })
	w.full("stco", 0, 0, func() { w.u32(0) })
}

// A segment is the layout of a media segment: what is not pattern, and where it stands.
type segment struct {
	size     int64
	head     []byte              // styp, moof, header of mdat: at offset 0
	samples  [sampleCount]int64  // offset of each sample
	prefixes [sampleCount][]byte // its picture and the beginning of its filler: at the offset
}

// newSegment lays out segment number n (ISO/IEC 23000-19 section 7.3.2: one chunk).
func (r Rung) newSegment(n int) *segment {
	pic := r.picture()
	s := &segment{}
	s.prefixes[0] = samplePrefix(pic.idr())
	least := int64(0)
	for i := range s.prefixes {
		if i > 0 {
			s.prefixes[i] = samplePrefix(pic.repeat(i))
		}
		least += int64(len(s.prefixes[i])) + 1 // and one byte of filler
	}
	head := int64(len(segmentHead(n, make([]uint32, sampleCount), 0)))
	data := max(r.segmentBytes()-head, least+sampleCount*16)

	// All samples get the same filler; the first one gets what does not divide.
	filler := (data - least) / sampleCount
	sizes := make([]uint32, sampleCount)
	off := head
	for i := range sizes {
		size := int64(len(s.prefixes[i])) + 1 + filler
		if i == 0 {
			size += (data - least) % sampleCount
		}
		s.samples[i], sizes[i] = off, uint32(size)
		putFillerLength(s.prefixes[i], int(size))
		off += size
	}
	s.size = off
	s.head = segmentHead(n, sizes, uint32(data))
	return s
}

// samplePrefix is a picture as a length-prefixed NAL unit, and the beginning of the filler after it.
func samplePrefix(nal []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(nal)))
	b = append(b, nal...)
	return append(b, 0, 0, 0, 0, nalFiller)
}

// putFillerLength completes a prefix for a sample of the given size.
func putFillerLength(prefix []byte, size int) {
	at := len(prefix) - fillerPrefix
	binary.BigEndian.PutUint32(prefix[at:], uint32(size-at-4))
}

// segmentHead writes everything before the samples.
func segmentHead(n int, sizes []uint32, data uint32) []byte {
	var w boxWriter
	w.box("styp", func() {
		w.text("msdh")
		w.u32(0)
		w.text("msdhmsixcmfs")
	})
	moof := len(w.b)
	var dataOffset int
	w.box("moof", func() {
		w.full("mfhd", 0, 0, func() { w.u32(uint32(n + 1)) })
		w.box("traf", func() {
			const defaultBaseIsMoof, duration, flags = 0x20000, 0x8, 0x20
			w.full("tfhd", 0, defaultBaseIsMoof|duration|flags, func() { w.u32(1, sampleTicks, deltaSample) })
			w.full("tfdt", 1, 0, func() { w.u64(uint64(n) * segmentTicks) })
			const hasOffset, firstFlags, hasSizes = 0x1, 0x4, 0x200
			w.full("trun", 0, hasOffset|firstFlags|hasSizes, func() {
				w.u32(uint32(len(sizes)))
				dataOffset = len(w.b)
				w.u32(0, syncSample)
				w.u32(sizes...)
			})
		})
	})
	binary.BigEndian.PutUint32(w.b[dataOffset:], uint32(len(w.b)-moof+8))
	w.u32(data + 8)
	w.text("mdat")
	return w.b
}
