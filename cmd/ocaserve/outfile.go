package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// An outFile is a file whose content comes much later than the word that it can be written. Until then what stands
// under its name stays as it is: the content goes to a file beside it, which takes the name at the end. What is no plain
// file, or is in a folder that takes no other, is written in place.
type outFile struct {
	file *os.File
	to   string // the name it will have; "": it has it already
}

// newOutFile fails if the file cannot be written.
func newOutFile(name string) (*outFile, error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // a link stays one
	}
	old, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return besideOf(name)
	}
	if err != nil {
		return nil, err
	}
	info, err := old.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return &outFile{file: old}, err
	}
	o, err := besideOf(name)
	if err != nil {
		return &outFile{file: old}, nil
	}
	return o, errors.Join(old.Close(), o.file.Chmod(info.Mode().Perm()))
}

// besideOf makes the file that will be called name.
func besideOf(name string) (*outFile, error) {
	file, err := os.OpenFile(fmt.Sprintf("%s.%d.part", name, os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		pathErr.Path = name // what the user knows
	}
	return &outFile{file, name}, err
}

// fill writes the content, and gives the file its name.
func (o *outFile) fill(write func(io.Writer) error) error {
	if o.to == "" {
		_ = o.file.Truncate(0) // a pipe has no length
	}
	w := bufio.NewWriter(o.file)
	if err := errors.Join(write(w), w.Flush(), o.file.Close()); err != nil || o.to == "" {
		return err
	}
	if err := os.Rename(o.file.Name(), o.to); err != nil {
		return err
	}
	o.to = ""
	return nil
}

// drop forgets the file if it was not filled.
func (o *outFile) drop() {
	_ = o.file.Close()
	if o.to != "" {
		_ = os.Remove(o.file.Name())
	}
}
