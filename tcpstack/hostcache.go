package tcpstack

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/syn"
	"ocaserve/tcpstack/wire"
)

// openState is what a shard keeps for what connections negotiate and find out.
type openState struct {
	mtus       hostCache[mtuEntry] // paths that carry less than the interface
	fast       *syn.FastOpen
	fastHosts  hostCache[fastHost] // servers' Fast Open cookies
	fastResets []fastReset         // in order of time
	guards     map[wire.Flow]halfGuard
	swept      mono.Time // when guards were looked through last
}

// hostCacheSize bounds the hosts that a shard remembers something of.
const hostCacheSize = 1024

// A hostCache remembers something of hosts. At the bound the oldest entry goes.
type hostCache[V any] struct {
	hosts map[wire.Addr]V
	order []wire.Addr // a ring of the keys, by age
	next  int
}

func (m *hostCache[V]) get(host wire.Addr) (V, bool) {
	v, ok := m.hosts[host]
	return v, ok
}

func (m *hostCache[V]) put(host wire.Addr, v V) {
	if m.hosts == nil {
		m.hosts = make(map[wire.Addr]V)
	}
	if _, ok := m.hosts[host]; !ok {
		if len(m.order) < hostCacheSize {
			m.order = append(m.order, host)
		} else {
			delete(m.hosts, m.order[m.next])
			m.order[m.next] = host
			m.next = (m.next + 1) % hostCacheSize
		}
	}
	m.hosts[host] = v
}
