package ktls

// maxUseless is how many records in a row may bring nothing: empty data, warnings, KeyUpdates, refused
// renegotiations. The count starts over with application data, in either direction: a limit per connection
// would end long streams that do nothing wrong.
const maxUseless = 32

// An Event tells the owner of a connection what a record meant beyond its data.
type Event uint8

const (
	// EventNone: data, or nothing to do.
	EventNone Event = iota
	// EventKeyUpdate: the peer's records use its next key from here on. Nothing to do.
	EventKeyUpdate
	// EventKeyUpdateRequested: as above, and the peer wants our next key (Framer.Answer).
	EventKeyUpdateRequested
	// EventRenegotiate: a TLS 1.2 peer asks to renegotiate; it is refused (Framer.Answer).
	EventRenegotiate
	// EventClose: close_notify. Nothing more will come.
	EventClose
)

var eventNames = [...]string{"none", "key-update", "key-update-requested", "renegotiate", "close"}

func (e Event) String() string { return eventNames[e] }

// An Opener decrypts what one connection receives. It belongs to the connection's shard.
type Opener struct {
	r       *ReadState
	framer  *Framer // whose progress forgives useless records; may be nil
	seen    uint64  // framer.data when the run began
	useless int     // length of the current run
	closed  bool    // close_notify came
	err     error   // the connection is over
	msg     messages
}

// NewOpener makes the receiving side of a connection and takes over r.
func NewOpener(r *ReadState) *Opener { return &Opener{r: r} }

// Follow lets application data sent by f end a run of useless records: a client that only downloads may
// update its keys for as long as the download runs.
func (o *Opener) Follow(f *Framer) { o.framer = f }

// RecordLen is the length of the record that starts at in[0], header included, or headerLen (5) while the
// header is incomplete: the number of bytes to collect before Open can do anything. The error is an
// *AlertError for a header that no version allows.
func RecordLen(in []byte) (need int, err error) {
	if len(in) < headerLen {
		return headerLen, nil
	}
	n := int(in[3])<<8 | int(in[4])
	if n > maxCiphertext12 {
		return 0, errTooLong
	}
	return headerLen + n, nil
}

// Open takes the first record of in, decrypting it in place: in must be writable, and plain aliases it. n is
// the number of bytes consumed; 0 means that the record is incomplete. A record without application data
// gives a nil plain. An error is an *AlertError and final. After EventClose everything is consumed and
// ignored (RFC 8446, 6.1). Open does not allocate, except for a new key or a final error.
func (o *Opener) Open(in []byte) (n int, plain []byte, ev Event, err error) {
	switch {
	case o.err != nil:
		return 0, nil, EventNone, o.err
	case o.closed:
		return len(in), nil, EventClose, nil
	case len(in) < headerLen:
		return 0, nil, EventNone, nil
	}
	n = headerLen + int(in[3])<<8 + int(in[4])
	if err := o.checkHeader(contentType(in[0]), in, n-headerLen); err != nil {
		return 0, nil, EventNone, o.fail(err)
	}
	if len(in) < n {
		return 0, nil, EventNone, nil
	}
	typ, plain, err := o.decrypt(in[:n])
	if err == nil {
		plain, ev, err = o.dispatch(typ, plain)
	}
	if err != nil {
		return 0, nil, EventNone, o.fail(err)
	}
	return n, plain, ev, nil
}

func (o *Opener) fail(err error) error {
	o.err = err
	return err
}

// checkHeader refuses a record as early as its header allows.
func (o *Opener) checkHeader(typ contentType, in []byte, n int) error {
	if o.r.version == TLS13 {
		// RFC 8446, 5: after the Finished a change_cipher_spec is unexpected_message; alerts and
		// handshake messages come under the cover of type 23. legacy_record_version is ignored (5.1)
		// here, and authenticated with the record.
		if typ != typeData {
			return errPlainType
		}
		if n > maxCiphertext13 {
			return errTooLong
		}
		return nil
	}
	if typ != typeData && typ != typeAlert && typ != typeHandshake {
		return errPlainType
	}
	if in[1] != 3 || in[2] != 3 {
		return errVersion
	}
	if n > maxCiphertext12 {
		return errTooLong
	}
	return nil
}

// decrypt opens one whole record and strips padding and inner type.
func (o *Opener) decrypt(rec []byte) (contentType, []byte, error) {
	typ := contentType(rec[0])
	plain, ok := o.r.keys.open(rec, o.r.seq)
	if !ok {
		return 0, nil, errBadMAC
	}
	o.r.seq++
	if o.r.version == TLS13 {
		if len(plain) > maxPlaintext+1 {
			return 0, nil, errTooLong // RFC 8446, 5.4: TLSInnerPlaintext is at most 2^14+1
		}
		end := len(plain) - 1
		for end >= 0 && plain[end] == 0 {
			end--
		}
		if end < 0 {
			return 0, nil, errNoInnerType // RFC 8446, 5.4: "MUST terminate ... unexpected_message"
		}
		typ, plain = contentType(plain[end]), plain[:end]
	}
	if len(plain) > maxPlaintext {
		return 0, nil, errTooLong
	}
	return typ, plain, nil
}

func (o *Opener) dispatch(typ contentType, plain []byte) ([]byte, Event, error) {
	if o.msg.partial() && typ != typeHandshake && o.r.version == TLS13 {
		return nil, EventNone, errInterleaved // RFC 8446, 5.1: no other records between fragments
	}
	switch typ {
	case typeData:
		if len(plain) == 0 {
			return nil, EventNone, o.countUseless()
		}
		o.useless = 0
		return plain, EventNone, nil
	case typeAlert:
		ev, err := o.alert(plain)
		return nil, ev, err
	case typeHandshake:
		ev, err := o.handshake(plain)
		return nil, ev, err
	}
	return nil, EventNone, errInnerType
}

// countUseless bounds the current run of records that bring nothing.
func (o *Opener) countUseless() error {
	if o.framer != nil && o.framer.data != o.seen {
		o.seen, o.useless = o.framer.data, 0
	}
	if o.useless++; o.useless > maxUseless {
		return errUseless
	}
	return nil
}

func (o *Opener) alert(b []byte) (Event, error) {
	if len(b) != 2 {
		return EventNone, errAlertLength
	}
	a := Alert(b[1])
	switch {
	case a == AlertCloseNotify:
		o.closed = true
		return EventClose, nil
	case a == AlertUserCanceled && o.r.version == TLS13:
		return EventNone, o.countUseless() // RFC 8446, 6.1: a close_notify follows
	case b[0] == levelWarning && o.r.version == TLS12:
		return EventNone, o.countUseless()
	}
	// RFC 8446, 6: every other alert is fatal, whatever its level says.
	return EventNone, &AlertError{Alert: a, Remote: true}
}
