package ledger

import (
	"encoding/json"
	"testing"
)

// example is a book of 1000 bytes in a mode, all found in memory and sent once through an adapter, or copied by a link.
func example(mode string, link Event) *Book {
	b := new(Book)
	b.Add(CacheHit, 1000)
	switch mode {
	case "off":
		b.Add(GatheredPlain, 1000)
	case "user":
		b.Add(CopiedFrame, 1000)
		b.Add(SealedStored, 1000)
	case "inline":
		b.Add(SealedHost, 1000)
	case "nic":
		b.Add(LeftNIC, 1000)
		b.Add(SealedNIC, 1000)
	}
	b.Add(Sent, 1000)
	b.Add(link, 1000)
	return b
}

// The shape that is published: user space TLS touches memory most, then sealing while sending, an adapter least.
// docs/offload.md has this table.
func TestMeasuresOfModes(t *testing.T) {
	for _, c := range []struct {
		mode                            string
		link                            Event
		copies, touches, memory, crypto float64
	}{
		{"off", Fetched, 0, 1, 1, 0}, {"user", Fetched, 1, 5, 3, 1}, {"inline", Fetched, 1, 3, 1, 1}, {"nic", Fetched, 0, 1, 1, 1},
		{"off", LinkCopied, 1, 2, 2, 0}, {"user", LinkCopied, 2, 6, 4, 1}, {"inline", LinkCopied, 2, 4, 2, 1},
	} {
		got := example(c.mode, c.link).Measures()
		if got.Copies != c.copies || got.Touches != c.touches || got.Memory != c.memory || got.Crypto != c.crypto {
			t.Errorf("%s, %v: %+v", c.mode, c.link, got)
		}
	}
	cold := example("nic", Fetched)
	cold.Add(CacheFill, 1000)
	if m := cold.Measures(); m.Touches != 4 || m.Copies != 1 {
		t.Errorf("from disk: %+v", m)
	}
}

func TestShares(t *testing.T) {
	b := new(Book)
	if m := b.Measures(); m != (Measures{}) {
		t.Errorf("of nothing: %+v", m)
	}
	b.Add(Sent, 900)
	b.Add(Retransmitted, 100)
	b.Add(Wasted, 10)
	b.Add(Fetched, 1000)
	b.Add(Refetched, 500)
	if m := b.Measures(); m.Retransmits != 0.1 || m.Waste != 0.01 || m.Amplification != 1.5 {
		t.Errorf("%+v", m)
	}
}

// What is resident is touched: no event takes more out of Touches than it, or the link behind it, put in.
func TestCosts(t *testing.T) {
	for e := range NumEvents {
		c := e.Cost()
		byLink := 0
		if e == SealedHost || e == ResealedHost {
			byLink = 1 // the link's reading of the scratch
		}
		if c.Resident > c.Reads+c.Writes+byLink {
			t.Errorf("%v: %+v", e, c)
		}
	}
}

func TestJSON(t *testing.T) {
	b, _ := fair()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var got Book
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	var twice Book
	twice.Merge(&got)
	twice.Merge(&got)
	for e := range NumEvents {
		if got.Sum(e) != b.Sum(e) || twice.Sum(e) != 2*b.Sum(e) {
			t.Errorf("%v: %d, %d of %d", e, got.Sum(e), twice.Sum(e), b.Sum(e))
		}
	}
	if text, _ := json.Marshal(new(Book)); string(text) != "{}" {
		t.Errorf("an empty book is %s", text)
	}
	if err := json.Unmarshal([]byte(`{"sent":-1}`), &got); err == nil {
		t.Error("a negative sum was taken")
	}
}
