package main

import (
	"context"
	"errors"
	"time"

	"ocaserve/ktls"
	"ocaserve/origin"
	"ocaserve/tcpstack"
)

func tlsstatVerb(ctx context.Context, s *server, r *adminRequest) error {
	var args tlsstatArgs
	if err := errors.Join(r.Args(&args), args.check()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var v tlsstatView
	if err := args.apply(ctx, s, &v); err != nil {
		return err
	}
	st, err := s.origin.TLSStats(ctx)
	if err != nil {
		return err
	}
	v.fill(&st, s.origin.Mode(), s.nicCounter("ifnet.reset"), s.nicCounter("ifnet.reset_dropped"))
	return r.Send(v)
}

// apply changes what is to be changed.
func (a *tlsstatArgs) apply(ctx context.Context, s *server, v *tlsstatView) error {
	if a.Mode == "" {
		return nil
	}
	mode, ok := tlsModes[a.Mode]
	if !ok {
		return errors.New("no such mode: " + a.Mode)
	}
	if mode == ktls.ModeNIC && s.link.nic == nil {
		return errNoNIC
	}
	if !a.Move {
		return s.origin.SetMode(mode)
	}
	return a.move(ctx, s.stack, mode, v)
}

// move moves the open connections that carry records.
func (a *tlsstatArgs) move(ctx context.Context, st *tcpstack.Stack, mode ktls.Mode, v *tlsstatView) error {
	filter := ssArgs{State: "connected", Filter: a.Filter}
	match, err := filter.match()
	if err != nil {
		return err
	}
	return st.Walk(ctx, func(c *tcpstack.Conn) {
		if !match(c) {
			return
		}
		switch err := origin.SetSealing(c, mode); {
		case err == nil:
			v.Moved++
		case !errors.Is(err, origin.ErrNoSession): // plain HTTP was not meant
			v.Left++
		}
	}, func() error { return nil })
}

// nicCounter is a counter of the adapter; 0 without one.
func (s *server) nicCounter(name string) uint64 {
	if s.link.nic != nil {
		for _, c := range s.link.nic.Stats() {
			if c.Name == name {
				return c.Value
			}
		}
	}
	return 0
}

// fill gives the counters both systems' names. What cannot occur here is 0: nothing is received by a device, and
// no cipher pads.
func (v *tlsstatView) fill(st *origin.TLSStats, mode ktls.Mode, resets, dropped uint64) {
	v.Mode, v.TXTLS = mode.String(), mode.TXTLS()
	now, begun := &st.Now, &st.Begun
	v.Linux = []ethStat{
		{"TlsCurrTxSw", now.SW}, {"TlsCurrRxSw", now.SW + now.Device}, {"TlsCurrTxDevice", now.Device}, {"TlsCurrRxDevice", 0},
		{"TlsTxSw", begun.SW}, {"TlsRxSw", begun.SW + begun.Device}, {"TlsTxDevice", begun.Device}, {"TlsRxDevice", 0},
		{"TlsDecryptError", st.DecryptErrors}, {"TlsRxDeviceResync", 0}, {"TlsDecryptRetry", 0}, {"TlsRxNoPadViolation", 0},
		{"TlsRxRekeyOk", st.RekeysIn}, {"TlsRxRekeyError", 0}, {"TlsTxRekeyOk", st.KeyUpdates}, {"TlsTxRekeyError", 0},
		{"TlsRxRekeyReceived", st.RekeysIn},
	}
	sw := &st.Switches
	v.ToSW, v.Failed = reasonMap(&sw.ToSW), reasonMap(&sw.Failed)
	v.FreeBSD = []ethStat{
		{"active", now.SW + now.Device}, {"offload_total", begun.SW + begun.Device}, {"sw_tx_inqueue", 0},
		{"switch_to_ifnet", sw.ToIfnet}, {"switch_to_sw", total(&sw.ToSW)}, {"switch_failed", total(&sw.Failed)},
		{"ifnet_disable_ok", sw.ToSW[ktls.ReasonRetransmits]}, {"ifnet_disable_failed", 0}, {"failed_crypto", st.DecryptErrors},
		{"sw.gcm", st.SWGCM}, {"sw.chacha20", st.SWCha}, {"ifnet.gcm", now.Device},
		{"ifnet.reset", resets}, {"ifnet.reset_dropped", dropped},
	}
}

func total(n *[ktls.NumReasons]uint64) (sum uint64) {
	for _, x := range n {
		sum += x
	}
	return sum
}

func reasonMap(n *[ktls.NumReasons]uint64) map[string]uint64 {
	m := make(map[string]uint64, len(n))
	for r, x := range n {
		m[ktls.Reason(r).String()] = x
	}
	return m
}
