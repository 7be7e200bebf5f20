package ktls

import (
	"bytes"
	"errors"
	"testing"

	"ocaserve/tcpstack/stream"
)

// FuzzOpenerWire feeds bytes as they come from the network. Nothing but a record that authenticates may
// yield data, and no input may panic or be consumed beyond its end.
func FuzzOpenerWire(f *testing.F) {
	for _, s := range []Suite{AES128GCM, ECDHE_ECDSA_AES128GCM} {
		fo, _ := newForger(f, s)
		good := fo.record(typeData, []byte("hello")...)
		f.Add(uint16(s), good)
		f.Add(uint16(s), append(good, fo.record(typeAlert, 1, 0)...))
		f.Add(uint16(s), []byte{23, 3, 3, 0x48, 0})
	}
	f.Fuzz(func(t *testing.T, suite uint16, wire []byte) {
		s := AES128GCM
		if suite&1 == 1 {
			s = ECDHE_ECDSA_AES128GCM
		}
		_, o := newForger(t, s)
		fo, _ := newForger(t, s)
		genuine := fo.record(typeData, []byte("hello")...)
		in := bytes.Clone(wire)
		for len(in) > 0 {
			n, plain, _, err := o.Open(in)
			if n < 0 || n > len(in) {
				t.Fatalf("n=%d of %d", n, len(in))
			}
			if len(plain) > 0 && !bytes.HasPrefix(wire, genuine) {
				t.Fatalf("%d bytes of data from a forgery", len(plain))
			}
			if err != nil || n == 0 {
				return
			}
			in = in[n:]
		}
	})
}

// FuzzOpenerPeer lets a hostile peer that holds the keys seal what it likes. The script is a run of (type,
// length, content). A model says what data may come out: the content of data records, up to the error or the
// close.
func FuzzOpenerPeer(f *testing.F) {
	f.Add(true, []byte{23, 5, 'h', 'e', 'l', 'l', 'o', 22, 5, 24, 0, 0, 1, 1, 23, 1, 'x', 21, 2, 1, 0})
	f.Add(true, []byte{22, 1, 24, 22, 4, 0, 0, 1, 0, 23, 1, 'x'})
	f.Add(false, []byte{22, 4, 1, 0, 0, 2, 22, 2, 9, 9, 23, 1, 'x', 21, 2, 1, 100})
	f.Fuzz(func(t *testing.T, v13 bool, script []byte) {
		s := ECDHE_ECDSA_ChaCha20Poly1305
		if v13 {
			s = ChaCha20Poly1305
		}
		fo, o := newForger(t, s)
		var updates int
		for len(script) >= 2 {
			typ, n := contentType(script[0]), min(int(script[1]), len(script)-2)
			content := script[2 : 2+n]
			script = script[2+n:]
			if v13 && typ == 0 {
				continue // would be padding
			}
			rec := fo.record(typ, content...)
			before := o.msg
			got, plain, ev, err := o.Open(rec)
			if err != nil {
				var ae *AlertError
				if !errors.As(err, &ae) || got != 0 || plain != nil {
					t.Fatalf("n=%d, %d bytes, %v", got, len(plain), err)
				}
				return
			}
			if got != len(rec) {
				t.Fatalf("n=%d of %d", got, len(rec))
			}
			if typ == typeData && !bytes.Equal(plain, content) || typ != typeData && plain != nil {
				t.Fatalf("type %d with %q gave %q", typ, content, plain)
			}
			switch ev {
			case EventKeyUpdate, EventKeyUpdateRequested:
				msg := append(before.buf[:before.n:before.n], content...)
				if !v13 || !bytes.Equal(msg[:4], []byte{24, 0, 0, 1}) || len(msg) != 5 || msg[4] > 1 {
					t.Fatalf("KeyUpdate out of %v", msg)
				}
				if updates++; updates > len(script)+maxUseless+1 {
					t.Fatal("updates without end")
				}
				fo.update()
			case EventClose:
				if typ != typeAlert || content[1] != 0 {
					t.Fatalf("close out of %v", content)
				}
				return
			}
		}
	})
}

// FuzzFramer cuts data at fuzzed lengths, gathers it in fuzzed ranges and opens it again.
func FuzzFramer(f *testing.F) {
	f.Add(uint8(0), uint16(100), uint16(1000), []byte("some data to be cut into pieces"), []byte{3, 4, 5})
	f.Add(uint8(3), uint16(1), uint16(1), []byte("tiny records"), []byte{0, 1, 255})
	f.Fuzz(func(t *testing.T, kind uint8, small, large uint16, data, cuts []byte) {
		suite := allSuites[int(kind)%len(allSuites)]
		w, r := pair(t, suite)
		fr := newFramer(t, Mode(1+kind%2), w)
		fr.SetPolicy(RecordPolicy{Small: int(small), SmallBytes: int64(len(data) / 2), Large: int(large)})
		var q queue
		var pg page
		rest := data
		for _, c := range cuts {
			n := min(int(c), len(rest))
			if err := fr.Append(&q, []stream.Piece{pg.piece(rest[:n]), pg.piece(rest[n:])}); err != nil {
				t.Fatal(err)
			}
			rest = append(bytes.Clone(rest[n:]), rest[:n]...) // and once more, rotated
			if len(q.spans) > 200 {
				break
			}
		}
		var want, wire []byte
		rest = data
		for at, i := 0, 0; at < q.len(); i++ {
			step := 1 + i
			if len(cuts) > 0 {
				step += int(cuts[i%len(cuts)]) * 7
			}
			to := min(at+step, q.len())
			wire = append(wire, q.gather(at, to)...)
			at = to
		}
		got := openAll(t, r, wire)
		for len(want) < len(got) && len(data) > 0 {
			n := min(int(cuts[(len(want)/len(data))%len(cuts)]), len(rest))
			want = append(want, rest...)
			rest = append(bytes.Clone(rest[n:]), rest[:n]...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("opened %d bytes, want %d", len(got), len(want))
		}
		q.release()
		if pg.holds.Load() != 0 {
			t.Fatal("holds left")
		}
	})
}
