package fault

import (
	"strings"
	"testing"
	"time"
)

func TestParseSpec(t *testing.T) {
	for _, tt := range []struct {
		spec   string
		want   Config
		String string
	}{
		{"", Config{}, "none"},
		{"loss=1%,reorder=1%,dup=0.5%,corrupt=0.1%,delay=5ms,seed=7",
			Config{Loss: .01, Reorder: .01, Duplicate: .005, Corrupt: .001, Delay: 5 * time.Millisecond, Seed: 7},
			"loss=1%,reorder=1%,dup=0.5%,corrupt=0.1%,delay=5ms,seed=7"},
		{" loss = 0.25 , delay=1s,", Config{Loss: .25, Delay: time.Second}, "loss=25%,delay=1s,seed=0"},
		{"loss=100%", Config{Loss: 1}, "loss=100%,seed=0"},
	} {
		got, err := ParseSpec(tt.spec)
		got.Clock = nil
		if err != nil || got.String() != tt.String || got.Loss != tt.want.Loss || got.Delay != tt.want.Delay ||
			got.Reorder != tt.want.Reorder || got.Duplicate != tt.want.Duplicate ||
			got.Corrupt != tt.want.Corrupt || got.Seed != tt.want.Seed {
			t.Errorf("%q: %+v, %v; want %+v", tt.spec, got, err, tt.want)
		}
		if again, err := ParseSpec(strings.Replace(got.String(), "none", "", 1)); err != nil || again.String() != got.String() {
			t.Errorf("%q does not survive String: %v, %v", tt.spec, again, err)
		}
	}
}

func TestParseSpecErrorsHelp(t *testing.T) {
	for spec, want := range map[string]string{
		"loss":            "write loss=...",
		"los=1%":          "known are loss",
		"loss=120%":       "from 0% to 100%",
		"loss=-1%":        "from 0% to 100%",
		"loss=NaN":        "from 0% to 100%",
		"dup=x":           "such as 1%",
		"delay=5":         "such as 5ms",
		"delay=-5ms":      "from 0 to 10s",
		"delay=1h":        "from 0 to 10s",
		"seed=1.5":        "whole number",
		"loss=1%,loss=2%": "twice",
	} {
		if _, err := ParseSpec(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", spec, err, want)
		}
	}
}
