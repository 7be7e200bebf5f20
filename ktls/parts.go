package ktls

import (
	"unsafe"

	"ocaserve/tcpstack/stream"
)

// This file is how a record holds its plaintext: two parts in the struct, which is what 16 KiB of pages of
// 64 KiB need, or any number in a list beside it.

// A plaintext is what a record protects, less the inner content type.
type plaintext interface {
	plain() int // bytes
	// run returns the bytes from off on that lie together, up to end.
	run(off, end int) []byte
}

// manyParts is the plaintext of a record in more than two parts. It stays with its record when that is pooled.
type manyParts struct{ parts []stream.Piece }

// innerTypes are what stands behind the plaintext of each content type in TLS 1.3.
var innerTypes = [4]byte{byte(typeCCS), byte(typeAlert), byte(typeHandshake), byte(typeData)}

// expect says that n parts will be added.
func (r *record) expect(n int) {
	if n > len(r.data) {
		r.spill()
	}
}

// spill makes the parts a list.
func (r *record) spill() {
	if r.has(flagMany) {
		return
	}
	if r.more == nil {
		r.more = new(manyParts)
	}
	for i := range r.data {
		if p := r.part(i); len(p.Data) > 0 {
			r.more.parts = append(r.more.parts, p)
		}
	}
	r.data, r.ref = [2]*byte{}, [2]stream.Ref{}
	r.bits |= flagMany
}

// add appends p, which is not empty, with a hold of its own.
func (r *record) add(p stream.Piece) {
	switch {
	case r.has(flagMany):
		r.more.parts = append(r.more.parts, p)
	case r.data[0] == nil:
		r.data[0], r.ref[0], r.len0 = unsafe.SliceData(p.Data), p.Ref, uint16(len(p.Data))
	default:
		r.data[1], r.ref[1] = unsafe.SliceData(p.Data), p.Ref
	}
}

// part is part i of two; an empty one is none.
func (r *record) part(i int) stream.Piece {
	if r.data[i] == nil {
		return stream.Piece{}
	}
	n := int(r.len0)
	if i == 1 {
		n = r.plain() - n
	}
	return stream.Piece{Data: unsafe.Slice(r.data[i], n), Ref: r.ref[i]}
}

// run returns the bytes of the body from off on that lie together, up to end.
func (r *record) run(off, end int) []byte {
	n := r.plain()
	if off >= n {
		i := r.typ() - typeCCS
		return innerTypes[i : i+1]
	}
	end = min(end, n)
	if r.has(flagMany) {
		return runOf(r.more.parts, off, end)
	}
	if n0 := int(r.len0); off >= n0 {
		return unsafe.Slice(r.data[1], n-n0)[off-n0 : end-n0]
	} else {
		return unsafe.Slice(r.data[0], n0)[off:min(end, n0)]
	}
}

func runOf(parts []stream.Piece, off, end int) []byte {
	for i := range parts {
		n := len(parts[i].Data)
		if off < n {
			return parts[i].Data[off:min(end, n)]
		}
		off, end = off-n, end-n
	}
	panic("ktls: invariant broken: a record is longer than its parts")
}

// chargeParts is what the parts are charged.
func (r *record) chargeParts() (n int) {
	if !r.has(flagMany) {
		n0 := int(r.len0)
		return chargePart(r.ref[0], n0) + chargePart(r.ref[1], r.plain()-n0)
	}
	for i := range r.more.parts {
		n += r.more.parts[i].Charge()
	}
	return n + cap(r.more.parts)*int(unsafe.Sizeof(stream.Piece{}))
}

// chargePart is what n bytes with such a hold are charged, as stream.Piece.Charge has it.
func chargePart(ref stream.Ref, n int) int {
	if ref == nil {
		return n
	}
	return stream.PinCharge(n)
}

// dropParts lets go of the plaintext.
func (r *record) dropParts() {
	for i, ref := range r.ref {
		if ref != nil {
			ref.Release()
		}
		r.data[i], r.ref[i] = nil, nil
	}
	if !r.has(flagMany) {
		return
	}
	for i := range r.more.parts {
		r.more.parts[i].Release()
	}
	clear(r.more.parts)
	r.more.parts = r.more.parts[:0]
	r.bits &^= flagMany
}
