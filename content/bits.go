package content

// A bitWriter writes an H.264 raw byte sequence payload (ITU-T H.264 section 7.2), most significant bit first.
type bitWriter struct {
	b    []byte
	free uint // bits not yet used in the last byte
}

func (w *bitWriter) u(n uint, v uint32) {
	for i := n; i > 0; i-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>(i-1)&1) << w.free
	}
}

// ue writes an unsigned Exp-Golomb code (section 9.1).
func (w *bitWriter) ue(v uint32) {
	n := uint(0)
	for (v+1)>>(n+1) != 0 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

// nal ends the payload (rbsp_trailing_bits, section 7.3.2.11) and returns it as a NAL unit: header, then the
// payload with emulation prevention (section 7.4.1: no 00 00 00..03 inside).
func (w *bitWriter) nal(header byte) []byte {
	w.u(1, 1)
	out := []byte{header}
	zeros := 0
	for _, b := range w.b {
		if zeros == 2 && b <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		if zeros++; b != 0 {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}
