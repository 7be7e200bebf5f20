package nicoffload

import (
	"fmt"
	"sync/atomic"
)

// A tally is what a call of Transmit counts of its frames, to be added to the counters at its end: an atomic addition
// waits for all stores before it, such as those to a descriptor that another processor had.
type tally struct {
	packets, bytes                   uint64
	tsoPackets, tsoBytes             uint64
	csumPartial, csumNone            uint64
	encryptedPackets, encryptedBytes uint64
}

// addTo adds t to the counters and begins anew.
func (t *tally) addTo(c *driverCounters) {
	c.packets.Add(t.packets)
	c.bytes.Add(t.bytes)
	addSome(&c.tsoPackets, t.tsoPackets)
	addSome(&c.tsoBytes, t.tsoBytes)
	addSome(&c.csumPartial, t.csumPartial)
	addSome(&c.csumNone, t.csumNone)
	addSome(&c.encryptedPackets, t.encryptedPackets)
	addSome(&c.encryptedBytes, t.encryptedBytes)
	*t = tally{}
}

func addSome(c *atomic.Uint64, n uint64) {
	if n > 0 {
		c.Add(n)
	}
}

// driverCounters are written by the shard that drives a queue and read by anybody.
type driverCounters struct {
	packets, bytes                                  atomic.Uint64
	tsoPackets, tsoBytes, gsoFrames                 atomic.Uint64
	csumPartial, csumNone                           atomic.Uint64
	queueStopped, queueWake                         atomic.Uint64
	encryptedPackets, encryptedBytes                atomic.Uint64
	ctx, ctxAdded, ctxDeleted, ctxEvicted, ctxFull  atomic.Uint64
	ooo, dumpPackets, dumpBytes, resyncBytes        atomic.Uint64
	skipNoSyncData, dropNoSyncData, dropBypassReq   atomic.Uint64
	dropped, cqeBad, timeouts, verified, rxMismatch atomic.Uint64
}

// nicCounters are written by the adapter's thread of a queue.
type nicCounters struct {
	poll, arm                               atomic.Uint64
	linkFrames, sealFailed                  atomic.Uint64
	spreadFrames, spreadHeld, spreadDropped atomic.Uint64
	stalls, stalledNs                       atomic.Uint64
	rxPackets, rxBytes, lroPackets          atomic.Uint64
	rxCsumUnnecessary, rxCsumNone           atomic.Uint64
	rxCsumBad, rxNoRoom                     atomic.Uint64
	resets, resetDropped                    atomic.Uint64
	mismatchCsum, mismatchTSO, mismatchTLS  atomic.Uint64
	faultsDone                              atomic.Uint64
}

// A Stat is a line of ethtool -S.
type Stat struct {
	Name  string
	Value uint64
}

