package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// cli is the grammar: one field per command.
type cli struct {
	Demo    demoFlags    `cmd:"" help:"Generate a small HLS title, serve it, and say what to type next."`
	Serve   serveFlags   `cmd:"" help:"Serve a folder over HTTPS and HTTP."`
	Content contentFlags `cmd:"" help:"Make content to serve."`
	Compare compareFlags `cmd:"" help:"Serve the same bytes in the four TLS modes, and say what each costs and where an offload pays."`
	Doctor  doctorFlags  `cmd:"" help:"Say which links work here, why others do not, and the fix."`
	Pkt     pktFlags     `cmd:"" help:"Run packetdrill scripts against the TCP stack on a virtual clock."`
	Link    linkFlags    `cmd:"" help:"Join two TUN or TAP interfaces and shape what passes: rate, delay, jitter, loss, reordering, queue."`
	Ss      ssFlags      `cmd:"" help:"Show the connections of a running server, as ss does."`
	Stack   stackFlags   `cmd:"" help:"Show or change which TCP implementation and congestion control a running server uses."`
	Ethtool ethtoolFlags `cmd:"" help:"Show or change the emulated NIC of a running server: offloads, counters, rings."`
	Tlsstat tlsstatFlags `cmd:"" help:"Show who seals the records of a running server, and move connections between CPU and NIC."`
	Trace   traceFlags   `cmd:"" help:"Record connections of a running server, and draw them."`
	Version versionFlags `cmd:"" help:"Print the version and how it was built."`

	Config string `placeholder:"FILE" help:"TOML file with flags by name: net = \"tun\". A [command] table holds for that command only."`
}

// A command is a parsed command line, ready to run.
type command interface {
	run(ctx context.Context, stdout io.Writer) error
}

// A usageError is the caller's mistake: exit status 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (e usageError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// oneLine keeps a wrapped error that contains line breaks (a TOML parser's, say) on one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// helped is panicked by kong's exit hook when --help has been printed.
type helped struct{}

// parse returns the command to run; done says that there is nothing left to do (help was printed).
func parse(args []string, stdout, stderr io.Writer) (cmd command, done bool, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case helped:
			done = true
		default:
			panic(r)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("ocaserve"),
		kong.Description("An HTTPS origin for video and large files with its own TCP/IP stack. Exit status: 0 done, 1 failed, 2 usage."),
		kong.DefaultEnvars("OCASERVE"),
		kong.Vars{"cache": defaultCache(memoryTotal()).String(), "memory": defaultMemory(memoryTotal()).String()},
		kong.Vars(tcpVars()),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { panic(helped{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.WithBeforeResolve(readConfig),
	)
	if err != nil {
		return nil, false, err
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, false, usageFrom(err)
	}
	cmd, ok := ctx.Selected().Target.Addr().Interface().(command)
	if !ok {
		return nil, false, usagef("%s needs a command; see ocaserve --help", ctx.Command())
	}
	return cmd, false, nil
}

// usageFrom adds where help is to what kong has to say.
func usageFrom(err error) error {
	where := "ocaserve --help"
	if p, ok := errors.AsType[*kong.ParseError](err); ok && p.Context != nil && p.Context.Command() != "" {
		words, _, _ := strings.Cut(p.Context.Command(), " <") // without the arguments
		where = "ocaserve " + words + " --help"
	}
	text, missing := err.Error(), ` value but got "EOL" (<EOL>)`
	if flag, _, ok := strings.Cut(text, ": expected "); ok && strings.HasSuffix(text, missing) {
		return usagef("%s: its value is missing; see %s", flag, where)
	}
	return usagef("%w; see %s", err, where)
}
