package ledger

// A Cost is how often an event touches memory, per byte booked, in a model of a machine: whatever reads a byte
// or writes one (a CPU, a disk, an adapter) touches it once, and nothing else does. What of that a CPU's cache
// serves is Resident: the model takes for granted that a record just sealed or copied is still in L2 when it is
// read next, as batches are made for, and that nothing else is.
type Cost struct{ Reads, Writes, Resident int }

// costs is the model. Events without an entry touch nothing: they name what others did.
var costs = [NumEvents]Cost{
	// pread(2): the disk writes the kernel's page cache, the CPU copies from there into the page.
	CacheFill: {Reads: 1, Writes: 2},
	// Written, a few hundred bytes at a time, and still there when they are sent.
	OwnedBytes:  {Writes: 1, Resident: 1},
	CopiedShort: {Reads: 1, Writes: 1},
	// The copy, and sealing in place just behind it.
	CopiedFrame: {Reads: 2, Writes: 2, Resident: 2},
	// From the page into scratch. Resident are the write and, booked as LinkCopied or Fetched, its reading.
	SealedHost:   {Reads: 1, Writes: 1, Resident: 2},
	ResealedHost: {Reads: 1, Writes: 1, Resident: 2},
	// From the page into a sink of a few KiB that nobody reads.
	ResealedAhead: {Reads: 1, Writes: 1, Resident: 1},
	Fetched:       {Reads: 1},
	Refetched:     {Reads: 1},
	// For a TUN device: from user memory into the kernel's packet.
	LinkCopied: {Reads: 1, Writes: 1},
	Summed:     {Reads: 1},
}

// Cost is e's place in the model.
func (e Event) Cost() Cost { return costs[e] }

// Measures are what people compare. "Per byte" is per byte sent for the first time, which is what arrives in the
// end; a measure whose denominator is zero is zero.
type Measures struct {
	// Copies = (cache_fill + copied_short + copied_frame + sealed_host + resealed_host + link_copied) / sent: how
	// often a CPU wrote a byte to another place. Sealing from a page into scratch is a copy, sealing in place is
	// none.
	Copies float64 `json:"copies_per_byte"`
	// Touches = sum over events of (reads + writes) * booked / sent, by the table of Cost.
	Touches float64 `json:"touches_per_byte"`
	// Memory is Touches without what the model takes to be in cache: an estimate of DRAM bytes per byte sent.
	Memory float64 `json:"memory_per_byte"`
	// Amplification = (fetched + refetched) / fetched: bus traffic of an adapter because of resynchronisation.
	Amplification float64 `json:"dma_amplification"`
	// Crypto = (sealed_host + resealed_host + resealed_ahead + copied_frame + sealed_nic + refetched) / sent: bytes
	// that went through a cipher, on either side of the bus. Records copied into buffers are sealed there, once,
	// which is booked as copied_frame; an adapter must run its cipher over what it fetches again.
	Crypto float64 `json:"crypto_per_byte"`
	// Retransmits = retransmitted / (sent + retransmitted).
	Retransmits float64 `json:"retransmit_share"`
	// Waste = wasted / (sent + retransmitted): what arrived twice, as far as D-SACKs tell.
	Waste float64 `json:"waste_share"`
}

var (
	copies  = []Event{CacheFill, CopiedShort, CopiedFrame, SealedHost, ResealedHost, LinkCopied}
	ciphers = []Event{SealedHost, ResealedHost, ResealedAhead, CopiedFrame, SealedNIC, Refetched}
)

// Measures returns b's.
func (b *Book) Measures() Measures {
	sent, all := b.Sum(Sent), b.Sum(Sent)+b.Sum(Retransmitted)
	touches, resident := b.touches()
	return Measures{
		Copies:  ratio(b.total(copies), sent),
		Touches: ratio(touches, sent), Memory: ratio(touches-resident, sent),
		Amplification: ratio(b.Sum(Fetched)+b.Sum(Refetched), b.Sum(Fetched)),
		Crypto:        ratio(b.total(ciphers), sent),
		Retransmits:   ratio(b.Sum(Retransmitted), all),
		Waste:         ratio(b.Sum(Wasted), all),
	}
}

// touches is how many bytes of memory were read or written, and how many of them in cache.
func (b *Book) touches() (all, resident uint64) {
	for e := range NumEvents {
		c, n := costs[e], b.Sum(e)
		all += uint64(c.Reads+c.Writes) * n
		resident += uint64(c.Resident) * n
	}
	return all, min(resident, all)
}

func (b *Book) total(events []Event) (n uint64) {
	for _, e := range events {
		n += b.Sum(e)
	}
	return n
}

func ratio(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