// statTable says how each line is read from a queue. Names are mlx5's and FreeBSD's where they have one for it;
// the meaning is in the comment where the name does not tell it.
var statTable = []struct {
	name string
	of   func(d *Device) *atomic.Uint64
}{
	{"tx_packets", func(d *Device) *atomic.Uint64 { return &d.count.packets }}, // as on the wire
	{"tx_bytes", func(d *Device) *atomic.Uint64 { return &d.count.bytes }},
	{"tx_tso_packets", func(d *Device) *atomic.Uint64 { return &d.count.tsoPackets }}, // superframes
	{"tx_tso_bytes", func(d *Device) *atomic.Uint64 { return &d.count.tsoBytes }},     // their payload
	{"tx_gso_host", func(d *Device) *atomic.Uint64 { return &d.count.gsoFrames }},     // cut by the driver: TSO is off
	{"tx_csum_none", func(d *Device) *atomic.Uint64 { return &d.count.csumNone }},
	{"tx_csum_partial", func(d *Device) *atomic.Uint64 { return &d.count.csumPartial }},
	{"tx_queue_stopped", func(d *Device) *atomic.Uint64 { return &d.count.queueStopped }},
	{"tx_queue_wake", func(d *Device) *atomic.Uint64 { return &d.count.queueWake }},
	{"tx_queue_dropped", func(d *Device) *atomic.Uint64 { return &d.count.dropped }},
	{"tx_cqe_err", func(d *Device) *atomic.Uint64 { return &d.count.cqeBad }}, // completions that were none
	{"tx_timeout", func(d *Device) *atomic.Uint64 { return &d.count.timeouts }},
	{"tx_tls_encrypted_packets", func(d *Device) *atomic.Uint64 { return &d.count.encryptedPackets }},
	{"tx_tls_encrypted_bytes", func(d *Device) *atomic.Uint64 { return &d.count.encryptedBytes }},
	{"tx_tls_ctx", func(d *Device) *atomic.Uint64 { return &d.count.ctx }}, // now in the table
	{"tx_tls_ctx_added", func(d *Device) *atomic.Uint64 { return &d.count.ctxAdded }},
	{"tx_tls_ctx_deleted", func(d *Device) *atomic.Uint64 { return &d.count.ctxDeleted }},
	{"tx_tls_ctx_evicted", func(d *Device) *atomic.Uint64 { return &d.count.ctxEvicted }},
	{"tx_tls_ctx_full", func(d *Device) *atomic.Uint64 { return &d.count.ctxFull }}, // refused
	{"tx_tls_ooo", func(d *Device) *atomic.Uint64 { return &d.count.ooo }},
	{"tx_tls_dump_packets", func(d *Device) *atomic.Uint64 { return &d.count.dumpPackets }},
	{"tx_tls_dump_bytes", func(d *Device) *atomic.Uint64 { return &d.count.dumpBytes }},
	{"tx_tls_resync_bytes", func(d *Device) *atomic.Uint64 { return &d.count.resyncBytes }},         // payload that came out of sequence
	{"tx_tls_skip_no_sync_data", func(d *Device) *atomic.Uint64 { return &d.count.skipNoSyncData }}, // out of sequence, and began a record: nothing to read
	{"tx_tls_drop_no_sync_data", func(d *Device) *atomic.Uint64 { return &d.count.dropNoSyncData }},
	{"tx_tls_drop_bypass_req", func(d *Device) *atomic.Uint64 { return &d.count.dropBypassReq }},
	{"tx_tls_drop_lost_place", func(d *Device) *atomic.Uint64 { return &d.nic.count.sealFailed }},
	{"tx_rtlmt_frames", func(d *Device) *atomic.Uint64 { return &d.nic.count.spreadFrames }},
	{"tx_rtlmt_held", func(d *Device) *atomic.Uint64 { return &d.nic.count.spreadHeld }},       // waited for the adapter's memory
	{"tx_rtlmt_dropped", func(d *Device) *atomic.Uint64 { return &d.nic.count.spreadDropped }}, // packets, by a reset
	{"tx_link_frames", func(d *Device) *atomic.Uint64 { return &d.nic.count.linkFrames }},
	{"tx_bus_stalls", func(d *Device) *atomic.Uint64 { return &d.nic.count.stalls }},
	{"tx_bus_stalled_ns", func(d *Device) *atomic.Uint64 { return &d.nic.count.stalledNs }},
	{"rx_packets", func(d *Device) *atomic.Uint64 { return &d.nic.count.rxPackets }},
	{"rx_bytes", func(d *Device) *atomic.Uint64 { return &d.nic.count.rxBytes }},
	{"rx_lro_packets", func(d *Device) *atomic.Uint64 { return &d.nic.count.lroPackets }}, // added to the one before
	{"rx_csum_unnecessary", func(d *Device) *atomic.Uint64 { return &d.nic.count.rxCsumUnnecessary }},
	{"rx_csum_none", func(d *Device) *atomic.Uint64 { return &d.nic.count.rxCsumNone }},
	{"rx_wrong_csum", func(d *Device) *atomic.Uint64 { return &d.nic.count.rxCsumBad }},
	{"rx_out_of_buffer", func(d *Device) *atomic.Uint64 { return &d.nic.count.rxNoRoom }}, // had to wait
	{"ch_poll", func(d *Device) *atomic.Uint64 { return &d.nic.count.poll }},
	{"ch_arm", func(d *Device) *atomic.Uint64 { return &d.nic.count.arm }},
	{"ifnet.reset", func(d *Device) *atomic.Uint64 { return &d.nic.count.resets }},
	{"ifnet.reset_dropped", func(d *Device) *atomic.Uint64 { return &d.nic.count.resetDropped }}, // descriptors
	{"verify_frames", func(d *Device) *atomic.Uint64 { return &d.count.verified }},
	{"verify_tx_checksum", func(d *Device) *atomic.Uint64 { return &d.nic.count.mismatchCsum }}, // frames that differed
	{"verify_tso", func(d *Device) *atomic.Uint64 { return &d.nic.count.mismatchTSO }},
	{"verify_tls", func(d *Device) *atomic.Uint64 { return &d.nic.count.mismatchTLS }},
	{"verify_rx_checksum", func(d *Device) *atomic.Uint64 { return &d.count.rxMismatch }},
	{"faults_injected", func(d *Device) *atomic.Uint64 { return &d.nic.count.faultsDone }},
}

// Stats sums the queues' counters. It may be called from any goroutine.
func (i *Interface) Stats() []Stat {
	list := make([]Stat, 0, len(statTable)+2)
	for _, s := range statTable {
		sum := uint64(0)
		for _, d := range i.devices {
			sum += s.of(d).Load()
		}
		list = append(list, Stat{s.name, sum})
	}
	return append(list, Stat{"bus_bytes", i.bus.used.Load()}, Stat{"dram_bytes", i.dram.used.Load()})
}

// QueueStats is Stats for each queue alone: "tx0_packets", "rx1_bytes", "ch0_poll".
func (i *Interface) QueueStats() []Stat {
	var list []Stat
	for q, d := range i.devices {
		for _, s := range statTable {
			list = append(list, Stat{queueName(s.name, q), s.of(d).Load()})
		}
	}
	return list
}

// queueName puts a queue's number behind the name's first word.
func queueName(name string, q int) string {
	for k, c := range name {
		if c == '_' || c == '.' {
			return fmt.Sprintf("%s%d%s", name[:k], q, name[k:])
		}
	}
	return name
}
