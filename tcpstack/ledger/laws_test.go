package ledger

import (
	"strings"
	"testing"
)

// fair is a book that keeps the laws: a connection that handshook, sent 10 records over an adapter and another one
// that was retransmitted by the host, and ended with 300 bytes unacknowledged.
func fair() (*Book, map[Event]int) {
	entries := map[Event]int{
		CacheHit: 7000, CacheFill: 3000, OwnedBytes: 700, CopiedShort: 500,
		PlainQueued: 500, PlainFramed: 10_000, Unframed: 200,
		Records: 10, RecordsBytes: 10_220, CopiedFrame: 1000,
		GatheredPlain: 500, SealedHost: 3000, ResealedHost: 200, SealedStored: 1022, LeftNIC: 6098, SealedNIC: 6000, MadeNIC: 66,
		Fetched: 9434, LinkCopied: 1000, LinkDropped: 320, Refetched: 700,
		Sent: 10_620, Retransmitted: 200, Acked: 10_400, Unqueued: 20, Abandoned: 300, NeverSent: 80,
	}
	b := &Book{Parent: new(Book)}
	for e, n := range entries {
		b.Add(e, n)
	}
	return b, entries
}

func TestLawsHold(t *testing.T) {
	b, _ := fair()
	if err := b.CheckFinal(); err != nil {
		t.Fatal(err)
	}
	if err := b.Parent.CheckFinal(); err != nil {
		t.Fatal(err)
	}
	if err := new(Book).CheckFinal(); err != nil {
		t.Fatal(err)
	}
}

// Whatever is booked once too often breaks a law, and the error says which, with the sums. What no law speaks of is
// named here.
func TestLawsBite(t *testing.T) {
	lawless := map[Event]string{
		Refetched:     "depends on where losses hit; see Resync",
		ResealedAhead: "likewise, on the host",
		Summed:        "depends on the link's capabilities from frame to frame",
		Wasted:        "the network may duplicate what it likes",
		CopiedFrame:   "bounded only",
		CopiedShort:   "bounded only",
		SealedNIC:     "bounded only: frames may be dropped",
	}
	_, entries := fair()
	for e := range NumEvents {
		if lawless[e] != "" {
			continue
		}
		for _, n := range []int{1, -1} {
			b, _ := fair()
			if entries[e] == 0 {
				t.Errorf("%v is in no law's example", e)
			}
			b.Add(e, n)
			if err := b.CheckFinal(); err == nil {
				t.Errorf("%v off by %d breaks no law", e, n)
			} else if msg := err.Error(); !strings.Contains(msg, e.String()) {
				t.Errorf("%v off by %d: %s", e, n, msg)
			}
		}
	}
	for e, n := range map[Event]int{CopiedFrame: 9001, CopiedShort: 9501, SealedNIC: 99, Acked: 221} {
		b, _ := fair()
		if b.Add(e, n); b.CheckFinal() == nil {
			t.Errorf("%v %d above its bound breaks no law", e, n)
		}
	}
}

// Values of the moment take part.
func TestLive(t *testing.T) {
	b := new(Book)
	b.Add(OwnedBytes, 100)
	b.Add(PlainQueued, 100)
	b.Add(Sent, 60)
	b.Add(GatheredPlain, 60)
	b.Add(LinkCopied, 40)
	b.Add(Acked, 30)
	if err := b.Check(Live{Held: 70, Unsent: 40, Waiting: 20}); err != nil {
		t.Error(err)
	}
	for _, l := range []Live{{71, 40, 20}, {70, 39, 20}, {70, 40, 19}} {
		if b.Check(l) == nil {
			t.Errorf("%+v breaks no law", l)
		}
	}
}

// One connection has one overhead; only sums may mix.
func TestRecordOverhead(t *testing.T) {
	sum := new(Book)
	for _, overhead := range overheads {
		b := &Book{Parent: sum}
		b.Add(Records, 4)
		b.Add(RecordsBytes, 4*int(overhead))
		if err := b.checkRecords(); err != nil {
			t.Error(err)
		}
	}
	if err := sum.checkRecords(); err != nil {
		t.Error(err)
	}
	mixed := &Book{Parent: new(Book)}
	mixed.Add(Records, 2)
	mixed.Add(RecordsBytes, 22+29)
	if mixed.checkRecords() == nil || mixed.Parent.checkRecords() != nil {
		t.Error("two overheads in one connection")
	}
	mixed.Parent.Add(RecordsBytes, 8)
	if mixed.Parent.checkRecords() == nil {
		t.Error("a sum outside of all overheads")
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for e := range NumEvents {
		if s := e.String(); s == "" || seen[s] {
			t.Errorf("event %d is called %q", e, s)
		} else {
			seen[s] = true
		}
	}
}
