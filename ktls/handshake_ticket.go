package ktls

import (
	"bytes"
	"crypto/tls"
)

// masterTag marks our entry in the extra data of a ticket, as tls.SessionState.Extra asks for.
var masterTag = []byte("ocaserve/ktls/master/1:")

// wrap makes a session ticket with the server's ticket keys. crypto/tls logs no key when it resumes a TLS 1.2
// session, and the new key block comes from the old master secret, which its ticket holds where we may not
// look. So we add the master secret once more where we may. The whole ticket is encrypted.
func (t *tap) wrap(conf *tls.Config, st tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
	if Version(st.Version) == TLS12 {
		state.Extra = append(state.Extra, bytes.Join([][]byte{masterTag, t.secrets.master.bytes()}, nil))
	}
	return conf.EncryptTicket(st, state)
}

// unwrap opens a ticket. A TLS 1.2 session without our entry is not resumed. If crypto/tls chooses not to
// resume the others either, the key log overwrites what is remembered here.
func (t *tap) unwrap(conf *tls.Config, ticket []byte, st tls.ConnectionState) (*tls.SessionState, error) {
	state, err := conf.DecryptTicket(ticket, st)
	if err != nil || state == nil || Version(st.Version) != TLS12 {
		return state, err
	}
	for _, e := range state.Extra {
		master, ok := bytes.CutPrefix(e, masterTag)
		if ok && len(master) == len(t.secrets.master.buf) {
			t.secrets.master.n = copy(t.secrets.master.buf[:], master)
			return state, nil
		}
	}
	return nil, nil
}
