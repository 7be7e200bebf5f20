package tcpstack

import "testing"

// TestWaitList takes connections off every place of the list.
func TestWaitList(t *testing.T) {
	for gone := range 3 {
		var l waitList
		c := [3]Conn{}
		for i := range c {
			l.push(&c[i])
		}
		l.remove(&c[gone])
		l.remove(&c[gone]) // no longer on it: nothing happens
		l.push(&c[gone])
		var forward, back []*Conn
		for x := l.head; x != nil; x = x.waitNext {
			forward = append(forward, x)
		}
		for x := l.tail; x != nil; x = x.waitPrev {
			back = append(back, x)
		}
		if len(forward) != 3 || len(back) != 3 || forward[2] != &c[gone] || back[0] != &c[gone] || forward[0] != back[2] {
			t.Errorf("after %d was moved: %d forward, %d back", gone, len(forward), len(back))
		}
	}
}
