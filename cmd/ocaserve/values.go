package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A size is a number of bytes: 4096, 64k, 512MiB, 2GB. Bare letters and KiB count in 1024s, KB in 1000s.
type size int64

var units = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1},
}

// UnmarshalText parses a size; it must be positive and fit.
func (s *size) UnmarshalText(text []byte) error {
	digits, scale := strings.ToLower(strings.TrimSpace(string(text))), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, scale = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(n) || n*scale < 1 || n*scale >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size; write 512MiB or 2GB", text)
	}
	*s = size(n * scale)
	return nil
}

// String is what a person reads: at most one decimal, binary units.
func (s size) String() string {
	n, unit := float64(s), 0
	for n >= 1024 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	text := strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0")
	return text + [...]string{" B", " KiB", " MiB", " GiB", " TiB"}[unit]
}

// A port is a TCP port, portOff, or 0 for the default of the link.
type port int32

const portOff port = -1

// UnmarshalText parses 1..65535 or off.
func (p *port) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*p = portOff
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a port; write 1..65535 or off", text)
	}
	*p = port(n)
	return nil
}

func (p port) or(def port) port {
	if p == 0 {
		return def
	}
	return p
}

func (p port) String() string {
	if p == portOff {
		return "off"
	}
	return strconv.Itoa(int(p))
}
