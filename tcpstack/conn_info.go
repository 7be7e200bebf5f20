package tcpstack

import (
	"math"
	"net/netip"
	"time"

	"ocaserve/pacing"
	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/ledger"
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/trace"
	"ocaserve/tcpstack/wire"
)

// Bits of Info.Options, with Linux's values.
const (
	InfoTimestamps = 1  // TCPI_OPT_TIMESTAMPS
	InfoSACK       = 2  // TCPI_OPT_SACK
	InfoWScale     = 4  // TCPI_OPT_WSCALE
	InfoECN        = 8  // TCPI_OPT_ECN
	InfoSynData    = 32 // TCPI_OPT_SYN_DATA
)

// InfoNoSsthresh is Info.SndSsthresh before the first loss: TCP_INFINITE_SSTHRESH.
const InfoNoSsthresh = 0x7fffffff

// Info is a snapshot of a connection with the meaning of Linux's struct tcp_info; the comments give its
// names. Counts are segments unless they say otherwise: bytes divided by SndMSS and rounded up. What the
// stack does not know (an estimate of the peer's segment size, say) has no field rather than a zero. In JSON
// the fields have Linux's names, and times are nanoseconds.
type Info struct {
	State       int `json:"state"`       // tcpi_state: TCP_ESTABLISHED is 1, see LinuxState
	CAState     int `json:"ca_state"`    // tcpi_ca_state: Open 0, Disorder 1, CWR 2, Recovery 3, Loss 4
	Retransmits int `json:"retransmits"` // tcpi_retransmits: time-outs in a row
	Probes      int `json:"probes"`      // tcpi_probes: zero-window or keepalive probes unanswered
	Backoff     int `json:"backoff"`     // tcpi_backoff: doublings of the RTO
	Options     int `json:"options"`     // tcpi_options: InfoTimestamps and so on
	SndWScale   int `json:"snd_wscale"`  // tcpi_snd_wscale
	RcvWScale   int `json:"rcv_wscale"`  // tcpi_rcv_wscale

	RTO    time.Duration `json:"rto"`     // tcpi_rto, there in microseconds
	RTT    time.Duration `json:"rtt"`     // tcpi_rtt: smoothed
	RTTVar time.Duration `json:"rttvar"`  // tcpi_rttvar
	MinRTT time.Duration `json:"min_rtt"` // tcpi_min_rtt

	SndMSS int `json:"snd_mss"` // tcpi_snd_mss, bytes
	AdvMSS int `json:"advmss"`  // tcpi_advmss, bytes
	PMTU   int `json:"pmtu"`    // tcpi_pmtu, bytes

	Unacked int `json:"unacked"` // tcpi_unacked
	Sacked  int `json:"sacked"`  // tcpi_sacked
	Lost    int `json:"lost"`    // tcpi_lost
	Retrans int `json:"retrans"` // tcpi_retrans: retransmitted and still in flight

	SndCwnd      int   `json:"snd_cwnd"`       // tcpi_snd_cwnd
	SndSsthresh  int   `json:"snd_ssthresh"`   // tcpi_snd_ssthresh; InfoNoSsthresh: none yet
	SndWnd       int64 `json:"snd_wnd"`        // tcpi_snd_wnd: what the peer offers, bytes
	RcvWnd       int64 `json:"rcv_wnd"`        // tcpi_rcv_wnd: what we offer, bytes
	NotsentBytes int64 `json:"notsent_bytes"`  // tcpi_notsent_bytes
	BytesAcked   int64 `json:"bytes_acked"`    // tcpi_bytes_acked, without the SYN
	BytesRecv    int64 `json:"bytes_received"` // tcpi_bytes_received: in order

	LastDataSent time.Duration `json:"last_data_sent"` // tcpi_last_data_sent: since then, there in milliseconds
	LastAckRecv  time.Duration `json:"last_ack_recv"`  // tcpi_last_ack_recv

	TotalRetrans int   `json:"total_retrans"` // tcpi_total_retrans
	BytesSent    int64 `json:"bytes_sent"`    // tcpi_bytes_sent: with retransmissions
	BytesRetrans int64 `json:"bytes_retrans"` // tcpi_bytes_retrans
	SegsOut      int   `json:"segs_out"`      // tcpi_segs_out
	SegsIn       int   `json:"segs_in"`       // tcpi_segs_in; a superframe counts once
	DataSegsOut  int   `json:"data_segs_out"` // tcpi_data_segs_out
	DataSegsIn   int   `json:"data_segs_in"`  // tcpi_data_segs_in
	Delivered    int   `json:"delivered"`     // tcpi_delivered
	DeliveredCE  int   `json:"delivered_ce"`  // tcpi_delivered_ce: as far as the peer's ECN echoes tell
	DSACKDups    int   `json:"dsack_dups"`    // tcpi_dsack_dups
	ReordSeen    int   `json:"reord_seen"`    // tcpi_reord_seen: ACKs that told of reordering
	RcvOOOPack   int   `json:"rcv_ooopack"`   // tcpi_rcv_ooopack

	PacingRate         pacing.Rate `json:"pacing_rate"`               // tcpi_pacing_rate; 0: not paced
	MaxPacingRate      pacing.Rate `json:"max_pacing_rate"`           // tcpi_max_pacing_rate; 0: none is set
	DeliveryRate       pacing.Rate `json:"delivery_rate"`             // tcpi_delivery_rate: the last sample; 0: not measured
	DeliveryAppLimited bool        `json:"delivery_rate_app_limited"` // tcpi_delivery_rate_app_limited

	RcvRTT   time.Duration `json:"rcv_rtt"`   // tcpi_rcv_rtt: as the receiver sees it
	RcvSpace int64         `json:"rcv_space"` // tcpi_rcv_space: bytes that the application read in the busiest round trip

	BusyTime    time.Duration `json:"busy_time"`    // tcpi_busy_time: something was to be sent or to be acknowledged
	RwndLimited time.Duration `json:"rwnd_limited"` // tcpi_rwnd_limited

	// Limits is the time spent under each limit since the connection was established. They add up to its
	// age. Linux has no such field.
	Limits LimitTimes  `json:"limits"`
	Limit  trace.Limit `json:"limit"` // the one that holds now

	// Book is what happened to the bytes; nil: nothing was sent. Linux has no such field either.
	Book *ledger.Book `json:"book,omitempty"`
}

