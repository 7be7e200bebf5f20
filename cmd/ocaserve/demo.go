package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	master, err := generateDemo(ctx, dir, stdout)
	if err != nil {
		return err
	}
	opts.ready = func(s *server) { fmt.Fprint(stdout, demoText(s, dir, master)) }
	return serve(ctx, opts, stdout)
}

// demoText is the block a first-time user reads: what runs and why, then what to type.
func demoText(s *server, dir, master string) string {
	text := fmt.Sprintf("\n  serving  %s\n  link     %s\n  why      %s\n", dir, s.linkLine(), s.why)
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
	text += fmt.Sprintf("\n  fetch    %s %s/%s\n", curl, base, master)
	text += fmt.Sprintf("  play     ffplay -tls_verify 0 %s/%s\n", base, master)
	text += fmt.Sprintf("  browse   %s/player.html (accept the self-signed certificate)\n", base)
	return text + "  stop     Ctrl-C\n\n"
}

// generateDemo makes the title unless it is there, and returns the path of its master playlist.
func generateDemo(ctx context.Context, dir string, stdout io.Writer) (master string, err error) {
	opts := content.GenOptions{Duration: 12 * time.Second}
	fmt.Fprintln(stdout, "generating a title under", dir)
	if err := content.Gen(ctx, dir, opts); err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, "catalogue.json"))
	if err != nil {
		return "", err
	}
	var index content.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return "", err
	}
	return strings.TrimPrefix(index.Titles[0].Master, "/"), nil
}
