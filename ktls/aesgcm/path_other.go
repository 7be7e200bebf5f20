//go:build !amd64

package aesgcm

// No path here, hence no Key, and nobody calls what follows.

const noEngine = "aesgcm: a key without an engine"

func detect() []Path { return nil }

func expand128(*byte, *[240]byte)                                   { panic(noEngine) }
func expand256(*byte, *[240]byte)                                   { panic(noEngine) }
func encrypt(_ *[240]byte, _ int, _, _ *[16]byte)                   { panic(noEngine) }
func times(_, _, _ *[16]byte)                                       { panic(noEngine) }
func absorb(_, _, _ *[16]byte)                                      { panic(noEngine) }
func (k *Key) seal(_, _ *[16]byte, _, _ *byte, _ int)               { panic(noEngine) }
func (k *Key) xor(_ *[16]byte, _, _ *byte, _ int)                   { panic(noEngine) }
func finish(_ *[240]byte, _ int, _, _, _, _ *[16]byte, _, _ uint64) { panic(noEngine) }
