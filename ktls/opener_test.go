package ktls

import (
	"bytes"
	"errors"
	"testing"

	"ocaserve/tcpstack/stream"
)

// A forger is a client that holds the keys and says whatever a test wants: the records of an Opener.
type forger struct {
	t testing.TB
	w *WriteState
}

func newForger(t testing.TB, s Suite) (*forger, *Opener) {
	w, r := pair(t, s)
	return &forger{t, w}, NewOpener(r)
}

// record seals one record as the framer would.
func (f *forger) record(typ contentType, plain ...byte) []byte {
	f.w.seq++
	return f.w.keys.seal(f.w.seq-1, typ, plain)
}

// inner seals a TLS 1.3 record with the given TLSInnerPlaintext: data, type and padding as they are.
func (f *forger) inner(plain ...byte) []byte {
	return f.protect(append([]byte{23, 3, 3, byte((len(plain) + tagLen) >> 8), byte(len(plain) + tagLen)}, plain...))
}

// protect seals header and body as they are.
func (f *forger) protect(rec []byte) []byte {
	rec = append(rec, make([]byte, tagLen)...)
	f.w.keys.protect(rec, f.w.seq)
	f.w.seq++
	return rec
}

// keyUpdate seals a KeyUpdate and moves to the next key.
func (f *forger) keyUpdate(request byte) []byte {
	rec := f.record(typeHandshake, messageKeyUpdate, 0, 0, 1, request)
	f.update()
	return rec
}

func (f *forger) update() {
	if err := f.w.update(); err != nil {
		f.t.Fatal(err)
	}
}

// open feeds wire, which must be consumed, and returns data and events.
func open(t testing.TB, o *Opener, wire []byte) (data []byte, evs []Event) {
	t.Helper()
	for len(wire) > 0 {
		n, plain, ev, err := o.Open(wire)
		if err != nil || n == 0 {
			t.Fatalf("Open: n=%d, %v", n, err)
		}
		data = append(data, plain...)
		if ev != EventNone {
			evs = append(evs, ev)
		}
		wire = wire[n:]
	}
	return data, evs
}

// refuse feeds records of which the last must fail with our alert a, for good.
func refuse(t testing.TB, o *Opener, wire []byte, a Alert) {
	t.Helper()
	for {
		n, plain, ev, err := o.Open(wire)
		if err == nil && n > 0 {
			wire = wire[n:]
			continue
		}
		var ae *AlertError
		if !errors.As(err, &ae) || ae.Remote || ae.Alert != a {
			t.Fatalf("Open: n=%d, %v, want alert %v", n, err, a)
		}
		if n != 0 || plain != nil || ev != EventNone {
			t.Fatalf("a failure came with n=%d, %d bytes, %v", n, len(plain), ev)
		}
		if _, _, _, again := o.Open(wire); again != err {
			t.Fatalf("then %v, an error must be final", again)
		}
		return
	}
}

func TestOpenIncomplete(t *testing.T) {
	for _, s := range allSuites {
		f, o := newForger(t, s)
		rec := f.record(typeData, []byte("hello")...)
		for i := range rec {
			if n, plain, ev, err := o.Open(bytes.Clone(rec[:i])); n != 0 || plain != nil || ev != EventNone || err != nil {
				t.Fatalf("%v: %d of %d bytes: n=%d, %v", s, i, len(rec), n, err)
			}
			need, err := RecordLen(rec[:i])
			if want := len(rec); i < headerLen && need != headerLen || i >= headerLen && need != want || err != nil {
				t.Fatalf("RecordLen of %d bytes: %d, %v", i, need, err)
			}
		}
		next := f.record(typeData, '!')
		n, plain, _, err := o.Open(append(rec, next...))
		if err != nil || n != len(rec) || string(plain) != "hello" {
			t.Fatalf("%v: n=%d, %q, %v", s, n, plain, err)
		}
	}
}

func TestOpenDamaged(t *testing.T) {
	for _, s := range allSuites {
		// Header bytes of type, version and length have alerts of their own; all else is the MAC's.
		f, _ := newForger(t, s)
		rec := f.record(typeData, []byte("hello")...)
		for i := headerLen; i < len(rec); i++ {
			_, r := pair(t, s)
			bad := bytes.Clone(rec)
			bad[i] ^= 0x40
			refuse(t, NewOpener(r), bad, AlertBadRecordMAC)
		}
		_, o := newForger(t, s)
		refuse(t, o, f.record(typeData, 'x'), AlertBadRecordMAC) // number 1 where 0 is due
		_, o = newForger(t, s)
		open(t, o, bytes.Clone(rec))
		refuse(t, o, rec, AlertBadRecordMAC) // a replay
	}
}

