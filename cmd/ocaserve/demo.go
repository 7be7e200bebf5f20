package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"ocaserve/content"
)

type demoFlags struct {
	netFlags
	tlsFlags
	originFlags
}

// run generates the title once and serves it. The demo keeps to this machine unless told otherwise: a relay
// listens on the loopback address.
func (f *demoFlags) run(ctx context.Context, stdout io.Writer) error {
	n := f.netFlags
	if n.Listen == "" {
		n.Listen = "localhost"
	}
	dir, err := stateDir("demo")
	if err != nil {
		return err
	}
	opts, err := buildOptions(dir, n, f.tlsFlags, f.originFlags)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "making a title to show, which takes some seconds the first time ...")
	making, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	title, err := content.Demo(making, dir)
	interrupted := making.Err() != nil
	stop()
	if err != nil && interrupted {
		return errors.New("interrupted while making the demo title; run demo again to make it")
	}
	if err != nil {
		return fmt.Errorf("making the demo title under %s: %w", dir, err)
	}
	opts.ready = func(s *server) { fmt.Fprint(stdout, demoText(s, dir, title)) }
	return serve(ctx, opts, stdout)
}

// demoText is the block a first-time user reads: what runs and why, then what to type.
func demoText(s *server, dir string, title content.DemoTitle) string {
	text := fmt.Sprintf("\n  title    %s\n  folder   %s\n  link     %s\n  why      %s\n",
		title.Note, dir, s.linkLine(), s.why+s.link.note)
	base := s.url("https")
	curl, play := "curl", "ffplay"
	if base == "" {
		base = s.url("http")
	} else {
		text += fmt.Sprintf("  tls      %s\n", s.tlsLine())
		if s.selfSigned != "" {
			curl += " --cacert " + shellWord(s.selfSigned)
			play += " -tls_verify 0" // version 8 and later verify unless told otherwise
		}
	}
	text += fmt.Sprintf("\n  fetch    %s %s%s\n", curl, base, title.Master)
	text += fmt.Sprintf("  play     %s %s%s\n", play, base, title.Master)
	text += fmt.Sprintf("  watch    %s%s in a browser", base, title.Page)
	if s.selfSigned != "" && s.certs != nil {
		text += ", which will ask whether to trust the self-signed certificate"
	}
	return text + "\n  stop     Ctrl-C\n\n"
}

// shellWord quotes a path that a shell would take for more than one word.
func shellWord(s string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+:@%,", r)
	}
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
