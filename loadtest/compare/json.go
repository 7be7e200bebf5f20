package compare

import (
	"encoding/json"
	"io"
	"math"
	"time"
)

// The JSON form: units are in the names, and what is not known is absent.
type (
	jsonReport struct {
		Command       string      `json:"command"`
		When          time.Time   `json:"when"`
		Machine       jsonMachine `json:"machine"`
		TLSVersion    string      `json:"tls_version"`
		Cipher        string      `json:"cipher"`
		Net           string      `json:"net"`
		FileBytes     int64       `json:"file_bytes"`
		Measurement   float64     `json:"measurement_seconds,omitempty"`
		Responses     int         `json:"measurement_responses,omitempty"`
		RTT           float64     `json:"added_rtt_seconds"`
		NIC           string      `json:"nic"`
		MaxRexmit     float64     `json:"max_rexmit_share"`
		RoundsWanted  int         `json:"rounds_wanted"`
		RoundsDone    int         `json:"rounds_complete"`
		SegmentBytes  int         `json:"segment_bytes"`
		VerifiedEvery int         `json:"one_response_verified_in"`
		Cells         []jsonCell  `json:"cells"`
		Verdict       []string    `json:"verdict"`
		Warnings      []string    `json:"warnings"`
		Notes         []string    `json:"notes"`
	}
	jsonMachine struct {
		CPU     string  `json:"cpu"`
		Cores   int     `json:"cores"`
		System  string  `json:"system"`
		Go      string  `json:"go"`
		ClockHz float64 `json:"clock_hz,omitempty"`
	}
	jsonCell struct {
		Mode    string            `json:"mode"`
		Loss    float64           `json:"loss_share"`
		Conns   int               `json:"connections"`
		Figures map[string]Spread `json:"figures"`
		Rounds  []jsonRound       `json:"rounds"`
	}
	jsonRound struct {
		Wall      float64            `json:"wall_seconds"`
		Body      uint64             `json:"body_bytes"`
		Verified  uint64             `json:"verified_bytes"`
		Responses uint64             `json:"responses"`
		Samples   int                `json:"ttfb_samples"`
		HostCPU   float64            `json:"host_cpu_seconds"`
		NICCPU    float64            `json:"nic_cpu_seconds"`
		Figures   map[string]float64 `json:"figures"`
		Ledger    map[string]uint64  `json:"ledger_bytes"`
		Records   uint64             `json:"ledger_records"`
		Adapter   map[string]uint64  `json:"adapter_counters"`
		ToNIC     uint64             `json:"switches_to_nic"`
		ToInline  map[string]uint64  `json:"switches_to_inline"`
		Failed    map[string]uint64  `json:"switch_attempts_failed"`
	}
)

// WriteJSON writes all rounds with their medians.
func (r *Report) WriteJSON(w io.Writer) error {
	o := &r.Options
	j := jsonReport{
		Command: r.Command, When: r.When, Machine: r.Machine.json(),
		TLSVersion: o.Version.String(), Cipher: o.Cipher.String(), Net: o.Net, FileBytes: o.Size,
		Measurement: o.Duration.Seconds(), Responses: o.Responses, RTT: o.RTT.Seconds(), NIC: o.NIC.String(), MaxRexmit: o.MaxRexmit,
		RoundsWanted: o.Rounds, RoundsDone: r.Rounds, SegmentBytes: segment, VerifiedEvery: verifyEvery,
		Cells: []jsonCell{}, Verdict: append([]string{}, r.Verdict...), Warnings: append([]string{}, r.Warnings...), Notes: r.Notes,
	}
	if o.Responses > 0 {
		j.Measurement = 0
	}
	for i := range r.Cells {
		j.Cells = append(j.Cells, r.Cells[i].json())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(&j)
}

func (c *Cell) json() jsonCell {
	j := jsonCell{Mode: c.Mode.String(), Loss: c.Loss, Conns: c.Conns, Figures: c.Figures}
	for i := range c.Rounds {
		j.Rounds = append(j.Rounds, c.Rounds[i].json())
	}
	return j
}

func (r *Round) json() jsonRound {
	j := jsonRound{
		Wall: r.Wall.Seconds(), Body: r.Body, Verified: r.Verified, Responses: r.Responses, Samples: r.Samples,
		HostCPU: r.HostCPU.Seconds(), NICCPU: r.NICCPU.Seconds(), Figures: make(map[string]float64),
		Ledger: r.Ledger, Records: r.Records, Adapter: r.Adapter, ToNIC: r.ToNIC, ToInline: r.ToInline, Failed: r.Failed,
	}
	for _, m := range metrics {
		if v := m.of(r); !math.IsNaN(v) {
			j.Figures[m.key] = v
		}
	}
	return j
}

func (m *Machine) json() jsonMachine {
	return jsonMachine{CPU: m.CPU, Cores: m.Cores, System: m.System, Go: m.Go, ClockHz: m.ClockHz}
}
