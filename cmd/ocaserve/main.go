// Command ocaserve serves a folder of video over HTTPS from its own TCP/IP stack.
//
//  1. kong turns arguments, OCASERVE_* variables and a TOML file into the flags of one command (cli.go).
//  2. The command turns its flags into options: defaults applied, addresses planned, mistakes reported.
//  3. It runs: link, stack, cache, catalogue, origin are put together here and nowhere else (server.go).
//  4. A signal drains the server; the exit status is 0, or 1 for a failure, or 2 for a usage error.
//
// One file per command: flags -> options -> run(ctx, options, stdout) error.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run()) }

// run is main with an exit status, for the test scripts too.
func run() int { return execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr) }

// execute parses args and runs the command. Every error is one line on stderr that says what to do.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd, done, err := parse(args, stdout, stderr)
	if done {
		return 0
	}
	if err == nil {
		err = cmd.run(ctx, stdout)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "ocaserve:", oneLine(err))
	return exitStatus(err)
}
