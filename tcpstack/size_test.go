package tcpstack

import (
	"runtime"
	"testing"
	"unsafe"
)

// TestConnSize pins what a connection costs: the struct, and for an idle one nothing else on the heap but its
// congestion control.
func TestConnSize(t *testing.T) {
	size := unsafe.Sizeof(Conn{})
	t.Logf("sizeof(Conn) = %d", size)
	if size > 1528 { // the allocator's class of 1536, less what it notes itself; the next is 1792
		t.Errorf("sizeof(Conn) = %d", size)
	}
	p := newPeer(t, Config{})
	p.quiet = true
	p.listen(ListenConfig{})
	open := func(n int) {
		for range n {
			p.flow.RemotePort++
			p.put(sg{flags: fS, opt: synOptions()})
			p.settle()
			p.irs = p.dev.out[0].seg.Seq
			p.skip()
			p.put(sg{flags: fA, seq: 1, ack: 1, n: 100}) // a request, read by the application
			p.settle()
			p.skip()
			p.host.got = p.host.got[:0]
		}
	}
	p.flow.RemotePort = 1000
	open(100)
	const n = 2000
	before := heap()
	open(n)
	each := (heap() - before) / n
	goroutines := runtime.NumGoroutine()
	// The size class of Conn, the flow table's entry (44 bytes and a pointer at up to a half full table), and
	// the congestion control, at most 160.
	if limit := int64(size) + 160 + 300; each > limit {
		t.Errorf("%d bytes of heap for each idle connection, want at most %d", each, limit)
	}
	t.Logf("%d bytes of heap for each idle connection", each)
	if p.s.blocks.InUse() != 0 || len(p.s.flows) != n+100 || goroutines > 10 {
		t.Errorf("%d bytes of receive memory, %d connections, %d goroutines", p.s.blocks.InUse(), len(p.s.flows), goroutines)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
