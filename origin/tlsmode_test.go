package origin

import (
	"testing"

	"ocaserve/ktls"
	"ocaserve/ktls/offload"
	"ocaserve/tcpstack"
)

// Who seals is counted by what is done, not by what was asked for, and said with the reason.
func TestTLSModes(t *testing.T) {
	nic := func(o *Options) { o.TLS, o.Mode = new(ktls.ServerConfig), ktls.ModeNIC }
	r := newRig(t, someFiles, nic, func(o *Options) { o.NIC = func(*tcpstack.Shard) offload.NIC { return nil } })
	r.sh.setNIC(fullNIC{})
	for _, m := range []ktls.Mode{ktls.ModeUser, ktls.ModeInline, ktls.ModeNIC} {
		r.dialClient(m).ask(get("/a.txt"))
	}
	r.dial() // no TLS: counts nowhere
	st := r.sh.tlsStats()
	want := Sealers{User: 1, SW: 2}
	if st.Begun != want || st.Now != want || st.SWGCM != 2 || st.SWCha != 0 {
		t.Errorf("%+v", st)
	}
	if got := r.sh.sessions.next.sealing().String(); got != "sw(table_full)" { // the last but one
		t.Errorf("nic without a context: %q", got)
	}
	if err := r.srv.SetMode(ktls.ModeOff); err == nil {
		t.Error("HTTPS took mode off")
	}
	r.sh.setMode(ktls.ModeUser)
	if r.sh.mode != ktls.ModeUser {
		t.Error("the mode of new connections stays")
	}
}

// A record that is not authentic and the peer's KeyUpdates are counted under Linux's names.
func TestTLSCounters(t *testing.T) {
	r := newRig(t, someFiles)
	c := r.dialClient(ktls.ModeInline)
	c.ask(get("/a.txt"))
	if err := c.framer.KeyUpdate(c, true); err != nil {
		t.Fatal(err)
	}
	c.ask(get("/a.txt"))
	bad := c.seal(get("/a.txt"))
	bad[len(bad)-1] ^= 1
	c.arrive(bad)
	r.settle()
	st := r.sh.tlsStats()
	if st.RekeysIn != 1 || st.KeyUpdates != 1 || st.DecryptErrors != 1 {
		t.Errorf("%+v", st)
	}
}
