package wire

// A Seq is a TCP sequence number: it wraps, so it is compared only by the methods here
// (RFC 9293 section 3.4: arithmetic modulo 2^32).
type Seq uint32

// Add returns the sequence number n bytes after s; n may be negative.
func (s Seq) Add(n int) Seq { return s + Seq(uint32(n)) }

// Sub returns the signed distance from t to s, in bytes.
func (s Seq) Sub(t Seq) int { return int(int32(s - t)) }

// Less reports whether s comes before t.
func (s Seq) Less(t Seq) bool { return int32(s-t) < 0 }

// LessEq reports whether s comes before t or equals it.
func (s Seq) LessEq(t Seq) bool { return int32(s-t) <= 0 }

// InWindow reports whether s lies in [start, start+size).
func (s Seq) InWindow(start Seq, size int) bool { return uint32(s-start) < uint32(size) }
