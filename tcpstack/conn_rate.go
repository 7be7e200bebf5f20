package tcpstack

import "ocaserve/tcpstack/congestion"

// measureRate has recovery estimate the delivery rate for the congestion controls that need it. The others
// are spared the stamps.
func (c *Conn) measureRate() {
	_, needs := c.cc.(congestion.Modeller)
	c.rec.SetRate(needs)
}
