package stream

import (
	"bytes"
	"testing"
)

func TestGather(t *testing.T) {
	var g Gather
	g.Init(make([]byte, 16), 4)
	g.Add([]byte("one"))
	g.Add(nil) // adds no piece
	copy(g.Reserve(2), "xy")
	if got := string(bytes.Join(g.Pieces(), nil)); got != "onexy" || g.Len() != 5 || len(g.Pieces()) != 2 {
		t.Fatalf("first frame %q, len %d", got, g.Len())
	}
	first := g.Pieces()
	g.Mark()
	head := g.Scratch(4) // headers: no piece
	if g.Len() != 0 || len(g.Pieces()) != 0 || len(head) != 4 || cap(head) != 4 {
		t.Fatal("the second frame does not begin empty")
	}
	g.Add([]byte("two"))
	if got := string(bytes.Join(first, nil)); got != "onexy" {
		t.Fatalf("the first frame became %q", got)
	}
	if g.Free() != 10 {
		t.Fatalf("%d bytes of scratch left, want 10", g.Free())
	}
	if g.Reset(); g.Free() != 16 || len(g.Pieces()) != 0 {
		t.Fatal("reset left something behind")
	}
}

// Neighbours in scratch are one piece; nothing joins what was added by reference.
func TestReserveJoins(t *testing.T) {
	var g Gather
	g.Init(make([]byte, 32), 4)
	copy(g.Reserve(2), "ab")
	copy(g.Reserve(3), "cde")
	g.Add([]byte("page"))
	g.Reserve(0)
	copy(g.Reserve(1), "f")
	copy(g.Reserve(1), "g")
	if got := string(bytes.Join(g.Pieces(), []byte("|"))); got != "abcde|page|fg" || g.Len() != 11 {
		t.Fatalf("%s, length %d", got, g.Len())
	}
	g.Mark()
	copy(g.Reserve(1), "h") // another frame
	if got := string(bytes.Join(g.Pieces(), []byte("|"))); got != "h" || g.Len() != 1 {
		t.Fatalf("%s, length %d", got, g.Len())
	}
}

func TestGatherBeyondScratch(t *testing.T) {
	var g Gather
	g.Init(make([]byte, 4), 4)
	defer func() {
		if recover() == nil {
			t.Fatal("more scratch than there is was handed out")
		}
	}()
	g.Reserve(5)
}
