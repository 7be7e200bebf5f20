package tcpstack

import (
	"ocaserve/tcpstack/mono"
	"ocaserve/tcpstack/wire"
)

// mtuCacheSize bounds the hosts whose path MTU a shard remembers.
const mtuCacheSize = 1024

// mtuEntry is what is known of the path to a host.
type mtuEntry struct {
	mtu   int       // works, bytes
	high  int       // nothing larger does
	until mono.Time // forgotten then
}

// An mtuCache remembers the paths that carry less than the interface. At the bound the oldest entry goes: to
// forget costs a search, nothing else.
type mtuCache struct {
	hosts map[wire.Addr]mtuEntry
	order []wire.Addr // a ring of the keys, by age
	next  int
}

func (m *mtuCache) get(now mono.Time, host wire.Addr) (mtuEntry, bool) {
	e, ok := m.hosts[host]
	return e, ok && now < e.until
}

func (m *mtuCache) put(host wire.Addr, e mtuEntry) {
	if m.hosts == nil {
		m.hosts = make(map[wire.Addr]mtuEntry)
	}
	if _, ok := m.hosts[host]; !ok {
		if len(m.order) < mtuCacheSize {
			m.order = append(m.order, host)
		} else {
			delete(m.hosts, m.order[m.next])
			m.order[m.next] = host
			m.next = (m.next + 1) % mtuCacheSize
		}
	}
	m.hosts[host] = e
}
