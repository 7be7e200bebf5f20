package pacing

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Rate
		out  string
	}{
		{"25Mbps", 3_125_000, "25Mbps"}, {"25mbps", 3_125_000, "25Mbps"}, {"25 Mbps", 3_125_000, "25Mbps"},
		{"3MB/s", 3_000_000, "24Mbps"}, {"1.5Gbps", 187_500_000, "1.5Gbps"}, {"64KiB/s", 65_536, "524.288kbps"},
		{"64kiB/s", 65_536, "524.288kbps"}, {"1bps", 1, "8bps"}, {"9bps", 2, "16bps"}, {"1B/s", 1, "8bps"},
		{"0", 0, "0"}, {" 0bps ", 0, "0"}, {"100Gbps", 12_500_000_000, "100Gbps"}, {"1000TB/s", MaxRate, "8000Tbps"},
		{".5MB/s", 500_000, "4Mbps"}, {"0.001kbps", 1, "8bps"},
	} {
		got, err := ParseRate(c.in)
		if err != nil || got != c.want || got.String() != c.out {
			t.Errorf("ParseRate(%q) = %d (%v), %v, want %d (%s)", c.in, int64(got), got, err, int64(c.want), c.out)
		}
	}
	for _, in := range []string{"", "Mbps", "25", "-1Mbps", "25MBPS", "25mbPS", "1e3bps", "25Mb", "25 M bps", "1.2.3Mbps", "1001TB/s", "999999999999999TB/s", "∞bps", "25ﾂbps", "BB/s", "2Bbps"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("ParseRate(%q) = %v", in, got)
		}
	}
}

// In JSON a rate is a number, as in tcp_info.
func TestRateJSON(t *testing.T) {
	b, err := json.Marshal(struct{ R Rate }{3_125_000})
	if err != nil || string(b) != `{"R":3125000}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back struct{ R Rate }
	if err := json.Unmarshal(b, &back); err != nil || back.R != 3_125_000 {
		t.Errorf("%v, %v", back.R, err)
	}
	if err := json.Unmarshal([]byte(`{"R":"25Mbps"}`), &back); err == nil {
		t.Error("a text is taken for a number")
	}
}

func FuzzRate(f *testing.F) {
	f.Add(int64(3_125_000), "25Mbps")
	f.Add(int64(1), "0.1KiB/s")
	f.Add(int64(0), "1.07Tbps")
	f.Add(int64(999_999_999_999_999), "999.999999Tbps")
	f.Fuzz(func(t *testing.T, n int64, s string) {
		if r := Rate(n); r >= 0 && r <= MaxRate {
			if back, err := ParseRate(r.String()); err != nil || back != r {
				t.Errorf("%d prints as %q, which reads as %d, %v", n, r, int64(back), err)
			}
		}
		if r, err := ParseRate(s); err == nil {
			if back, err := ParseRate(r.String()); r < 0 || r > MaxRate || err != nil || back != r {
				t.Errorf("%q: %d, prints as %q, reads as %d, %v", s, int64(r), r, int64(back), err)
			}
		}
	})
}

func TestRateText(t *testing.T) {
	r := Rate(7)
	if err := r.UnmarshalText([]byte("fast")); err == nil || r != 7 {
		t.Error("a bad rate changed the value")
	}
	if err := r.UnmarshalText([]byte("8kbps")); err != nil || r != 1000 {
		t.Error(r, err)
	}
	if b, _ := r.MarshalText(); string(b) != "8kbps" {
		t.Errorf("%s", b)
	}
	if got := Rate(-1).String(); got != "-1B/s" {
		t.Error(got)
	}
}

// Duration rounds up and Bytes down, so that pacing by either never exceeds the rate; both saturate.
func TestRateArithmetic(t *testing.T) {
	second := big.NewInt(int64(time.Second))
	values := []int64{1, 2, 3, 7, 999, 1448, 65_536, 3_125_000, 1e9, 1e12 + 1, 1e15, math.MaxInt64}
	for _, r := range values {
		for _, n := range values {
			up := new(big.Int).Mul(big.NewInt(n), second)
			up.Add(up, big.NewInt(r-1)).Div(up, big.NewInt(r))
			if got := int64(Rate(r).Duration(n)); got != clamp(up) {
				t.Errorf("%d bytes at %d B/s: %d ns, want %v", n, r, got, up)
			}
			down := new(big.Int).Mul(big.NewInt(n), big.NewInt(r))
			down.Div(down, second)
			if got := Rate(r).Bytes(time.Duration(n)); got != clamp(down) {
				t.Errorf("%d ns at %d B/s: %d bytes, want %v", n, r, got, down)
			}
		}
	}
	if Rate(0).Duration(1) != 0 || Rate(0).Bytes(1) != 0 || Rate(5).Duration(-1) != 0 || Rate(5).Bytes(-1) != 0 {
		t.Error("no limit, and nothing to send")
	}
}

func clamp(b *big.Int) int64 {
	if b.IsInt64() {
		return b.Int64()
	}
	return math.MaxInt64
}
