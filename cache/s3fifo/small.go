package s3fifo

// promoteAbove is the number of hits above which a slot leaving the small queue is promoted to the main queue
// (the paper's "freq > 1").
const promoteAbove = 1

// stepSmall looks at the oldest slot of the small queue and either evicts it or moves it on.
func (p *Policy) stepSmall(busy func(uint32) bool) (victim uint32, verdict verdict) {
	i := p.small.tail
	if busy(i) {
		p.small.remove(p.nodes, i)
		p.small.push(p.nodes, i)
		return none, passedOver
	}
	n := &p.nodes[i]
	p.small.remove(p.nodes, i)
	if n.freq > promoteAbove {
		n.freq = 0
		p.main.push(p.nodes, i)
		return none, moved
	}
	p.ghost.add(n.hash)
	return i, evicted
}
