package script

import (
	"time"

	"ocaserve/tcpstack"
)

// infoFields are the fields of tcp_info that code may ask for, in Linux's units. A field of Linux that is
// not here is one that the stack does not have.
var infoFields = map[string]func(i *tcpstack.Info) float64{
	"tcpi_state":          func(i *tcpstack.Info) float64 { return float64(i.State) },
	"tcpi_ca_state":       func(i *tcpstack.Info) float64 { return float64(i.CAState) },
	"tcpi_retransmits":    func(i *tcpstack.Info) float64 { return float64(i.Retransmits) },
	"tcpi_probes":         func(i *tcpstack.Info) float64 { return float64(i.Probes) },
	"tcpi_backoff":        func(i *tcpstack.Info) float64 { return float64(i.Backoff) },
	"tcpi_options":        func(i *tcpstack.Info) float64 { return float64(i.Options) },
	"tcpi_snd_wscale":     func(i *tcpstack.Info) float64 { return float64(i.SndWScale) },
	"tcpi_rcv_wscale":     func(i *tcpstack.Info) float64 { return float64(i.RcvWScale) },
	"tcpi_rto":            func(i *tcpstack.Info) float64 { return micros(i.RTO) },
	"tcpi_rtt":            func(i *tcpstack.Info) float64 { return micros(i.RTT) },
	"tcpi_rttvar":         func(i *tcpstack.Info) float64 { return micros(i.RTTVar) },
	"tcpi_min_rtt":        func(i *tcpstack.Info) float64 { return micros(i.MinRTT) },
	"tcpi_snd_mss":        func(i *tcpstack.Info) float64 { return float64(i.SndMSS) },
	"tcpi_advmss":         func(i *tcpstack.Info) float64 { return float64(i.AdvMSS) },
	"tcpi_pmtu":           func(i *tcpstack.Info) float64 { return float64(i.PMTU) },
	"tcpi_unacked":        func(i *tcpstack.Info) float64 { return float64(i.Unacked) },
	"tcpi_sacked":         func(i *tcpstack.Info) float64 { return float64(i.Sacked) },
	"tcpi_lost":           func(i *tcpstack.Info) float64 { return float64(i.Lost) },
	"tcpi_retrans":        func(i *tcpstack.Info) float64 { return float64(i.Retrans) },
	"tcpi_snd_cwnd":       func(i *tcpstack.Info) float64 { return float64(i.SndCwnd) },
	"tcpi_snd_ssthresh":   func(i *tcpstack.Info) float64 { return float64(i.SndSsthresh) },
	"tcpi_snd_wnd":        func(i *tcpstack.Info) float64 { return float64(i.SndWnd) },
	"tcpi_rcv_wnd":        func(i *tcpstack.Info) float64 { return float64(i.RcvWnd) },
	"tcpi_notsent_bytes":  func(i *tcpstack.Info) float64 { return float64(i.NotsentBytes) },
	"tcpi_bytes_acked":    func(i *tcpstack.Info) float64 { return float64(i.BytesAcked) },
	"tcpi_bytes_received": func(i *tcpstack.Info) float64 { return float64(i.BytesRecv) },
	"tcpi_total_retrans":  func(i *tcpstack.Info) float64 { return float64(i.TotalRetrans) },
	"tcpi_bytes_sent":     func(i *tcpstack.Info) float64 { return float64(i.BytesSent) },
	"tcpi_bytes_retrans":  func(i *tcpstack.Info) float64 { return float64(i.BytesRetrans) },
	"tcpi_segs_out":       func(i *tcpstack.Info) float64 { return float64(i.SegsOut) },
	"tcpi_segs_in":        func(i *tcpstack.Info) float64 { return float64(i.SegsIn) },
	"tcpi_data_segs_out":  func(i *tcpstack.Info) float64 { return float64(i.DataSegsOut) },
	"tcpi_data_segs_in":   func(i *tcpstack.Info) float64 { return float64(i.DataSegsIn) },
	"tcpi_delivered":      func(i *tcpstack.Info) float64 { return float64(i.Delivered) },
	"tcpi_dsack_dups":     func(i *tcpstack.Info) float64 { return float64(i.DSACKDups) },
	"tcpi_reord_seen":     func(i *tcpstack.Info) float64 { return float64(i.ReordSeen) },
	"tcpi_rcv_ooopack":    func(i *tcpstack.Info) float64 { return float64(i.RcvOOOPack) },
	"tcpi_delivered_ce":   func(i *tcpstack.Info) float64 { return float64(i.DeliveredCE) },
	"tcpi_busy_time":      func(i *tcpstack.Info) float64 { return micros(i.BusyTime) },
	"tcpi_rwnd_limited":   func(i *tcpstack.Info) float64 { return micros(i.RwndLimited) },
	"tcpi_rcv_rtt":        func(i *tcpstack.Info) float64 { return micros(i.RcvRTT) },
	"tcpi_rcv_space":      func(i *tcpstack.Info) float64 { return float64(i.RcvSpace) },
	"tcpi_pacing_rate":    func(i *tcpstack.Info) float64 { return float64(i.PacingRate) },
	"tcpi_delivery_rate":  func(i *tcpstack.Info) float64 { return float64(i.DeliveryRate) },
	"tcpi_last_data_sent": func(i *tcpstack.Info) float64 { return millis(i.LastDataSent) },
	"tcpi_last_ack_recv":  func(i *tcpstack.Info) float64 { return millis(i.LastAckRecv) },
}

func micros(d time.Duration) float64 { return float64(d / time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d / time.Millisecond) }

// infoSymbols are the names that packetdrill defines for the values.
var infoSymbols = map[string]float64{
	"True": 1, "False": 0,
	"TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
	"TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10,
	"TCP_CLOSING": 11,
	"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
	"TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_SYN_DATA": 32,
}
