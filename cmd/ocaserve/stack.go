package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/congestion"
)

// stackFlags list and change what the connections of a running server run: FreeBSD's functions_available,
// functions_default and pcbcnt, and its TCP_FUNCTION_BLK for many connections at once. What changes the server is
// on the command line only: a variable or a file that is meant for serve --cc must not make a question an order.
type stackFlags struct {
	adminFlags
	Default string   `env:"-" placeholder:"NAME" help:"TCP implementation of new connections from now on."`
	CC      string   `name:"cc" env:"-" enum:",${ccs}" default:"" placeholder:"NAME" help:"Congestion control of new connections from now on."`
	Move    bool     `env:"-" help:"Change the open connections too (those that the filter means, if there is one): to --default and --cc, as far as given. Then new connections stay as they are."`
	JSON    bool     `name:"json" help:"The answer as JSON."`
	Filter  []string `arg:"" optional:"" name:"filter" help:"With --move: which connections, as ocaserve ss has it."`
}

// stackArgs is the request.
type stackArgs struct {
	Functions string `json:"functions,omitempty"`
	CC        string `json:"cc,omitempty"`
	Move      bool   `json:"move,omitempty"`
	Filter    string `json:"filter,omitempty"`
}

// stackView is the answer.
type stackView struct {
	Functions []tcpstack.FunctionsInfo `json:"functions"`
	CC        string                   `json:"cc"` // of new connections
	CCs       []string                 `json:"ccs"`
	Moved     int                      `json:"moved,omitempty"`
	Left      int                      `json:"left,omitempty"` // meant, but not established any more or not yet

	moved bool // --move was given
}

func (f *stackFlags) run(_ context.Context, stdout io.Writer) error {
	args := stackArgs{Functions: f.Default, CC: f.CC, Move: f.Move, Filter: strings.Join(f.Filter, " ")}
	if f.Move && f.Default == "" && f.CC == "" {
		return usagef("--move needs --default or --cc, or both: what to change the connections to")
	}
	if !f.Move && len(f.Filter) > 0 {
		return usagef("a filter chooses open connections; they change with --move only")
	}
	if _, err := parseFilter(args.Filter); err != nil {
		return usageError{err}
	}
	return f.ask("stack", args, &stackView{moved: f.Move}, f.JSON, stdout)
}

func (v *stackView) print(w io.Writer) error {
	if v.moved {
		fmt.Fprintf(w, "%d connections changed, %d are not established\n", v.Moved, v.Left)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "stack\tnew connections\tconnections\twhat it is")
	for _, f := range v.Functions {
		mark := ""
		if f.Default {
			mark = "default"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\n", f.Name, mark, f.Connections, f.Text)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "congestion control of new connections: %s (there are: %s)\n", v.CC, strings.Join(v.CCs, ", "))
	return err
}

func stackVerb(ctx context.Context, s *server, r *adminRequest) error {
	var args stackArgs
	if err := r.Args(&args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var v stackView
	var err error
	if args.Move {
		err = args.move(ctx, s.stack, &v)
	} else {
		err = args.setDefaults(s.stack)
	}
	if err != nil {
		return err
	}
	v.Functions, v.CC, v.CCs = s.stack.ListFunctions(), s.stack.DefaultCongestion(), congestion.Names()
	return r.Send(v)
}

func (a *stackArgs) setDefaults(st *tcpstack.Stack) error {
	if a.Functions != "" {
		if err := st.SetDefaultFunctions(a.Functions); err != nil {
			return err
		}
	}
	if a.CC != "" {
		return st.SetDefaultCongestion(a.CC)
	}
	return nil
}

// move changes open connections. The names are checked before the first one changes.
func (a *stackArgs) move(ctx context.Context, st *tcpstack.Stack, v *stackView) error {
	filter := ssArgs{State: "connected", Filter: a.Filter}
	match, err := filter.match()
	if err != nil {
		return err
	}
	if err := st.CheckChoice(a.Functions, a.CC); err != nil {
		return err
	}
	return st.Walk(ctx, func(c *tcpstack.Conn) {
		if !match(c) {
			return
		}
		if a.apply(c) != nil {
			v.Left++
			return
		}
		v.Moved++
	}, func() error { return nil })
}

func (a *stackArgs) apply(c *tcpstack.Conn) error {
	if a.Functions != "" {
		if err := c.SetFunctions(a.Functions); err != nil {
			return err
		}
	}
	if a.CC != "" {
		return c.SetCongestion(a.CC)
	}
	return nil
}
