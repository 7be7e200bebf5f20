package ledger

import (
	"fmt"
	"strings"
)

// Live are values of the moment that laws need. At a connection's end all are zero; a shard's are the sums over its
// connections.
type Live struct {
	Held    int64 // bytes appended and not acknowledged
	Unsent  int64 // of them, never transmitted
	Waiting int64 // payload of frames that are built and the link has not taken
}

// A term is a quantity of a law: an event's sum or, from held on, a live value.
type term uint8

const (
	held = term(NumEvents) + iota
	unsent
	waiting
)

var liveNames = [...]string{"held", "unsent", "waiting"}

func (t term) String() string {
	if t >= held {
		return liveNames[t-held]
	}
	return Event(t).String()
}

// A law says that the sum of its left terms is the sum of its right ones, or at most that.
type law struct {
	name        string
	left, right []term
	most        bool // <= instead of =
}

func terms(e ...Event) []term {
	list := make([]term, len(e))
	for i := range e {
		list[i] = term(e[i])
	}
	return list
}

// laws hold between any two turns of a shard, for each connection and for the shard's sums, whatever the network,
// the peer and the application did.
var laws = []law{
	{name: "plaintext that was found, or made, is queued, framed or refused",
		left:  terms(CacheHit, CacheFill, OwnedBytes),
		right: terms(PlainQueued, PlainFramed, Unframed)},
	{name: "what was queued is acknowledged, held or lost with the connection",
		left:  terms(PlainQueued, RecordsBytes),
		right: append(terms(Acked, Abandoned, Unqueued), held)},
	{name: "what was queued is sent, unsent or lost with the connection before it was sent",
		left:  append(terms(Sent, NeverSent), unsent),
		right: append(terms(Acked, Abandoned), held)},
	{name: "only what was sent is acknowledged",
		left: terms(Acked), right: terms(Sent), most: true},
	{name: "what was sent, and sent again, somebody gathered",
		left:  terms(Sent, Retransmitted),
		right: terms(GatheredPlain, SealedHost, ResealedHost, SealedStored, LeftNIC)},
	{name: "what was sent, and sent again, the device read, made, copied or dropped",
		left:  terms(Sent, Retransmitted),
		right: append(terms(Fetched, MadeNIC, LinkCopied, LinkDropped), waiting)},
	{name: "the device seals what is left to it",
		left: terms(SealedNIC), right: terms(LeftNIC), most: true},
	{name: "what is left to the device it seals, or it is never sent",
		left:  terms(LeftNIC),
		right: append(terms(SealedNIC, LinkDropped), waiting), most: true},
	{name: "the device seals what it reads and makes",
		left: terms(SealedNIC), right: terms(Fetched, MadeNIC), most: true},
	{name: "the device makes nothing but a part of what it seals",
		left: terms(MadeNIC), right: terms(SealedNIC), most: true},
	{name: "only pages are copied for being short",
		left: terms(CopiedShort), right: terms(CacheHit, CacheFill), most: true},
	{name: "only records are copied into buffers",
		left: terms(CopiedFrame), right: terms(PlainFramed), most: true},
}

// overheads are what a record is longer than its plaintext: TLS 1.2 with ChaCha20-Poly1305 (5 bytes of header, 16
// of tag), TLS 1.3 (and the inner type), TLS 1.2 with AES-GCM (header, 8 bytes of nonce, tag).
var overheads = [...]uint64{21, 22, 29}

// Check returns an error that says which law does not hold, with its formula and sums. A book that sums several
// connections is checked with each of theirs in mind.
func (b *Book) Check(l Live) error {
	for i := range laws {
		if err := laws[i].check(b, &l); err != nil {
			return err
		}
	}
	return b.checkRecords()
}

// CheckFinal is Check at the end of a connection whose last frame the link has taken.
func (b *Book) CheckFinal() error { return b.Check(Live{}) }

func (w *law) check(b *Book, l *Live) error {
	left, right := sum(w.left, b, l), sum(w.right, b, l)
	if left == right || w.most && left < right {
		return nil
	}
	return fmt.Errorf("ledger: %s: %s, but %d and %d: %s", w.name, w, left, right, w.figures(b, l))
}

// String is the law's formula.
func (w *law) String() string {
	relation := " = "
	if w.most {
		relation = " <= "
	}
	return join(w.left) + relation + join(w.right)
}

func join(list []term) string {
	words := make([]string, len(list))
	for i, t := range list {
		words[i] = t.String()
	}
	return strings.Join(words, " + ")
}

func (w *law) figures(b *Book, l *Live) string {
	var words []string
	for _, list := range [][]term{w.left, w.right} {
		for _, t := range list {
			words = append(words, fmt.Sprintf("%s %d", t, value(t, b, l)))
		}
	}
	return strings.Join(words, ", ")
}

func sum(list []term, b *Book, l *Live) (n int64) {
	for _, t := range list {
		n += value(t, b, l)
	}
	return n
}

func value(t term, b *Book, l *Live) int64 {
	switch t {
	case held:
		return l.Held
	case unsent:
		return l.Unsent
	case waiting:
		return l.Waiting
	}
	return int64(b.Sum(Event(t)))
}

// checkRecords: record_bytes = plain_framed + records * overhead, with one of the overheads if it is a connection's
// book (it has one version and one cipher), and something between them if it is a sum.
func (b *Book) checkRecords() error {
	n, framed, wire := b.Sum(Records), b.Sum(PlainFramed), b.Sum(RecordsBytes)
	if b != nil && b.Parent != nil {
		for _, o := range overheads {
			if wire == framed+n*o {
				return nil
			}
		}
	} else if least, most := overheads[0], overheads[len(overheads)-1]; wire >= framed+n*least && wire <= framed+n*most {
		return nil
	}
	return fmt.Errorf("ledger: records are plaintext and overhead: record_bytes = plain_framed + records * overhead, "+
		"overhead one of %v, but record_bytes %d, plain_framed %d, records %d", overheads, wire, framed, n)
}

// Laws returns the formulas, each with what it says.
func Laws() []string {
	list := make([]string, 0, len(laws)+1)
	for i := range laws {
		list = append(list, fmt.Sprintf("%s: %s", laws[i].name, &laws[i]))
	}
	return append(list, "records are plaintext and overhead: record_bytes = plain_framed + records * overhead")
}
