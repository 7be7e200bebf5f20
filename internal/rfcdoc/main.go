// Command rfcdoc writes docs/rfc.md: which section of which RFC is implemented where, and which test proves it. It
// reads nothing but comments, so that the page says what the code says:
//
//  1. scan.go finds the comments of the module's Go files and packetdrill scripts, and the declaration each stands in.
//  2. cite.go finds the citations in a comment: "RFC 9293 section 3.8.6", "RFC 6298 (5.7)", "sections 2 and 3".
//  3. list.go is written by hand: titles, how far each RFC is implemented, and which must have a test.
//  4. page.go joins the two into Markdown. File and function are named, never lines: the page changes when a rule moves.
//
// Run `go generate ./...` or `go run ./internal/rfcdoc` after a comment's citation has changed; with -check nothing is
// written and a stale page, an RFC without an entry in the list or a required RFC without a test is an error.
package main

//go:generate go run .

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const page = "docs/rfc.md"

func main() {
	check := flag.Bool("check", false, "write nothing, fail when the page is stale or a test is missing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "rfcdoc:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	cites, err := scan(os.DirFS(root))
	if err != nil {
		return err
	}
	name := filepath.Join(root, page)
	want := render(cites, list)
	if check {
		have, err := os.ReadFile(name)
		if err == nil && !bytes.Equal(have, want) {
			err = fmt.Errorf("%s is stale: %s; run go run ./internal/rfcdoc", page, firstDifference(have, want))
		}
		return errors.Join(err, verify(cites, list))
	}
	if err := verify(cites, list); err != nil {
		fmt.Fprintln(os.Stderr, "rfcdoc:", err)
	}
	return os.WriteFile(name, want, 0o644)
}

// moduleRoot is the nearest folder upwards with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}

// firstDifference quotes the first line in which two pages differ.
func firstDifference(have, want []byte) string {
	h, w := bytes.Split(have, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(h), len(w)) {
		if !bytes.Equal(h[i], w[i]) {
			return fmt.Sprintf("line %d is %q, the comments say %q", i+1, h[i], w[i])
		}
	}
	return fmt.Sprintf("it has %d lines, the comments make %d", len(h), len(w))
}
