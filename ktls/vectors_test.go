package ktls

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"ocaserve/tcpstack/stream"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 8448, 3 (Simple 1-RTT Handshake): the application traffic secrets, and 50 bytes of data each way. The
// server has sent a ticket before, so its record is number 1.
func TestRFC8448(t *testing.T) {
	data := make([]byte, 50)
	for i := range data {
		data[i] = byte(i)
	}
	for _, c := range []struct {
		side, secret, key, iv string
		seq                   uint64
		record                string
	}{
		{"client", "9e40646ce79a7f9dc05af8889bce6552 875afa0b06df0087f792ebb7c17504a5",
			"17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9", 0,
			`17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe
			 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b
			 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4`},
		{"server", "a11af9f05531f856ad47116b45a95032 8204b4f44bfb6b3a4b4f1f3fcb631643",
			"9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984", 1,
			`17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad
			 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8
			 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d`},
	} {
		secret, want := unhex(t, c.secret), unhex(t, c.record)
		info, err := AES128GCM.info(TLS13)
		if err != nil {
			t.Fatal(err)
		}
		key, iv, err := info.trafficKeys(secret)
		if err != nil || !bytes.Equal(key, unhex(t, c.key)) || !bytes.Equal(iv, unhex(t, c.iv)) {
			t.Errorf("%s: key %x, iv %x, %v", c.side, key, iv, err)
		}
		w, err := NewWriteState13(AES128GCM, secret, c.seq)
		if err != nil {
			t.Fatal(err)
		}
		f, q := newFramer(t, ModeInline, w), queue{}
		if err := f.Append(&q, []stream.Piece{{Data: data}}); err != nil {
			t.Fatal(err)
		}
		if got := q.gather(0, q.len()); !bytes.Equal(got, want) {
			t.Errorf("%s: record\n%x, want\n%x", c.side, got, want)
		}
		r, err := NewReadState13(AES128GCM, secret, c.seq)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := open(t, NewOpener(r), want); !bytes.Equal(got, data) {
			t.Errorf("%s: opened %x", c.side, got)
		}
	}
}

// The PRF of TLS 1.2 with SHA-256 over several blocks: the vector that circulated on the TLS working group's list.
func TestPRF12(t *testing.T) {
	got := make([]byte, 100)
	prf12(sha256.New, got, unhex(t, "9bbe436ba940f017b17652849a71db35"), "test label", unhex(t, "a0ba9f936cda3118 27a6f796ffd5198c"))
	want := unhex(t, `e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af
		0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66`)
	if !bytes.Equal(got, want) {
		t.Fatalf("%x\nwant\n%x", got, want)
	}
}

// No suite of one version protects records of the other, and unknown ones protect nothing.
func TestSuiteInfo(t *testing.T) {
	for s := range suites {
		if _, err := s.info(TLS12 + TLS13 - s.version()); err == nil {
			t.Errorf("%v in the wrong version", s)
		}
		if !strings.HasPrefix(s.String(), "TLS_") {
			t.Errorf("%v", s)
		}
	}
	if _, err := NewWriteState13(0x1304, make([]byte, 32), 0); err == nil || !strings.Contains(err.Error(), "0x1304") {
		t.Errorf("TLS_AES_128_CCM_SHA256: %v", err)
	}
}