func TestOpenRefuses(t *testing.T) {
	v13, v12 := AES128GCM, ECDHE_ECDSA_AES128GCM
	long := func(n int) []byte { return make([]byte, n) }
	header := func(typ byte, version uint16, n int) []byte {
		return []byte{typ, byte(version >> 8), byte(version), byte(n >> 8), byte(n)}
	}
	cat := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	for _, c := range []struct {
		name  string
		suite Suite
		wire  func(f *forger) []byte
		alert Alert
	}{
		{"RFC 8446 5: change_cipher_spec after the handshake", v13,
			func(*forger) []byte { return []byte{20, 3, 3, 0, 1, 1} }, AlertUnexpectedMessage},
		{"plaintext alert", v13, func(*forger) []byte { return []byte{21, 3, 3, 0, 2, 2, 80} }, AlertUnexpectedMessage},
		{"plaintext handshake", v13, func(*forger) []byte { return []byte{22, 3, 3, 0, 1, 1} }, AlertUnexpectedMessage},
		{"RFC 8446 5.2: ciphertext over 2^14+256, by its header alone", v13,
			func(*forger) []byte { return header(23, 0x0303, maxCiphertext13+1) }, AlertRecordOverflow},
		{"RFC 8446 5.4: inner plaintext over 2^14+1", v13,
			func(f *forger) []byte { return f.inner(append(long(maxPlaintext+1), 23)...) }, AlertRecordOverflow},
		{"the same with padding", v13,
			func(f *forger) []byte { return f.inner(append([]byte{23}, long(maxPlaintext+1)...)...) }, AlertRecordOverflow},
		{"RFC 8446 5.4: nothing but padding", v13,
			func(f *forger) []byte { return f.inner(long(20)...) }, AlertUnexpectedMessage},
		{"no inner plaintext at all", v13, func(f *forger) []byte { return f.inner() }, AlertUnexpectedMessage},
		{"shorter than a tag", v13, func(*forger) []byte { return cat(header(23, 0x0303, 15), long(15)) }, AlertBadRecordMAC},
		{"empty record", v13, func(*forger) []byte { return header(23, 0x0303, 0) }, AlertBadRecordMAC},
		{"change_cipher_spec as inner type", v13, func(f *forger) []byte { return f.record(typeCCS, 1) }, AlertUnexpectedMessage},
		{"unknown inner type", v13, func(f *forger) []byte { return f.record(99, 1) }, AlertUnexpectedMessage},
		{"RFC 8446 5.1: empty handshake fragment", v13, func(f *forger) []byte { return f.record(typeHandshake) }, AlertUnexpectedMessage},
		{"empty alert", v13, func(f *forger) []byte { return f.record(typeAlert) }, AlertDecodeError},
		{"two alerts in one record", v13, func(f *forger) []byte { return f.record(typeAlert, 1, 0, 1, 0) }, AlertDecodeError},
		{"RFC 8446 4.6.3: request_update of 2", v13, func(f *forger) []byte { return f.keyUpdate(2) }, AlertIllegalParameter},
		{"KeyUpdate of two bytes", v13,
			func(f *forger) []byte { return f.record(typeHandshake, 24, 0, 0, 2, 0, 0) }, AlertDecodeError},
		{"KeyUpdate of 2^24-1 bytes, by its header alone", v13,
			func(f *forger) []byte { return f.record(typeHandshake, 24, 255, 255, 255) }, AlertDecodeError},
		{"RFC 8446 5.1: a message behind a KeyUpdate in its record", v13,
			func(f *forger) []byte { return f.record(typeHandshake, 24, 0, 0, 1, 0, 24, 0, 0, 1, 0) }, AlertUnexpectedMessage},
		{"RFC 8446 5.1: data between the fragments of a message", v13, func(f *forger) []byte {
			return cat(f.record(typeHandshake, 24, 0), f.record(typeData, 'x'))
		}, AlertUnexpectedMessage},
		{"alert between the fragments of a message", v13, func(f *forger) []byte {
			return cat(f.record(typeHandshake, 24, 0), f.record(typeAlert, 1, 0))
		}, AlertUnexpectedMessage},
		{"the old key after a KeyUpdate", v13, func(f *forger) []byte {
			return cat(f.record(typeHandshake, 24, 0, 0, 1, 0), f.record(typeData, 'x'))
		}, AlertBadRecordMAC},
		{"ClientHello in TLS 1.3", v13, func(f *forger) []byte { return f.record(typeHandshake, 1, 0, 0, 0) }, AlertUnexpectedMessage},
		{"a client's NewSessionTicket", v13, func(f *forger) []byte { return f.record(typeHandshake, 4) }, AlertUnexpectedMessage},
		{"a second Finished", v13, func(f *forger) []byte { return f.record(typeHandshake, 20, 0, 0, 32) }, AlertUnexpectedMessage},

		{"change_cipher_spec", v12, func(*forger) []byte { return []byte{20, 3, 3, 0, 1, 1} }, AlertUnexpectedMessage},
		{"unknown type", v12, func(*forger) []byte { return header(24, 0x0303, 10) }, AlertUnexpectedMessage},
		{"another version", v12, func(*forger) []byte { return header(23, 0x0301, 100) }, AlertProtocolVersion},
		{"RFC 5246 6.2.3: ciphertext over 2^14+2048", v12,
			func(*forger) []byte { return header(23, 0x0303, maxCiphertext12+1) }, AlertRecordOverflow},
		{"RFC 5246 6.2.1: plaintext over 2^14", v12,
			func(f *forger) []byte { return f.record(typeData, long(maxPlaintext+1)...) }, AlertRecordOverflow},
		{"shorter than nonce and tag", v12, func(*forger) []byte { return cat(header(23, 0x0303, 23), long(23)) }, AlertBadRecordMAC},
		{"another type than was sealed", v12, func(f *forger) []byte {
			rec := f.record(typeData, 'x')
			rec[0] = byte(typeHandshake)
			return rec
		}, AlertBadRecordMAC},
		{"empty handshake fragment", v12, func(f *forger) []byte { return f.record(typeHandshake) }, AlertUnexpectedMessage},
		{"ClientKeyExchange", v12, func(f *forger) []byte { return f.record(typeHandshake, 16, 0, 0, 0) }, AlertUnexpectedMessage},
		{"KeyUpdate in TLS 1.2", v12, func(f *forger) []byte { return f.record(typeHandshake, 24, 0, 0, 1, 0) }, AlertUnexpectedMessage},
	} {
		t.Run(c.suite.version().String()+"/"+c.name, func(t *testing.T) {
			f, o := newForger(t, c.suite)
			refuse(t, o, c.wire(f), c.alert)
		})
	}
}

