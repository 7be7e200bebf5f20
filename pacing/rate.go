package pacing

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// A Rate is a number of bytes per second. Zero means no limit where a limit is configured.
type Rate int64

// MaxRate is the highest rate ParseRate accepts: a petabyte per second.
const MaxRate Rate = 1e15

// rateUnits are what may follow the number. The first that divides a rate is how String writes it.
var rateUnits = []struct {
	name string
	bits int64
}{
	{"Tbps", 1e12}, {"Gbps", 1e9}, {"Mbps", 1e6}, {"kbps", 1e3}, {"bps", 1},
	{"TB/s", 8e12}, {"GB/s", 8e9}, {"MB/s", 8e6}, {"kB/s", 8e3}, {"B/s", 8},
	{"GiB/s", 8 << 30}, {"MiB/s", 8 << 20}, {"KiB/s", 8 << 10},
}

// ParseRate reads a decimal number with a unit: bits ("25Mbps", "1.5 Gbps") or bytes ("3MB/s", "64KiB/s").
// Case matters only between B and b; "mbps" and "Kbps" are understood. "0" needs no unit. What is not a
// whole number of bytes per second is rounded up, so that a rate above zero stays above zero.
func ParseRate(s string) (Rate, error) {
	text := strings.TrimSpace(s)
	if text == "0" {
		return 0, nil
	}
	digits := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if digits <= 0 {
		return 0, rateError(s)
	}
	value, err := strconv.ParseFloat(text[:digits], 64)
	unit, ok := findUnit(strings.TrimSpace(text[digits:]))
	if err != nil || !ok {
		return 0, rateError(s)
	}
	// A float64 holds every rate up to MaxRate exactly, but the product is rounded: 1.07 times 10^12 is above 1.07e12. What
	// is that near to a whole number was meant to be it.
	bytes := value * float64(unit) / 8
	if whole := math.Round(bytes); math.Abs(bytes-whole) <= whole*0x1p-50 {
		bytes = whole
	}
	bytes = math.Ceil(bytes)
	if bytes > float64(MaxRate) {
		return 0, fmt.Errorf("rate %q is above %v", s, MaxRate)
	}
	return Rate(bytes), nil
}

func rateError(s string) error {
	return fmt.Errorf("bad rate %q: want a number with a unit, such as 25Mbps, 1.5Gbps or 3MB/s", s)
}

// findUnit returns the bits of a unit. An unknown spelling is compared without regard to the prefix's
// case; the b or B of bit and byte must be right.
func findUnit(name string) (int64, bool) {
	for _, u := range rateUnits {
		if u.name == name || len(u.name) == len(name) && len(name) > 3 &&
			strings.EqualFold(u.name[:1], name[:1]) && u.name[1:] == name[1:] {
			return u.bits, true
		}
	}
	return 0, false
}

// String writes the rate in bits per second, with the largest unit that is not below one: "25Mbps". ParseRate
// reads it back to the same rate.
func (r Rate) String() string {
	if r < 0 || r > MaxRate {
		return strconv.FormatInt(int64(r), 10) + "B/s"
	}
	b := int64(r) * 8
	for _, u := range rateUnits[:5] {
		if b >= u.bits {
			return decimal(b, u.bits) + u.name
		}
	}
	return "0"
}

// decimal writes n/unit exactly, unit being a power of ten.
func decimal(n, unit int64) string {
	s := strconv.FormatInt(n/unit, 10)
	frac := n % unit
	if frac == 0 {
		return s
	}
	tail := strconv.FormatInt(unit+frac, 10)[1:]
	return s + "." + strings.TrimRight(tail, "0")
}

// MarshalText and UnmarshalText let flags and configuration files hold rates.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(b []byte) error {
	v, err := ParseRate(string(b))
	if err == nil {
		*r = v
	}
	return err
}

// MarshalJSON writes a number of bytes per second, as Linux's tcp_info has its rates.
func (r Rate) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(r), 10), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Rate) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err == nil {
		*r = Rate(v)
	}
	return err
}

// Duration is the time that n bytes take, rounded up; 0 at the rate 0, which is no limit. It saturates.
func (r Rate) Duration(n int64) time.Duration {
	if r <= 0 || n <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(n), uint64(time.Second))
	lo, carry := bits.Add64(lo, uint64(r)-1, 0)
	hi += carry
	if hi >= uint64(r) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(r))
	return time.Duration(min(q, math.MaxInt64))
}

// Bytes is how many whole bytes fit into d; 0 at the rate 0. It saturates.
func (r Rate) Bytes(d time.Duration) int64 {
	if r <= 0 || d <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(r), uint64(d))
	if hi >= uint64(time.Second) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(time.Second))
	return int64(min(q, math.MaxInt64))
}
