package ktls

// halfState is one direction of a session: its key, the number of the next record, and for TLS 1.3 the
// traffic secret that the next key comes from.
type halfState struct {
	version Version
	suite   Suite
	info    *suiteInfo
	keys    *keyset
	seq     uint64 // number of the next record under keys
	secret  [48]byte
}

// A WriteState is what is needed to seal: version, suite, key, IV, record number, traffic secret. It moves
// into a Framer, which alone may use it: two users of one WriteState would seal a record number twice.
type WriteState struct {
	halfState
	taken bool // a Framer has it
}

// A ReadState is what is needed to open records. It moves into an Opener.
type ReadState struct{ halfState }

func (h *halfState) Version() Version { return h.version }
func (h *halfState) Suite() Suite     { return h.suite }

// Seq is the number of the next record under the current key.
func (h *halfState) Seq() uint64 { return h.seq }

// initSecret starts a TLS 1.3 direction from its traffic secret. The secret is copied.
func (h *halfState) initSecret(s Suite, secret []byte, seq uint64) error {
	info, err := s.info(TLS13)
	if err != nil {
		return err
	}
	key, iv, err := info.trafficKeys(secret)
	if err != nil {
		return err
	}
	copy(h.secret[:], secret)
	return h.init(TLS13, s, info, keyPair{key, iv}, seq)
}

// init starts a direction from its key and IV, which are wiped.
func (h *halfState) init(v Version, s Suite, info *suiteInfo, p keyPair, seq uint64) (err error) {
	h.version, h.suite, h.info, h.seq = v, s, info, seq
	h.keys, err = newKeyset(v, info, p.key, p.iv)
	if h.keys != nil {
		// Numbers below seq were sealed by crypto/tls under this very key.
		h.keys.guard.next = seq
	}
	clear(p.key)
	clear(p.iv)
	return err
}

// update moves to the next key (RFC 8446, 7.2) and forgets the old secret.
func (h *halfState) update() error {
	size := h.info.hash().Size()
	next, err := h.info.nextSecret(h.secret[:size])
	if err != nil {
		return err
	}
	defer clear(next)
	return h.initSecret(h.suite, next, 0)
}

// NewWriteState13 makes the sending side of a TLS 1.3 session from its application traffic secret; seq
// records were sealed under it before.
func NewWriteState13(s Suite, secret []byte, seq uint64) (*WriteState, error) {
	w := new(WriteState)
	return w, w.initSecret(s, secret, seq)
}

// NewReadState13 makes the receiving side of a TLS 1.3 session.
func NewReadState13(s Suite, secret []byte, seq uint64) (*ReadState, error) {
	r := new(ReadState)
	return r, r.initSecret(s, secret, seq)
}
