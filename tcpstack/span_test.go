package tcpstack

import "ocaserve/tcpstack/stream"

func newCounted(b []byte, released *int) *counted {
	return &counted{n: len(b), b: b, released: released}
}

func (s *counted) Len() int { return s.n }

func (s *counted) Gather(g *stream.Gather, from, to int) { g.Add(s.b[from:to]) }

func (s *counted) Release() {
	*s.released++
	for i := range s.b {
		s.b[i] = 0xEE
	}
}
