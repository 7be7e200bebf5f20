package nicoffload

import (
	"fmt"

	"ocaserve/tcpstack/mono"
)

// watch is the driver's watchdog (Linux: ndo_tx_timeout). A ring that is not empty and of which nothing completes
// for too long is reset: the adapter's thread forgets what is in it and completes it, so that nothing stays
// pinned; TCP sends it again. If that thread itself hangs, in the link, the memory stays with it: it may be read.
func (d *Device) watch(now mono.Time) {
	if d.done != d.seen || d.posted == d.done || d.moved == 0 {
		d.moved, d.seen = now, d.done
		return
	}
	if now.Sub(d.moved) < d.nif.cfg.Watchdog || d.nic.reset.Load() {
		return
	}
	d.moved = now
	d.count.timeouts.Add(1)
	d.nic.count.resets.Add(1)
	if d.nif.cfg.Log != nil {
		d.nif.cfg.Log(fmt.Sprintf("%s: transmit queue stalled for %v with %d descriptors: reset",
			d.nif.name, d.nif.cfg.Watchdog, d.posted-d.done))
	}
	d.nic.reset.Store(true)
	d.nic.doorbell()
}
