package content

import "encoding/binary"

// A boxWriter writes ISO base media file format boxes (ISO/IEC 14496-12 section 4.2).
type boxWriter struct{ b []byte }

// box writes a box around what body writes.
func (w *boxWriter) box(kind string, body func()) {
	at := len(w.b)
	w.u32(0)
	w.text(kind)
	body()
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at))
}

// full writes a FullBox: one with version and flags.
func (w *boxWriter) full(kind string, version byte, flags uint32, body func()) {
	w.box(kind, func() {
		w.u32(uint32(version)<<24 | flags)
		body()
	})
}

func (w *boxWriter) u8(v ...byte) { w.b = append(w.b, v...) }

func (w *boxWriter) u16(vs ...uint16) {
	for _, v := range vs {
		w.b = binary.BigEndian.AppendUint16(w.b, v)
	}
}

func (w *boxWriter) u32(vs ...uint32) {
	for _, v := range vs {
		w.b = binary.BigEndian.AppendUint32(w.b, v)
	}
}

func (w *boxWriter) u64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

func (w *boxWriter) text(s string) { w.b = append(w.b, s...) }

func (w *boxWriter) zeros(n int) { w.b = append(w.b, make([]byte, n)...) }

// unity is the transformation matrix that changes nothing.
func (w *boxWriter) unity() { w.u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000) }
