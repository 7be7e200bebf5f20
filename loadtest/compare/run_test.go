package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ocaserve/ktls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a comparison that takes a moment, counted in responses.
func small(modes ...ktls.Mode) Options {
	return Options{Modes: modes, Loss: []float64{0}, Conns: []int{3}, Size: 256 << 10, Rounds: 2, Responses: 24, Seed: 1}
}

// TestRun compares all modes with a handful of responses: what is checked is that bytes are, not how fast.
func TestRun(t *testing.T) {
	o := small(ktls.ModeOff, ktls.ModeUser, ktls.ModeInline, ktls.ModeNIC)
	o.Loss = []float64{0, 0.02}
	var told []Progress
	o.Progress = func(p Progress) { told = append(told, p) }
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 16 || told[15].Done != 15 || told[15].Total != 16 || told[1].Cell.Mode != ktls.ModeUser {
		t.Errorf("progress %+v", told)
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		for _, got := range c.Rounds {
			if got.Verified == 0 || got.Responses < 24 || got.Body < 22*256<<10 { // the first ones begin in the middle of the file
				t.Errorf("%v, loss %v: %d bytes compared, %d responses of %d bytes", c.Mode, c.Loss, got.Verified, got.Responses, got.Body)
			}
			byNIC := got.Ledger["sealed_nic"] > 0
			if byNIC != (c.Mode == ktls.ModeNIC) {
				t.Errorf("%v, loss %v: the adapter sealed %d bytes", c.Mode, c.Loss, got.Ledger["sealed_nic"])
			}
			if copied := got.Ledger["copied_frame"] > 0; copied != (c.Mode == ktls.ModeUser) {
				t.Errorf("%v: %d bytes copied into records", c.Mode, got.Ledger["copied_frame"])
			}
		}
	}
}

func TestCiphers(t *testing.T) {
	for _, v := range []ktls.Version{ktls.TLS12, ktls.TLS13} {
		for _, c := range []Cipher{AES128GCM, AES256GCM, ChaCha20} {
			o := small(ktls.ModeInline)
			o.Version, o.Cipher, o.Rounds = v, c, 1
			if _, err := Run(t.Context(), o); err != nil {
				t.Errorf("%v %v: %v", v, c, err)
			}
		}
	}
}

// staged is a stage for o until the test ends.
func staged(t *testing.T, o *Options) *stage {
	t.Helper()
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	s, err := newStage(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// TestWrongBytes: a client whose file is another one must not accept what comes.
func TestWrongBytes(t *testing.T) {
	for _, m := range []ktls.Mode{ktls.ModeOff, ktls.ModeInline} {
		o := small(m)
		s := staged(t, &o)
		s.file[100_000] ^= 1
		if _, err := s.rounds(t.Context()); err == nil || !strings.Contains(err.Error(), "wrong bytes between") {
			t.Errorf("%v: one bit of difference: %v", m, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	o := small(ktls.ModeOff, ktls.ModeInline)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(p Progress) {
		if p.Done == 3 {
			cancel()
		}
	}
	r, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if r == nil || r.Done() != 3 || r.Planned() != 4 || r.Rounds != 1 {
		t.Fatalf("report %+v", r)
	}
	o.Progress = func(Progress) {}
	if r, err := Run(ctx, o); r != nil || !errors.Is(err, ErrNothing) {
		t.Errorf("nothing measured: %v, %v", r, err)
	}
}

func TestJSON(t *testing.T) {
	r, err := Run(t.Context(), small(ktls.ModeInline, ktls.ModeNIC))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var j struct {
		Cells []struct {
			Mode    string
			Figures map[string]Spread
			Rounds  []struct {
				Figures map[string]float64
				Ledger  map[string]uint64 `json:"ledger_bytes"`
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &j); err != nil {
		t.Fatal(err)
	}
	if len(j.Cells) != 2 || j.Cells[1].Mode != "nic" || len(j.Cells[1].Rounds) != 2 {
		t.Fatalf("cells %+v", j.Cells)
	}
	for _, key := range []string{Goodput, HostCPU, NICCPU, Copies, Touches, ReDMA, Predicted, TTFB50} {
		s := j.Cells[1].Figures[key]
		if !(s.Min <= s.Median && s.Median <= s.Max) || s.Max == 0 && key != Copies {
			t.Errorf("%s: %+v", key, s)
		}
	}
	if _, has := j.Cells[0].Figures[Predicted]; has {
		t.Error("inline has a prediction of what an adapter fetches")
	}
	if j.Cells[0].Rounds[0].Ledger["sealed_host"] == 0 {
		t.Error("the ledger is empty")
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Loss = []float64{0.3} }, "--loss 30%: use 0% to 20%"},
		{func(o *Options) { o.Loss = []float64{math.NaN()} }, "--loss NaN%: use 0% to 20%"},
		{func(o *Options) { o.Loss = []float64{0, 0.1, 0} }, "--loss: 0 is given twice"},
		{func(o *Options) { o.Modes = []ktls.Mode{ktls.ModeNIC, ktls.ModeNIC} }, "--modes: nic is given twice"},
		{func(o *Options) { o.Conns = []int{8, 0} }, "--conns 0: use 1 to 16384 connections"},
		{func(o *Options) { o.Conns = []int{maxConns + 1} }, "--conns 16385: use 1 to 16384 connections"},
		{func(o *Options) { o.Conns = []int{2, 2} }, "--conns: 2 is given twice"},
		{func(o *Options) { o.Net = "relay" }, "--net relay: use memory or tun"},
		{func(o *Options) { o.Size = 5 }, "--size of 5 bytes: use 64KiB to 1GiB"},
		{func(o *Options) { o.Duration = 1 }, "--duration 1ns: use 10ms or more"},
		{func(o *Options) { o.Rounds = -1 }, "--rounds -1: use 1 or more"},
		{func(o *Options) { o.MaxRexmit = 1.5 }, "--max-rexmit 150%: use more than 0%, up to 100%"},
		{func(o *Options) { o.RTT = -1 }, "--rtt -1ns: use 0s to 2s"},
	} {
		var o Options
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		tt.change(&o)
		if err := o.Check(); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}