func TestOpenLargest(t *testing.T) {
	data := bytes.Repeat([]byte{5}, maxPlaintext)
	for _, s := range allSuites {
		f, o := newForger(t, s)
		if got, _ := open(t, o, f.record(typeData, data...)); !bytes.Equal(got, data) {
			t.Fatalf("%v: %d bytes", s, len(got))
		}
	}
	f, o := newForger(t, AES128GCM)
	padded := append([]byte("x\x17"), make([]byte, maxPlaintext-1)...) // 2^14+1 with type and padding
	if got, _ := open(t, o, f.inner(padded...)); string(got) != "x" {
		t.Fatalf("padded: %q", got)
	}
}

// RFC 8446, 5.1: legacy_record_version "MUST be ignored for all purposes"; what was sealed is authenticated.
func TestOpenVersionIgnored(t *testing.T) {
	f, o := newForger(t, AES128GCM)
	if got, _ := open(t, o, f.protect([]byte{23, 3, 1, 0, 2 + tagLen, 'x', 0x17})); string(got) != "x" {
		t.Fatalf("got %q", got)
	}
}

func TestOpenKeyUpdates(t *testing.T) {
	f, o := newForger(t, AES256GCM)
	wire := f.record(typeData, 'a')
	wire = append(wire, f.keyUpdate(0)...)
	wire = append(wire, f.record(typeData, 'b')...)
	wire = append(wire, f.keyUpdate(1)...)
	wire = append(wire, f.record(typeData, 'c')...)
	for _, fragment := range [][]byte{{24}, {0, 0}, {1}, {1}} { // a KeyUpdate in four records
		wire = append(wire, f.record(typeHandshake, fragment...)...)
	}
	f.update()
	wire = append(wire, f.record(typeData, 'd')...)
	wire = append(wire, f.record(typeAlert, 1, 0)...)
	data, evs := open(t, o, wire)
	want := []Event{EventKeyUpdate, EventKeyUpdateRequested, EventKeyUpdateRequested, EventClose}
	if string(data) != "abcd" || len(evs) != len(want) {
		t.Fatalf("data %q, events %v", data, evs)
	}
	for i := range want {
		if evs[i] != want[i] {
			t.Fatalf("events %v, want %v", evs, want)
		}
	}
}

