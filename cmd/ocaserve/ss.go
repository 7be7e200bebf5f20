package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ocaserve/origin"
	"ocaserve/tcpstack"
)

type ssFlags struct {
	adminFlags
	Info     bool     `short:"i" help:"Show what TCP knows of each connection, with the names of ss -ti and the time under each limit."`
	State    string   `short:"t" default:"connected" placeholder:"STATE" help:"Connections in a state: established, time-wait, ...; connected: all but closed, synchronized: without syn-sent too, big: without time-wait, all. -ti and -tan work as with ss."`
	JSON     bool     `name:"json" help:"One JSON object per connection; sizes in bytes, times in nanoseconds, rates in bytes per second, names as in Linux's tcp_info."`
	Summary  bool     `short:"s" help:"Only sums: connections, the memory they hold, and every counter that is not zero."`
	NoHeader bool     `short:"H" help:"No header line."`
	Filter   []string `arg:"" optional:"" name:"filter" help:"Which: sport = :443, dport != :80, dst 192.0.2.0/24, src ADDR:PORT, joined by and, or, not and parentheses."`
}

// ssArgs is the request.
type ssArgs struct {
	Info   bool   `json:"info,omitempty"`
	State  string `json:"state,omitempty"`
	Filter string `json:"filter,omitempty"`
}

// A connView is a connection as ss shows it.
type connView struct {
	State  string         `json:"state"`
	RecvQ  int64          `json:"recv_q"` // bytes that the application has not read
	SendQ  int64          `json:"send_q"` // bytes that the peer has not acknowledged
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	Stack  string         `json:"stack,omitempty"`
	CC     string         `json:"cc,omitempty"`
	TLS    string         `json:"tls,omitempty"` // who seals: nic, inline, user, or sw(reason) where it should be nic
	Shard  int            `json:"shard"`
	Info   *tcpstack.Info `json:"info,omitempty"`
}

func (f *ssFlags) run(_ context.Context, stdout io.Writer) error {
	f.habits()
	if f.Summary {
		if len(f.Filter) > 0 {
			return usagef("-s sums over all connections; leave the filter out")
		}
		return f.summary(stdout)
	}
	args := ssArgs{Info: f.Info || f.JSON, State: f.State, Filter: strings.Join(f.Filter, " ")}
	if _, err := args.match(); err != nil {
		return usageError{err}
	}
	c, err := f.dial()
	if err != nil {
		return err
	}
	var all []connView
	if err := callAdmin(c, "ss", args, func(b []byte) error {
		var some []connView
		err := unmarshal(b, &some)
		all = append(all, some...)
		return err
	}); err != nil {
		return err
	}
	if f.JSON {
		return printJSON(stdout, all)
	}
	return printConns(stdout, all, !f.NoHeader)
}

// habits lets ss -ti, -tan and -tin mean what they do there: our -t takes a state, and finds letters.
func (f *ssFlags) habits() {
	if f.State == "" || strings.Trim(f.State, "aino") != "" {
		return
	}
	letters := f.State
	f.Info, f.State = f.Info || strings.Contains(letters, "i"), "connected"
	if strings.Contains(letters, "a") {
		f.State = "all"
	}
}

func printJSON(w io.Writer, all []connView) error {
	enc := json.NewEncoder(w)
	for i := range all {
		if err := enc.Encode(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// ssVerb walks over the connections and sends those that are wanted, a slice at a time.
func ssVerb(ctx context.Context, s *server, r *adminRequest) error {
	var args ssArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	match, err := args.match()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var some []connView
	return s.stack.Walk(ctx, func(c *tcpstack.Conn) {
		if match(c) {
			some = append(some, viewOf(c, args.Info))
		}
	}, func() error {
		if len(some) == 0 {
			return nil
		}
		defer func() { some = some[:0] }()
		return r.Send(some)
	})
}

// viewOf runs on the connection's shard.
func viewOf(c *tcpstack.Conn, info bool) connView {
	v := connView{
		State: stateNames[c.State()], RecvQ: int64(c.Readable()), SendQ: c.Queued(),
		Local: c.LocalAddr(), Remote: c.RemoteAddr(), CC: c.Congestion(), Shard: c.Shard().ID(),
	}
	if f := c.Functions(); f != nil {
		v.Stack = f.Name
	}
	if info {
		i := c.Info()
		v.Info = &i
		v.TLS = tlsOf(c)
	}
	return v
}

func tlsOf(c *tcpstack.Conn) string {
	if s, ok := origin.SealingOf(c); ok {
		return s.String()
	}
	return ""
}

// stateNames are ss's.
var stateNames = map[tcpstack.State]string{
	tcpstack.StateClosed: "UNCONN", tcpstack.StateListen: "LISTEN", tcpstack.StateSynSent: "SYN-SENT",
	tcpstack.StateSynReceived: "SYN-RECV", tcpstack.StateEstablished: "ESTAB", tcpstack.StateFinWait1: "FIN-WAIT-1",
	tcpstack.StateFinWait2: "FIN-WAIT-2", tcpstack.StateCloseWait: "CLOSE-WAIT", tcpstack.StateClosing: "CLOSING",
	tcpstack.StateLastAck: "LAST-ACK", tcpstack.StateTimeWait: "TIME-WAIT",
}

// stateSet is what -t NAME means.
func stateSet(name string) (map[string]bool, error) {
	set := map[string]bool{}
	for _, s := range stateNames {
		set[s] = true
	}
	switch name = strings.ToUpper(name); name {
	case "ALL", "":
		return set, nil
	case "CONNECTED":
		delete(set, "UNCONN")
		delete(set, "LISTEN")
		return set, nil
	case "SYNCHRONIZED":
		delete(set, "UNCONN")
		delete(set, "LISTEN")
		delete(set, "SYN-SENT")
		return set, nil
	case "BIG":
		delete(set, "SYN-RECV")
		delete(set, "TIME-WAIT")
		return set, nil
	case "ESTABLISHED":
		name = "ESTAB"
	case "SYN-RECEIVED":
		name = "SYN-RECV"
	}
	if set[name] {
		return map[string]bool{name: true}, nil
	}
	known := slices.Sorted(maps.Keys(set))
	return nil, fmt.Errorf("unknown state %q; there are: all, connected, synchronized, big, established, %s", strings.ToLower(name), strings.ToLower(strings.Join(known, ", ")))
}

// match makes a test of the state and the filter.
func (a *ssArgs) match() (func(*tcpstack.Conn) bool, error) {
	states, err := stateSet(a.State)
	if err != nil {
		return nil, err
	}
	flow, err := parseFilter(a.Filter)
	if err != nil {
		return nil, err
	}
	return func(c *tcpstack.Conn) bool { return states[stateNames[c.State()]] && flow(c.Flow()) }, nil
}