// linuxStates are the numbers of include/net/tcp_states.h.
var linuxStates = [stateCount]int{
	StateClosed: 7, StateListen: 10, StateSynSent: 2, StateSynReceived: 3, StateEstablished: 1,
	StateFinWait1: 4, StateFinWait2: 5, StateCloseWait: 8, StateClosing: 11, StateLastAck: 9,
	StateTimeWait: 6,
}

// LinuxState is the state's number in Linux's tcp_info and /proc/net/tcp.
func (s State) LinuxState() int { return linuxStates[s] }

// Info returns a snapshot. On the shard only.
func (c *Conn) Info() Info {
	rtt, now := c.rec.RTT(), c.shard.now
	i := Info{
		State: c.state.LinuxState(), CAState: int(c.rec.State()),
		Probes: max(int(c.snd.persistTries), int(c.rcv.probes)), Options: c.infoOptions(),
		SndWScale: int(c.snd.scale), RcvWScale: int(c.rcv.scale),
		RTO: c.rec.RTO(), RTT: rtt.SRTT(), RTTVar: rtt.RTTVar(), MinRTT: rtt.MinRTT(),
		SndMSS: c.snd.mss, AdvMSS: int(c.shard.announcedMSS(&c.flow)), PMTU: c.snd.pmtu,
		SndWnd: c.snd.wnd, RcvWnd: max(0, c.rcv.edge-c.rcvNext()),
		NotsentBytes: c.unsent(), BytesAcked: max(0, c.rec.Una()), BytesRecv: c.in.Next(),
	}
	if c.snd.lastSent.IsSet() {
		i.LastDataSent = now.Sub(c.snd.lastSent)
	}
	if c.rcv.lastHeard.IsSet() {
		i.LastAckRecv = now.Sub(c.rcv.lastHeard)
	}
	c.infoFlight(&i)
	c.infoWindow(&i)
	c.infoCounts(&i)
	c.infoTimes(&i, now)
	if c.book != nil {
		i.Book = new(ledger.Book)
		i.Book.Merge(c.book)
	}
	return i
}

