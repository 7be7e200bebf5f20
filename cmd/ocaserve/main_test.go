package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ocaserve": func() { os.Exit(run()) }})
}

// TestScripts runs testdata/*.txt: command lines, what they print and how they exit.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: func(env *testscript.Env) error { env.Setenv("XDG_STATE_HOME", env.WorkDir+"/state"); return nil },
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"fails": fails},
	})
}

// fails STATUS PROGRAM ARGS... runs a program that must exit with that status and say why in one line.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	status := "0"
	if err != nil {
		status = exitText(err)
	}
	if status != args[0] {
		ts.Fatalf("exit status %s, want %s", status, args[0])
	}
	if lines := countLines(ts.ReadFile("stderr")); lines != 1 {
		ts.Fatalf("%d lines on stderr, want one", lines)
	}
}
