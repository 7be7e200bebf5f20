package main

import (
	"context"
	"fmt"
	"io"

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
	title, err := content.Demo(ctx, dir)
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
	curl := "curl"
	if base == "" {
		base = s.url("http")
	} else {
		text += fmt.Sprintf("  tls      %s\n", s.tlsLine())
		if s.selfSigned != "" {
			curl += " --cacert " + s.selfSigned
		}
	}
	text += fmt.Sprintf("\n  fetch    %s %s%s\n", curl, base, title.Master)
	text += fmt.Sprintf("  play     ffplay %s%s\n", base, title.Master)
	text += fmt.Sprintf("  watch    %s%s in a browser", base, title.Page)
	if s.selfSigned != "" && s.certs != nil {
		text += ", which will ask whether to trust the self-signed certificate"
	}
	return text + "\n  stop     Ctrl-C\n\n"
}