func (c *Conn) infoOptions() (o int) {
	if c.opt.timestamps {
		o |= InfoTimestamps
	}
	if c.opt.sack {
		o |= InfoSACK
	}
	if c.rcv.scale > 0 || c.snd.scale > 0 { // both zero means nothing, agreed or not
		o |= InfoWScale
	}
	if c.ecn.on {
		o |= InfoECN
	}
	if c.fast.data {
		o |= InfoSynData
	}
	return o
}

// infoFlight fills in what is in flight, in segments.
func (c *Conn) infoFlight(i *Info) {
	segments := func(bytes int64) int {
		return int((bytes + int64(max(c.snd.mss, 1)) - 1) / int64(max(c.snd.mss, 1)))
	}
	m := c.rec.Marks()
	i.Unacked, i.Sacked = segments(c.rec.Flight()), segments(m.Sacked)
	i.Lost, i.Retrans = segments(m.Lost), segments(m.Resent)
	i.Backoff, i.Retransmits = m.Backoff, m.Backoff
	if !c.state.synchronized() {
		i.Retransmits = max(0, int(c.snd.synTries)-1)
	}
}

// infoWindow fills in congestion control's figures; before ESTABLISHED and in TIME-WAIT there are none.
func (c *Conn) infoWindow(i *Info) {
	i.SndSsthresh = InfoNoSsthresh
	if c.cc == nil || c.snd.mss == 0 {
		return
	}
	i.SndCwnd = int(c.cc.Window() / int64(c.snd.mss))
	if t, ok := c.cc.(congestion.Thresholder); ok && t.SSThresh() < math.MaxInt64 {
		i.SndSsthresh = int(min(t.SSThresh()/int64(c.snd.mss), InfoNoSsthresh))
	}
}

// infoCounts fills in what the connection has counted.
func (c *Conn) infoCounts(i *Info) {
	n := &c.count
	i.TotalRetrans, i.BytesRetrans = int(n.totalRetrans), int64(n.bytesRetrans)
	i.BytesSent = max(0, min(c.rec.Next(), c.queue.End())) + i.BytesRetrans // without SYN and FIN
	i.SegsOut, i.SegsIn = int(n.segsOut), int(n.segsIn)
	i.DataSegsOut, i.DataSegsIn = int(n.dataSegsOut), int(n.dataSegsIn)
	m := c.rec.Marks()
	i.Delivered = int(c.segments(max(0, c.rec.Una()) + m.Sacked))
	i.DeliveredCE = int(n.deliveredCE)
	i.DSACKDups, i.ReordSeen, i.RcvOOOPack = int(n.dsackDups), m.Reorder, int(n.outOfOrder)
	i.PacingRate, i.MaxPacingRate = c.PacingRate(), c.pace.max
	i.DeliveryRate, i.DeliveryAppLimited = pacing.Rate(n.rate), n.rateLimited
	i.RcvRTT, i.RcvSpace = c.rcv.tune.rtt, c.rcv.tune.space
}

// infoTimes fills in what held output back.
func (c *Conn) infoTimes(i *Info, now mono.Time) {
	i.Limits, i.Limit = c.limitTimes(now), c.heldBy
	i.BusyTime = i.Limits.Total() - i.Limits[trace.LimitIdle]
	i.RwndLimited = i.Limits[trace.LimitRwnd]
}

// Dial opens a connection actively. The handler's first Writable says that it is established; Closed, that
// it failed, and why. A port in use is an error, and so is a stack without room. On the shard that owns the
// flow only; others use [Stack.DialFrom].
func (s *Shard) Dial(local, remote netip.AddrPort, h Handler) (*Conn, error) {
	flow := flowOf(local, remote)
	if err := s.admit(&flow); err != nil {
		return nil, err
	}
	c := s.newConn(&flow, h)
	s.stats.Dialed++
	c.connect(s.now)
	return c, nil
}

// admit makes the flow's place free for an active open.
func (s *Shard) admit(flow *wire.Flow) error {
	if c := s.flows[*flow]; c != nil && c.state == StateTimeWait {
		s.replace(c)
	}
	switch {
	case s.flows[*flow] != nil:
		return errPortsBusy
	case !s.makeRoom():
		return errTooMany
	}
	return nil
}
