package syn

import (
	"testing"

	"ocaserve/tcpstack/mono"
)

// RFC 7413 section 4.1.2: a cookie is bound to the client's address, not to its port, and is good while either of
// two secrets is.
func TestFastOpenCookie(t *testing.T) {
	o, f := NewFastOpen(testKey), flow(1)
	const tick = mono.Time(FastOpenTick)
	made := 10*tick + 5
	c := o.Make(made, &f)
	if c.Len != FastOpenLen || !c.Has {
		t.Fatalf("%+v", c)
	}
	for _, tt := range []struct {
		at      mono.Time
		ok, old bool
	}{{made, true, false}, {11*tick - 1, true, false}, {11 * tick, true, true}, {12*tick - 1, true, true}, {12 * tick, false, true}} {
		if ok, old := o.Check(tt.at, &f, c.Cookie()); ok != tt.ok || old != tt.old {
			t.Errorf("after %v: %v %v", tt.at.Sub(made), ok, old)
		}
	}
	g := f
	g.RemotePort++
	if ok, _ := o.Check(made, &g, c.Cookie()); !ok {
		t.Error("another port of the same host was refused")
	}
	g = f
	g.Remote[15]++
	if ok, _ := o.Check(made, &g, c.Cookie()); ok {
		t.Error("good for another host")
	}
	for i := range 8 * FastOpenLen {
		bad := c
		bad.Data[i/8] ^= 1 << (i % 8)
		if ok, _ := o.Check(made, &f, bad.Cookie()); ok {
			t.Errorf("bit %d does not count", i)
		}
	}
	for _, n := range []int{0, 4, 6} {
		if ok, _ := o.Check(made, &f, c.Data[:n]); ok {
			t.Errorf("%d bytes are enough", n)
		}
	}
	if ok, _ := NewFastOpen(NewKey()).Check(made, &f, c.Cookie()); ok {
		t.Error("good under another key")
	}
	if n := testing.AllocsPerRun(100, func() { o.Check(made, &f, c.Cookie()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
