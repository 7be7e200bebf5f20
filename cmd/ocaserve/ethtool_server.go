package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"ocaserve/nicoffload"
)

// ethtoolView is the answer: the part that was asked for.
type ethtoolView struct {
	Name     string         `json:"name"`
	Features []ethFeature   `json:"features,omitempty"`
	Stats    []ethStat      `json:"statistics,omitempty"`
	Rings    *ethRings      `json:"rings,omitempty"`
	Coalesce *ethCoalesce   `json:"coalesce,omitempty"`
	Driver   *ethDriverInfo `json:"driver,omitempty"`

	show string // the letter
}

type ethFeature struct {
	Name  string `json:"name"`
	On    bool   `json:"on"`
	Fixed bool   `json:"fixed,omitempty"`
}

type ethStat struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

type ethDriverInfo struct {
	Driver  string `json:"driver"`
	Version string `json:"version"`
	Bus     string `json:"bus_info"`
	Config  string `json:"config"` // as --nic takes it
	Queues  int    `json:"queues"`
	Faults  string `json:"faults"`
}

// ethtoolVerb changes what it is asked to and answers with what it is asked for.
func ethtoolVerb(_ context.Context, s *server, r *adminRequest) error {
	var args ethtoolArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	nic := s.link.nic
	if nic == nil {
		return errNoNIC
	}
	if args.Name != "" && args.Name != nic.Name() {
		return fmt.Errorf("no interface %s here; the server's is %s", args.Name, nic.Name())
	}
	if err := args.apply(nic); err != nil {
		return err
	}
	return r.Send(viewNIC(nic, s.opts.link.nic, &args))
}

// apply changes what is to be changed, up to the first mistake.
func (a *ethtoolArgs) apply(nic *nicoffload.Interface) error {
	for _, f := range a.Features {
		if err := nic.SetFeature(f.Name, f.On); err != nil {
			return err
		}
	}
	if g := a.Rings; g != nil {
		return nic.SetRings(g.TX, g.RX)
	}
	if c := a.Coalesce; c != nil {
		return c.apply(nic)
	}
	return nil
}

func viewNIC(nic *nicoffload.Interface, cfg *nicoffload.Config, args *ethtoolArgs) ethtoolView {
	v := ethtoolView{Name: nic.Name()}
	switch args.Show {
	case "S":
		v.Stats = nicStats(nic, args.Queues)
	case "g":
		rings := nic.Rings()
		v.Rings = &ethRings{rings.TX, rings.RX, rings.MaxTX, rings.MaxRX}
	case "c":
		c := ethCoalesce(nic.Coalesce())
		v.Coalesce = &c
	case "i":
		v.Driver = driverInfo(nic, cfg)
	default:
		v.Features = nicFeatures(nic)
	}
	return v
}

func nicStats(nic *nicoffload.Interface, queues bool) (list []ethStat) {
	stats := nic.Stats()
	if queues {
		stats = nic.QueueStats()
	}
	for _, s := range stats {
		list = append(list, ethStat(s))
	}
	return list
}

func nicFeatures(nic *nicoffload.Interface) (list []ethFeature) {
	for _, f := range nic.Features() {
		list = append(list, ethFeature(f))
	}
	return list
}

func driverInfo(nic *nicoffload.Interface, cfg *nicoffload.Config) *ethDriverInfo {
	bus := "emulated"
	if cfg.Bus > 0 {
		bus = fmt.Sprintf("emulated, of %v", cfg.Bus)
	}
	return &ethDriverInfo{
		Driver: "ocaserve-nic (emulated)", Version: moduleVersion(), Bus: bus,
		Config: cfg.String(), Queues: len(nic.Queues()), Faults: nic.Faults().String(),
	}
}

// moduleVersion is the program's, as a driver that is part of a kernel has the kernel's.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// print writes what ethtool does for the letter.
func (v *ethtoolView) print(w io.Writer) error {
	var b strings.Builder
	switch v.show {
	case "S":
		v.printStats(&b)
	case "g":
		v.printRings(&b)
	case "c":
		v.printCoalesce(&b)
	case "i":
		v.Driver.print(&b)
	default:
		v.printFeatures(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *ethtoolView) printStats(b *strings.Builder) {
	b.WriteString("NIC statistics:\n")
	for _, s := range v.Stats {
		fmt.Fprintf(b, "     %s: %d\n", s.Name, s.Value)
	}
}

func (d *ethDriverInfo) print(b *strings.Builder) {
	fmt.Fprintf(b, "driver: %s\nversion: %s\nbus-info: %s\nqueues: %d\nconfig: %s\nfaults: %s\nsupports-statistics: yes\n",
		d.Driver, d.Version, d.Bus, d.Queues, d.Config, d.Faults)
}

func (v *ethtoolView) printFeatures(b *strings.Builder) {
	fmt.Fprintf(b, "Features for %s:\n", v.Name)
	for _, f := range v.Features {
		b.WriteString(f.line())
	}
}

// line is "tx-tcp-segmentation: on", as ethtool -k has it.
func (f *ethFeature) line() string {
	text := f.Name + ": off"
	if f.On {
		text = f.Name + ": on"
	}
	if f.Fixed {
		text += " [fixed]"
	}
	return text + "\n"
}
