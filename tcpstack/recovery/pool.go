package recovery

import "math/bits"

// A Pool keeps the memory of scoreboards for reuse, so that connections which go from busy to idle and back
// do not allocate. It belongs to one shard, and the Senders with it in [Config].Pool too. The zero value is
// ready; a nil Pool keeps nothing.
//
// What a Sender takes it gives back when nothing is in flight, or by [Sender.Release].
type Pool struct {
	bursts freeList[burst]
	stamps freeList[stamp]
}

// A freeList holds slices by capacity, which is a power of two.
type freeList[T any] struct{ free [maxClass + 1][][]T }

const (
	maxClass   = 15      // 32768 entries: more than room ever asks for
	keptPerCap = 1 << 13 // entries kept in each class: 192 KiB of bursts
)

// get returns an empty slice for at least n entries.
func (f *freeList[T]) get(n int) []T {
	class := bits.Len(uint(max(n, 1) - 1))
	if f == nil || class > maxClass {
		return make([]T, 0, n)
	}
	list := f.free[class]
	if len(list) == 0 {
		return make([]T, 0, 1<<class)
	}
	last := len(list) - 1
	s := list[last]
	list[last] = nil
	f.free[class] = list[:last]
	return s
}

// put takes what get returned; the caller does not use it any more.
func (f *freeList[T]) put(s []T) {
	class := bits.Len(uint(cap(s))) - 1
	if f == nil || class < 0 || class > maxClass || cap(s) != 1<<class || (len(f.free[class])+1)<<class > keptPerCap {
		return
	}
	f.free[class] = append(f.free[class], s[:0])
}

// boards are the lists for scoreboards; nil without a Pool.
func (p *Pool) boards() *freeList[burst] {
	if p == nil {
		return nil
	}
	return &p.bursts
}

// rings are those for stamps.
func (p *Pool) rings() *freeList[stamp] {
	if p == nil {
		return nil
	}
	return &p.stamps
}

// Release gives back the memory of a connection that ends with bytes in flight. The Sender is of no use then,
// until Init.
func (s *Sender) Release() {
	s.board.drop()
	if s.delivery != nil {
		s.delivery.pool.put(s.delivery.ring)
	}
	*s = Sender{}
}
