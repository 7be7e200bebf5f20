package s3fifo

// stepMain looks at the oldest slot of the main queue: it evicts one without hits, and sends round one that has
// any, at the price of one hit. So a slot survives at most maxFreq rounds without being used, and a scan ends.
func (p *Policy) stepMain(busy func(uint32) bool) (victim uint32, verdict verdict) {
	i := p.main.tail
	p.main.remove(p.nodes, i)
	if busy(i) {
		p.main.push(p.nodes, i)
		return none, passedOver
	}
	n := &p.nodes[i]
	if n.freq > 0 {
		n.freq--
		p.main.push(p.nodes, i)
		return none, moved
	}
	return i, evicted
}
