package tcpstack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"ocaserve/tcpstack/congestion"
	"ocaserve/tcpstack/recovery"
	"ocaserve/tcpstack/wire"
)

// Functions are a TCP implementation in FreeBSD's sense (struct tcp_function_block): how a connection finds out
// what it lost, what it does about it and when it sends. Congestion control is chosen separately. A registered
// block must not be changed.
type Functions struct {
	Name string
	Text string // one line for people

	Detector   recovery.Detector // RACK-TLP (RFC 8985), or RFC 6675 and NewReno
	PRR        bool              // the window of a fast recovery follows RFC 9937
	Undo       bool              // needless reductions are taken back: Eifel, D-SACK, F-RTO (RFC 4015)
	RTORestart bool              // RFC 7765
	NCR        bool              // RFC 4653 in the base detector, once the path was seen to reorder
	Paced      bool              // what congestion control allows is spread over the round trip

	conns atomic.Int64 // connections that run it (FreeBSD's pcbcnt); removed when below zero
}

// The names of the built-in blocks.
const (
	FunctionsRack    = "rack"
	FunctionsBase    = "base"
	DefaultFunctions = FunctionsRack
)

func builtinFunctions() []*Functions {
	return []*Functions{
		Rack(FunctionsRack, true),
		{Name: FunctionsBase, Text: "RFC 6675 SACK recovery or NewReno, NCR, not paced", NCR: true},
	}
}

// Rack makes a block like the built-in rack, paced or not.
func Rack(name string, paced bool) *Functions {
	f := &Functions{
		Name: name, Text: "RACK-TLP, PRR, undo",
		Detector: recovery.DetectorRACK, PRR: true, Undo: true, RTORestart: true, Paced: paced,
	}
	if paced {
		f.Text += ", paced"
	}
	return f
}

// initFunctions fills the registry and checks what the configuration names.
func (st *Stack) initFunctions() error {
	st.functions.Store(&functionsTable{blocks: builtinFunctions()})
	if err := st.SetDefaultFunctions(cmp.Or(st.cfg.Functions, DefaultFunctions)); err != nil {
		return err
	}
	if err := st.SetDefaultCongestion(st.cfg.Congestion); err != nil {
		return err
	}
	return st.checkCohorts()
}

// removed is what conns holds once nobody may join any more.
const removed = -1 << 40

// acquire counts a connection in; it fails once the block was removed.
func (f *Functions) acquire() bool {
	for {
		n := f.conns.Load()
		if n < 0 {
			return false
		}
		if f.conns.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (f *Functions) release() { f.conns.Add(-1) }

// A functionsTable is replaced as a whole: shards read it without a lock.
type functionsTable struct {
	blocks []*Functions
	def    *Functions
}

func (t *functionsTable) find(name string) *Functions {
	if name == "" {
		return t.def
	}
	for _, f := range t.blocks {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (t *functionsTable) names() string {
	names := make([]string, len(t.blocks))
	for i, f := range t.blocks {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// Errors of the registry.
var (
	ErrFunctionsInUse   = errors.New("connections still use it, or it is the default")
	ErrFunctionsUnknown = errors.New("no such TCP implementation")
)

// RegisterFunctions adds a block, which connections can choose from then on.
func (st *Stack) RegisterFunctions(f *Functions) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	t := st.functions.Load()
	if f.Name == "" || t.find(f.Name) != nil {
		return fmt.Errorf("tcpstack: a TCP implementation needs a name of its own; %q is not one of: %s", f.Name, t.names())
	}
	st.functions.Store(&functionsTable{blocks: append(slices.Clone(t.blocks), f), def: t.def})
	return nil
}

// UnregisterFunctions removes a block that no connection uses and that is not the default; else the error is
// [ErrFunctionsInUse] with their number.
func (st *Stack) UnregisterFunctions(name string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	t := st.functions.Load()
	f := t.find(name)
	switch {
	case name == "" || f == nil:
		return fmt.Errorf("%q: %w; there are: %s", name, ErrFunctionsUnknown, t.names())
	case f == t.def || !f.conns.CompareAndSwap(0, removed):
		return fmt.Errorf("%s (%d connections): %w", name, f.conns.Load(), ErrFunctionsInUse)
	}
	blocks := slices.DeleteFunc(slices.Clone(t.blocks), func(g *Functions) bool { return g == f })
	st.functions.Store(&functionsTable{blocks: blocks, def: t.def})
	return nil
}

// SetDefaultFunctions changes what new connections run (functions_default). Those there are stay as they are.
func (st *Stack) SetDefaultFunctions(name string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	t := st.functions.Load()
	f := t.find(name)
	if f == nil {
		return fmt.Errorf("%q: %w; there are: %s", name, ErrFunctionsUnknown, t.names())
	}
	st.functions.Store(&functionsTable{blocks: t.blocks, def: f})
	return nil
}

// SetDefaultCongestion changes the congestion control of new connections.
func (st *Stack) SetDefaultCongestion(name string) error {
	if _, err := congestion.New(name, 1460); err != nil {
		return err
	}
	st.congestion.Store(&name)
	return nil
}

// DefaultCongestion is the congestion control of new connections.
func (st *Stack) DefaultCongestion() string {
	if name := *st.congestion.Load(); name != "" {
		return name
	}
	return congestion.Default
}

// FunctionsInfo is a line of the registry.
type FunctionsInfo struct {
	Name        string `json:"name"`
	Text        string `json:"text"`
	Default     bool   `json:"default,omitempty"` // of new connections
	Connections int64  `json:"connections"`
}

// ListFunctions returns what is registered, in the order of registration (functions_available).
func (st *Stack) ListFunctions() []FunctionsInfo {
	t := st.functions.Load()
	list := make([]FunctionsInfo, len(t.blocks))
	for i, f := range t.blocks {
		list[i] = FunctionsInfo{f.Name, f.Text, f == t.def, f.conns.Load()}
	}
	return list
}

// A Cohort is a share of the connections that run something else than the default, so that two can be compared
// in production. Which connections is decided by a keyed hash of the 4-tuple.
type Cohort struct {
	Share      float64 // of all connections, above 0 and at most 1
	Functions  string  // "": the default
	Congestion string  // "": the default
}

// cohort finds the connection's cohort, nil if it is in none. Cohorts take consecutive pieces of the hash's
// range, so that their shares add up.
func (st *Stack) cohort(flow *wire.Flow) *Cohort {
	if len(st.cfg.Cohorts) == 0 {
		return nil
	}
	at := float64(st.isn.Cohort(flow)) / (1 << 32)
	for i := range st.cfg.Cohorts {
		k := &st.cfg.Cohorts[i]
		if at -= k.Share; at < 0 {
			return k
		}
	}
	return nil
}

// checkCohorts makes sure that every cohort can be run.
func (st *Stack) checkCohorts() error {
	var sum float64
	for _, k := range st.cfg.Cohorts {
		sum += k.Share
		if k.Share <= 0 || sum > 1+1e-9 {
			return fmt.Errorf("tcpstack: the shares of the cohorts must be above 0 and 1 in sum at most; this one is %v", k.Share)
		}
		if err := st.CheckChoice(k.Functions, k.Congestion); err != nil {
			return err
		}
	}
	return nil
}

// CheckChoice tells whether both names exist; empty ones stand for the defaults.
func (st *Stack) CheckChoice(functions, cc string) error {
	if t := st.functions.Load(); t.find(functions) == nil {
		return fmt.Errorf("%q: %w; there are: %s", functions, ErrFunctionsUnknown, t.names())
	}
	_, err := congestion.New(cc, 1460)
	return err
}
