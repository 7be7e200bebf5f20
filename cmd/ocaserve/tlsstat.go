package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ocaserve/ktls"
)

// tlsstatFlags show what Linux has in /proc/net/tls_stat and FreeBSD below kern.ipc.tls.stats, and move
// connections between the CPU and the NIC as FreeBSD's TCP_TXTLS_MODE does. What changes the server is on the
// command line only.
type tlsstatFlags struct {
	adminFlags
	Mode   string   `env:"-" enum:",ifnet,sw,none,nic,inline,user" default:"" placeholder:"ifnet|sw" help:"Who seals for new connections from now on: ifnet (nic), sw (inline), none (user)."`
	Move   bool     `env:"-" help:"Move the open connections to --mode at their next record (those that the filter means, if there is one): between ifnet and sw. Then new connections stay as they are."`
	JSON   bool     `name:"json" help:"The answer as JSON."`
	Filter []string `arg:"" optional:"" name:"filter" help:"With --move: which connections, as ocaserve ss has it."`
}

// tlsModes are the modes by FreeBSD's names and ours.
var tlsModes = map[string]ktls.Mode{
	"ifnet": ktls.ModeNIC, "nic": ktls.ModeNIC, "sw": ktls.ModeInline, "inline": ktls.ModeInline,
	"none": ktls.ModeUser, "user": ktls.ModeUser,
}

// tlsstatArgs is the request.
type tlsstatArgs struct {
	Mode   string `json:"mode,omitempty"`
	Move   bool   `json:"move,omitempty"`
	Filter string `json:"filter,omitempty"`
}

// tlsstatView is the answer.
type tlsstatView struct {
	Mode  string `json:"mode"`  // of new connections
	TXTLS string `json:"txtls"` // the same as TCP_TXTLS_MODE has it
	Moved int    `json:"moved,omitempty"`
	Left  int    `json:"left,omitempty"` // meant, but of another kind than can be moved

	Linux    []ethStat         `json:"tls_stat"`
	FreeBSD  []ethStat         `json:"kern.ipc.tls.stats"`
	ToSW     map[string]uint64 `json:"switch_to_sw_reasons"`
	Failed   map[string]uint64 `json:"switch_failed_reasons"`
	moveWent bool              // --move was given
}

func (f *tlsstatFlags) run(_ context.Context, stdout io.Writer) error {
	args := tlsstatArgs{Mode: f.Mode, Move: f.Move, Filter: strings.Join(f.Filter, " ")}
	if err := args.check(); err != nil {
		return usageError{err}
	}
	return f.ask("tlsstat", args, &tlsstatView{moveWent: f.Move}, f.JSON, stdout)
}

func (a *tlsstatArgs) check() error {
	switch {
	case a.Move && a.Mode == "":
		return fmt.Errorf("--move needs --mode: where to move the connections to")
	case a.Move && tlsModes[a.Mode] == ktls.ModeUser:
		return fmt.Errorf("--mode %s is for new connections; open ones move between ifnet and sw", a.Mode)
	case !a.Move && a.Filter != "":
		return fmt.Errorf("a filter chooses open connections; they change with --move only")
	}
	_, err := parseFilter(a.Filter)
	return err
}

// print writes both systems' names, each as its own tool does.
func (v *tlsstatView) print(w io.Writer) error {
	var b strings.Builder
	if v.moveWent {
		fmt.Fprintf(&b, "%d connections moved, %d cannot be\n", v.Moved, v.Left)
	}
	fmt.Fprintf(&b, "new connections: %s (TCP_TXTLS_MODE %s)\n", v.Mode, v.TXTLS)
	for _, s := range v.Linux {
		fmt.Fprintf(&b, "%-32s%d\n", s.Name, s.Value)
	}
	for _, s := range v.FreeBSD {
		fmt.Fprintf(&b, "kern.ipc.tls.stats.%s: %d\n", s.Name, s.Value)
	}
	writeReasons(&b, "switch_to_sw", v.ToSW)
	writeReasons(&b, "switch_failed", v.Failed)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeReasons names the reasons that occurred, in the order of their numbers.
func writeReasons(b *strings.Builder, name string, n map[string]uint64) {
	for r := range ktls.NumReasons {
		if n[r.String()] > 0 {
			fmt.Fprintf(b, "%s(%v): %d\n", name, r, n[r.String()])
		}
	}
}
