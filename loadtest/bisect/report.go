package bisect

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Report says which offload is to blame.
type Report struct {
	Config  string   `json:"nic"`  // of the adapter
	Size    int64    `json:"size"` // of the file, bytes
	Steps   []*Step  `json:"steps"`
	Blame   []string `json:"blame"` // offloads that break something, in the order of the steps; "none": without any
	Slow    []string `json:"slow"`  // offloads that slow transfers down
	Verdict string   `json:"verdict"`
}

// A Step is what one offload did.
type Step struct {
	Offload string   `json:"offload"` // "": none is on
	With    []string `json:"with"`    // what is on with it, itself included
	Legs    []Leg    `json:"legs"`
	Skipped string   `json:"skipped,omitempty"`    // it needs this one, which is bad
	Ratio   float64  `json:"time_ratio,omitempty"` // with it and without, medians

	slow bool
}

// A Leg is the transfers of one kind in a step.
type Leg struct {
	Name     string    `json:"name"`
	Seconds  float64   `json:"seconds"`
	Symptoms []Symptom `json:"symptoms,omitempty"`
}

func (s *Step) on() []string {
	if s.Offload == "" {
		return nil
	}
	return []string{s.Offload}
}

// Bad is whether the step showed a symptom.
func (s *Step) Bad() bool {
	return slices.ContainsFunc(s.Legs, func(l Leg) bool { return len(l.Symptoms) > 0 })
}

// Slow is whether transfers took much longer with the offload, all of them.
func (s *Step) Slow() bool { return s.slow }

// name is the offload's, or says that there is none.
func (s *Step) name() string {
	if s.Offload == "" {
		return "all offloads off"
	}
	return s.Offload
}

// line is the step for a person.
func (s *Step) line() string {
	what := fmt.Sprintf("%-24s ", s.name())
	if s.Skipped != "" {
		return what + "not tried: it needs " + s.Skipped
	}
	var parts []string
	for _, l := range s.Legs {
		text := fmt.Sprintf("%s %.2f s", l.Name, l.Seconds)
		for _, y := range l.Symptoms {
			text = l.Name + ": " + y.Text
		}
		parts = append(parts, text)
	}
	verdict := "right"
	if s.Bad() {
		verdict, parts = "BAD", parts[len(parts)-1:]
	}
	if s.Ratio > 0 {
		parts = append(parts, fmt.Sprintf("takes %.2f of the time without", s.Ratio))
	}
	if s.Slow() {
		verdict = "SLOW"
	}
	return fmt.Sprintf("%s%-6s %s", what, verdict, strings.Join(parts, ", "))
}

// firstBad is an offload among on that was found to be bad; "": none was.
func (r *Report) firstBad(on []string) string {
	for _, s := range r.Steps {
		if s.Bad() && slices.Contains(on, s.Offload) {
			return s.Offload
		}
	}
	return ""
}

// conclude says in words what was found.
func (r *Report) conclude() {
	r.Blame, r.Slow = []string{}, []string{}
	for _, s := range r.Steps {
		switch {
		case s.Bad() && s.Offload == "":
			r.Blame = append(r.Blame, "none")
		case s.Bad():
			r.Blame = append(r.Blame, s.Offload)
		case s.Slow():
			r.Slow = append(r.Slow, s.Offload)
		}
	}
	r.Verdict = r.verdict()
}

func (r *Report) verdict() string {
	switch {
	case slices.Contains(r.Blame, "none"):
		return "transfers go wrong with all offloads off: no offload is to blame, the adapter itself or its link is"
	case len(r.Blame) > 0:
		text := strings.Join(r.Blame, " and ") + " must stay off: with nothing else on, transfers go wrong"
		if skipped := r.skipped(); len(skipped) > 0 {
			text += "; not judged, because they need that: " + strings.Join(skipped, ", ")
		}
		return text
	case len(r.Slow) > 0:
		return strings.Join(r.Slow, " and ") + " makes transfers slower; every byte was right"
	}
	return "no offload breaks anything"
}

func (r *Report) skipped() (list []string) {
	for _, s := range r.Steps {
		if s.Skipped != "" {
			list = append(list, s.Offload)
		}
	}
	return list
}

// Found is whether anything is to be blamed.
func (r *Report) Found() bool { return len(r.Blame)+len(r.Slow) > 0 }

// WriteJSON writes the report for a program.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
