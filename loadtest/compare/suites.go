package compare

import _ "unsafe" // for linkname

// crypto/tls does not let a program choose among the suites of TLS 1.3, and a comparison of ciphers needs it. The
// standard library keeps these two lists reachable by name for exactly this (go.dev/issue/67401); which of
// them counts depends on whether the CPU has AES instructions.

//go:linkname defaultCipherSuitesTLS13 crypto/tls.defaultCipherSuitesTLS13
var defaultCipherSuitesTLS13 []uint16

//go:linkname defaultCipherSuitesTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var defaultCipherSuitesTLS13NoAES []uint16

// only makes one suite of TLS 1.3 the only one that handshakes of this process offer and accept, until undo is
// called. No handshake may be under way at either moment.
func (c Cipher) only() (undo func()) {
	aes, noAES := defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES
	one := []uint16{ciphers[c].suite13}
	defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES = one, one
	return func() { defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES = aes, noAES }
}
