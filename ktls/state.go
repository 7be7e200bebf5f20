package ktls

// halfState is one direction of a session, less its key: the number of the next record, and for TLS 1.3 the
// traffic secret that the next key comes from.
type halfState struct {
	version Version
	suite   Suite
	info    *suiteInfo
	seq     uint64 // number of the next record under the current key
	secret  [48]byte
}

// A WriteState is what is needed to seal: version, suite, key, IV, record number, traffic secret. It moves
// into a Framer, which alone may use it: two users of one WriteState would seal a record number twice.
type WriteState struct {
	keys  *sealKeys
	taken bool // a Framer has it
	halfState
}

// A ReadState is what is needed to open records. It moves into an Opener.
type ReadState struct {
	halfState
	keys *openKeys
}

func (h *halfState) Version() Version { return h.version }
func (h *halfState) Suite() Suite     { return h.suite }

// Seq is the number of the next record under the current key; of a WriteState that a Framer took, of the first.
func (h *halfState) Seq() uint64 { return h.seq }

// derive starts a TLS 1.3 direction from its traffic secret, which is copied, and returns its key and IV.
func (h *halfState) derive(s Suite, secret []byte, seq uint64) (p keyPair, err error) {
	info, err := s.info(TLS13)
	if err != nil {
		return p, err
	}
	if p.key, p.iv, err = info.trafficKeys(secret); err != nil {
		return p, err
	}
	copy(h.secret[:], secret)
	h.set(TLS13, s, info, seq)
	return p, nil
}

func (h *halfState) set(v Version, s Suite, info *suiteInfo, seq uint64) {
	h.version, h.suite, h.info, h.seq = v, s, info, seq
}

// next is the traffic secret after this one (RFC 8446, 7.2).
func (h *halfState) next() ([]byte, error) { return h.info.nextSecret(h.secret[:h.info.hash().Size()]) }

// initSecret starts a TLS 1.3 direction from its traffic secret. The secret is copied.
func (w *WriteState) initSecret(s Suite, secret []byte, seq uint64) error {
	p, err := w.derive(s, secret, seq)
	if err != nil {
		return err
	}
	return w.init(TLS13, s, w.info, p, seq)
}

// init starts a direction from its key and IV, which are wiped. Numbers below seq were sealed by crypto/tls
// under this very key.
func (w *WriteState) init(v Version, s Suite, info *suiteInfo, p keyPair, seq uint64) (err error) {
	w.set(v, s, info, seq)
	w.keys, err = newSealKeys(v, info, p, seq)
	p.wipe()
	return err
}

// update moves to the next key (RFC 8446, 7.2) and forgets the old secret.
func (w *WriteState) update() error {
	next, err := w.next()
	if err != nil {
		return err
	}
	defer clear(next)
	return w.initSecret(w.suite, next, 0)
}

func (r *ReadState) initSecret(s Suite, secret []byte, seq uint64) error {
	p, err := r.derive(s, secret, seq)
	if err != nil {
		return err
	}
	return r.init(TLS13, s, r.info, p, seq)
}

func (r *ReadState) init(v Version, s Suite, info *suiteInfo, p keyPair, seq uint64) (err error) {
	r.set(v, s, info, seq)
	r.keys, err = newOpenKeys(v, info, p)
	p.wipe()
	return err
}

func (r *ReadState) update() error {
	next, err := r.next()
	if err != nil {
		return err
	}
	defer clear(next)
	return r.initSecret(r.suite, next, 0)
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
