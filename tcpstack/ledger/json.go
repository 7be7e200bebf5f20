package ledger

import (
	"encoding/json"
	"strconv"
)

// MarshalJSON implements json.Marshaler: the sums by the names of their events, but for those that are zero.
func (b *Book) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for e := range NumEvents {
		if n := b.Sum(e); n > 0 {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(strconv.AppendQuote(out, e.String()), ':')
			out = strconv.AppendUint(out, n, 10)
		}
	}
	return append(out, '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler. Names that are not known, of another version, are left out.
func (b *Book) UnmarshalJSON(data []byte) error {
	var sums map[string]uint64
	if err := json.Unmarshal(data, &sums); err != nil {
		return err
	}
	for e := range NumEvents {
		b.sums[e] = sums[e.String()]
	}
	return nil
}

// Merge adds o's sums to b, but not to b's parent.
func (b *Book) Merge(o *Book) {
	for e := range NumEvents {
		b.sums[e] += o.Sum(e)
	}
}
