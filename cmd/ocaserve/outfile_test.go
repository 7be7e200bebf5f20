package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// What stands under a file's name stays until there is something new, and nothing else is left behind.
func TestOutFile(t *testing.T) {
	dir := t.TempDir()
	old, link := filepath.Join(dir, "old"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(old, []byte("what was there"), 0o640), os.Symlink("old", link)); err != nil {
		t.Fatal(err)
	}
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	broken := func(w io.Writer) error { return errors.Join(text("half of")(w), errors.New("broken")) }
	for _, c := range []struct {
		what  string
		name  string
		write func(io.Writer) error // nil: it does not come to that
		want  string                // in the file; "": there is none
	}{
		{"dropped", old, nil, "what was there"},
		{"new and dropped", filepath.Join(dir, "new"), nil, ""},
		{"broken", old, broken, "what was there"},
		{"filled", old, text("new"), "new"},
		{"through a link", link, text("newer"), "newer"},
		{"new and filled", filepath.Join(dir, "new"), text("first"), "first"},
	} {
		o, err := newOutFile(c.name)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if c.write != nil {
			if err := o.fill(c.write); (err != nil) != (c.what == "broken") {
				t.Errorf("%s: %v", c.what, err)
			}
		}
		o.drop()
		if got, _ := os.ReadFile(c.name); string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if info, err := os.Lstat(old); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v: other permissions than before", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is none any more: %v", err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 3 {
		t.Errorf("left behind: %v", all)
	}
}

// What is no plain file is written in place.
func TestOutFileInPlace(t *testing.T) {
	o, err := newOutFile(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer o.drop()
	if o.to != "" {
		t.Errorf("%s would take the place of a device", o.file.Name())
	}
	if err := o.fill(func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }); err != nil {
		t.Error(err)
	}
}