// RFC 8446, 6.1: "Any data received after a closure alert has been received MUST be ignored."
func TestOpenAfterClose(t *testing.T) {
	f, o := newForger(t, AES128GCM)
	open(t, o, f.record(typeAlert, 1, 0))
	if n, plain, ev, err := o.Open([]byte("any bytes at all")); n != 16 || plain != nil || ev != EventClose || err != nil {
		t.Fatalf("n=%d %q %v %v", n, plain, ev, err)
	}
}

func TestOpenAlerts(t *testing.T) {
	for _, c := range []struct {
		suite        Suite
		level, alert byte
		final        bool
	}{
		{AES128GCM, 2, 80, true},
		{AES128GCM, 1, 80, true}, // RFC 8446, 6: the level means nothing
		{AES128GCM, 1, 90, false},
		{AES128GCM, 2, 90, false},
		{ECDHE_ECDSA_AES128GCM, 2, 80, true},
		{ECDHE_ECDSA_AES128GCM, 1, 100, false}, // RFC 5246, 7.2: a warning
	} {
		f, o := newForger(t, c.suite)
		_, _, _, err := o.Open(f.record(typeAlert, c.level, c.alert))
		var ae *AlertError
		if got := errors.As(err, &ae) && ae.Remote && ae.Alert == Alert(c.alert); got != c.final || !c.final && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Useless records are limited in a row, never per connection.
func TestUselessRecords(t *testing.T) {
	kinds := map[string]func(f *forger) []byte{
		"empty data":    func(f *forger) []byte { return f.record(typeData) },
		"user_canceled": func(f *forger) []byte { return f.record(typeAlert, 1, 90) },
		"KeyUpdate":     func(f *forger) []byte { return f.keyUpdate(1) },
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			f, o := newForger(t, AES128GCM)
			run := func() {
				t.Helper()
				for range maxUseless {
					open(t, o, kind(f))
				}
			}
			for range 10 {
				run()
				open(t, o, f.record(typeData, 'x'))
			}
			// A client that only listens: what we send counts as progress too.
			w, _ := pair(t, AES128GCM)
			framer := newFramer(t, ModeUser, w)
			o.Follow(framer)
			for range 10 {
				run()
				if err := framer.Append(&queue{}, []stream.Piece{{Data: []byte("y")}}); err != nil {
					t.Fatal(err)
				}
			}
			run()
			refuse(t, o, kind(f), AlertUnexpectedMessage)
		})
	}
	f, o := newForger(t, ECDHE_ECDSA_AES128GCM)
	for range maxUseless {
		open(t, o, f.record(typeAlert, 1, 41))
	}
	refuse(t, o, f.record(typeHandshake, 0, 0, 0, 0), AlertUnexpectedMessage)
}

// RFC 5246, 7.2.2: renegotiation is refused by a warning, and the connection lives on.
func TestRenegotiationRefused(t *testing.T) {
	f, o := newForger(t, ECDHE_ECDSA_AES128GCM)
	hello := append([]byte{1, 0, 1, 44}, make([]byte, 300)...)
	wire := f.record(typeHandshake, hello[:2]...)
	if _, evs := open(t, o, wire); evs != nil {
		t.Fatalf("events %v before the message is known", evs)
	}
	wire = append(f.record(typeHandshake, hello[2:100]...), f.record(typeHandshake, hello[100:]...)...)
	if _, evs := open(t, o, wire); len(evs) != 1 || evs[0] != EventRenegotiate {
		t.Fatalf("events %v", evs)
	}
	data, evs := open(t, o, append(f.record(typeHandshake, 0, 0, 0, 0), f.record(typeData, 'x')...))
	if string(data) != "x" || len(evs) != 1 || evs[0] != EventRenegotiate {
		t.Fatalf("data %q, events %v", data, evs)
	}
}
