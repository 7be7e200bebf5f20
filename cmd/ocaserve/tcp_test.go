package main

import (
	"strings"
	"testing"
)

func TestCohortFlag(t *testing.T) {
	for _, c := range []struct {
		text string
		want cohort
	}{
		{"10%:stack=base,cc=newreno", cohort{Share: .1, Functions: "base", Congestion: "newreno"}},
		{"0.5:cc=cubic", cohort{Share: .5, Congestion: "cubic"}},
		{"100%:stack=rack", cohort{Share: 1, Functions: "rack"}},
	} {
		var got cohort
		if err := got.UnmarshalText([]byte(c.text)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
	for text, part := range map[string]string{
		"10%": "want a share", "0%:cc=cubic": "want a share", "x:cc=cubic": "want a share", "NaN:cc=cubic": "want a share",
		"200%:cc=cubic": "want a share", "10%:stack=fast": "there are: rack, base", "10%:cc=vegas": "unknown congestion",
		"10%:tls=off": "unknown choice", "10%:": "unknown choice",
	} {
		var got cohort
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v, want one with %q", text, err, part)
		}
	}
}

// The flag's own commas do not end a cohort; several stand between semicolons, as in a variable.
func TestCohortFlagOnTheCommandLine(t *testing.T) {
	cmd, _, err := parse([]string{"serve", t.TempDir(), "--cohort", "10%:stack=base,cc=newreno;20%:cc=newreno", "--cohort", "5%:stack=base"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := cmd.(*serveFlags).Cohorts
	if len(got) != 3 || got[0].Functions != "base" || got[0].Congestion != "newreno" || got[1].Share != .2 || got[2].Share != .05 {
		t.Errorf("%+v", got)
	}
}
