package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack"
	"ocaserve/tcpstack/trace"
)

// printConns prints what ss -tan prints, and below each connection with an Info what ss -ti does.
func printConns(w io.Writer, all []connView, header bool) error {
	rows := make([][5]string, 0, len(all)+1)
	rows = append(rows, [5]string{"State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"})
	for i := range all {
		v := &all[i]
		rows = append(rows, [5]string{
			v.State, strconv.FormatInt(v.RecvQ, 10), strconv.FormatInt(v.SendQ, 10), v.Local.String(), v.Remote.String(),
		})
	}
	var width [5]int
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for n, r := range rows {
		if n == 0 && !header {
			continue
		}
		// Addresses stand against their colon's side, as ss has them: the local right, the peer's left.
		fmt.Fprintf(&b, "%-*s %-*s %-*s %*s %s\n", width[0], r[0], width[1], r[1], width[2], r[2], width[3], r[3], r[4])
		if n > 0 && all[n-1].Info != nil {
			b.WriteString("\t" + infoLine(&all[n-1]) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// infoText builds the line of ss -ti: fields that are zero are left out, as there.
type infoText struct{ strings.Builder }

func (t *infoText) word(s string) {
	if s != "" {
		t.WriteString(" " + s)
	}
}

func (t *infoText) flag(on bool, s string) {
	if on {
		t.word(s)
	}
}

func (t *infoText) count(name string, n int64) { t.flag(n != 0, name+":"+strconv.FormatInt(n, 10)) }

// ms prints a duration in milliseconds as %g does, to the microsecond.
func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d/time.Microsecond)/1000, 'g', -1, 64)
}

func (t *infoText) time(name string, d time.Duration) {
	if s := ms(d); s != "0" {
		t.word(name + ":" + s)
	}
}

func (t *infoText) rate(name string, r pacing.Rate) {
	t.flag(r > 0, name+" "+ssRate(float64(r)*8)+"bps")
}

// ssRate prints a number of bits per second as ss does: three digits and a letter.
func ssRate(bits float64) string {
	unit := ""
	for _, u := range []string{"K", "M", "G", "T"} {
		if bits < 999.5 {
			break
		}
		bits, unit = bits/1000, u
	}
	return strconv.FormatFloat(bits, 'g', 3, 64) + unit
}

// infoLine is a connection's second line. The order and the labels are those of iproute2's ss; what Linux does
// not have comes at the end.
func infoLine(v *connView) string {
	t, i := &infoText{}, v.Info
	t.flag(i.Options&tcpstack.InfoTimestamps != 0, "ts")
	t.flag(i.Options&tcpstack.InfoSACK != 0, "sack")
	t.flag(i.Options&tcpstack.InfoECN != 0, "ecn")
	t.flag(i.Options&tcpstack.InfoSynData != 0, "fastopen")
	t.word(v.CC)
	t.flag(i.Options&tcpstack.InfoWScale != 0, fmt.Sprintf("wscale:%d,%d", i.SndWScale, i.RcvWScale))
	t.time("rto", i.RTO)
	t.count("backoff", int64(i.Backoff))
	t.flag(i.RTT > 0, "rtt:"+ms(i.RTT)+"/"+ms(i.RTTVar))
	t.count("mss", int64(i.SndMSS))
	t.count("pmtu", int64(i.PMTU))
	t.count("advmss", int64(i.AdvMSS))
	t.count("cwnd", int64(i.SndCwnd))
	if i.SndSsthresh != tcpstack.InfoNoSsthresh {
		t.count("ssthresh", int64(i.SndSsthresh))
	}
	infoTraffic(t, i)
	infoRates(t, i)
	infoLoss(t, i)
	t.flag(v.Stack != "", "stack:"+v.Stack)
	t.flag(v.TLS != "", "tls:"+v.TLS)
	t.word(limitText(i))
	return strings.TrimPrefix(t.String(), " ")
}

func infoTraffic(t *infoText, i *tcpstack.Info) {
	t.count("bytes_sent", i.BytesSent)
	t.count("bytes_retrans", i.BytesRetrans)
	t.count("bytes_acked", i.BytesAcked)
	t.count("bytes_received", i.BytesRecv)
	t.count("segs_out", int64(i.SegsOut))
	t.count("segs_in", int64(i.SegsIn))
	t.count("data_segs_out", int64(i.DataSegsOut))
	t.count("data_segs_in", int64(i.DataSegsIn))
}

func infoRates(t *infoText, i *tcpstack.Info) {
	if i.RTT > 0 && i.SndMSS > 0 && i.SndCwnd > 0 { // what a window per round trip makes
		t.word("send " + ssRate(float64(i.SndCwnd)*float64(i.SndMSS)*8/i.RTT.Seconds()) + "bps")
	}
	t.count("lastsnd", i.LastDataSent.Milliseconds())
	t.count("lastack", i.LastAckRecv.Milliseconds())
	if i.PacingRate > 0 {
		t.word("pacing_rate " + ssRate(float64(i.PacingRate)*8) + "bps")
		if i.MaxPacingRate > 0 {
			t.WriteString("/" + ssRate(float64(i.MaxPacingRate)*8) + "bps")
		}
	}
	t.rate("delivery_rate", i.DeliveryRate)
	t.count("delivered", int64(i.Delivered))
	t.count("delivered_ce", int64(i.DeliveredCE))
	t.flag(i.DeliveryAppLimited, "app_limited")
	if i.BusyTime >= time.Millisecond {
		t.word(fmt.Sprintf("busy:%dms", i.BusyTime.Milliseconds()))
		if d := i.RwndLimited; d >= time.Millisecond {
			t.word(fmt.Sprintf("rwnd_limited:%dms(%.1f%%)", d.Milliseconds(), 100*d.Seconds()/i.BusyTime.Seconds()))
		}
	}
}

func infoLoss(t *infoText, i *tcpstack.Info) {
	t.count("unacked", int64(i.Unacked))
	t.flag(i.Retrans+i.TotalRetrans > 0, fmt.Sprintf("retrans:%d/%d", i.Retrans, i.TotalRetrans))
	t.count("lost", int64(i.Lost))
	t.count("sacked", int64(i.Sacked))
	t.count("dsack_dups", int64(i.DSACKDups))
	t.count("reord_seen", int64(i.ReordSeen))
	t.time("rcv_rtt", i.RcvRTT)
	t.count("rcv_space", i.RcvSpace)
	t.count("notsent", i.NotsentBytes)
	t.time("minrtt", i.MinRTT)
	t.count("rcv_ooopack", int64(i.RcvOOOPack))
	t.count("snd_wnd", i.SndWnd)
	t.count("rcv_wnd", i.RcvWnd)
}

// limitText is what held output back, as shares of the busy time, and what does now.
func limitText(i *tcpstack.Info) string {
	if i.BusyTime <= 0 {
		return ""
	}
	var parts []string
	for l := trace.LimitIdle + 1; l < trace.LimitCount; l++ {
		if d := i.Limits[l]; d > 0 {
			parts = append(parts, fmt.Sprintf("%v:%.1f%%", l, 100*d.Seconds()/i.BusyTime.Seconds()))
		}
	}
	return fmt.Sprintf("limit:%v(%s)", i.Limit, strings.Join(parts, ","))
}
