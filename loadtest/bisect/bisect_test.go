package bisect

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ocaserve/nicoffload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run examines an adapter with those faults and returns the report.
func run(t *testing.T, faults nicoffload.Faults) *Report {
	t.Helper()
	r, err := Run(t.Context(), Options{
		NIC: nicoffload.Config{Faults: faults, Contexts: 64, Seed: 3}, Size: minSize,
		Say: func(line string) { t.Log(line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Verdict)
	return r
}

// Each fault of the adapter is laid at the door of the offload that has it, and nothing else is named.
func TestNamesTheOffload(t *testing.T) {
	const csum, tls = "tx-checksum-ip-generic", "tls-hw-tx-offload"
	for _, c := range []struct {
		fault  nicoffload.Faults
		blame  []string
		judged []string // offloads that need nothing bad
	}{
		{0, nil, []string{"rx-checksum", csum, "tx-tcp-segmentation", tls}},
		{nicoffload.FaultCsum, []string{csum}, []string{"rx-checksum", "rx-gro"}},
		{nicoffload.FaultTSO, []string{"tx-tcp-segmentation", "tx-tcp6-segmentation"}, []string{csum, tls}},
		{nicoffload.FaultTLSTag, []string{tls}, []string{csum, "tx-tcp-segmentation"}},
		{nicoffload.FaultTLSResync, []string{tls}, []string{csum, "tx-tcp-segmentation"}},
		{nicoffload.FaultTLSPlain, []string{tls}, []string{csum, "tx-tcp-segmentation"}},
		{nicoffload.FaultCapLie, []string{csum}, []string{"rx-checksum", "rx-gro"}},
		{nicoffload.FaultRxCsum, []string{"rx-checksum"}, []string{csum, "tx-tcp-segmentation", tls}},
		{nicoffload.FaultStall, []string{"none"}, nil},
		{nicoffload.FaultCQEDup, []string{"none"}, nil},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			r := run(t, c.fault)
			if !slices.Equal(r.Blame, c.blame) || r.Found() != (len(c.blame) > 0) {
				t.Errorf("blamed: %q, want %q", r.Blame, c.blame)
			}
			for _, name := range c.judged {
				i := slices.IndexFunc(r.Steps, func(s *Step) bool { return s.Offload == name })
				if i < 0 || r.Steps[i].Skipped != "" || len(r.Steps[i].Legs) != len(legs) && !slices.Contains(c.blame, name) {
					t.Errorf("%s was not judged", name)
				}
			}
		})
	}
}

// The report is JSON for programs, and says in words what a person should do.
func TestReport(t *testing.T) {
	r := Report{Steps: []*Step{
		{Legs: []Leg{{Name: "http"}}},
		{Offload: "a", With: []string{"a"}, Legs: []Leg{{"http", 1, []Symptom{{WrongSums, "3 packets"}}}}},
		{Offload: "b", With: []string{"a", "b"}, Skipped: "a"},
		{Offload: "c", Legs: []Leg{{Name: "http", Seconds: 1}}, Ratio: 2, slow: true},
	}}
	r.conclude()
	for _, c := range []struct{ got, want string }{
		{r.Verdict, "a must stay off: with nothing else on, transfers go wrong; not judged, because they need that: b"},
		{r.Steps[1].line(), "a                        BAD    http: 3 packets"},
		{r.Steps[2].line(), "b                        not tried: it needs a"},
		{r.Steps[3].line(), "c                        SLOW   http 1.00 s, takes 2.00 of the time without"},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil || !json.Valid(b.Bytes()) || !strings.Contains(b.String(), `"kind": "wrong checksums"`) {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Size: 1}, {Size: 2 << 30}, {Rounds: -1}} {
		if o.Check() == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
