package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Names inside a generated catalogue.
const (
	masterPlaylist = "master.m3u8"
	mediaPlaylist  = "index.m3u8"
	initName       = "init.mp4"
)

func segmentName(n int) string { return fmt.Sprintf("seg-%05d.m4s", n) }

// fileName is a plain file: "files/file-0001-67108864.bin", size in bytes.
func fileName(n int, size int64) string { return fmt.Sprintf("files/file-%04d-%d.bin", n, size) }

// ErrNotGenerated means that a name is none of those that Gen gives.
var ErrNotGenerated = errors.New("content: not a name of a generated catalogue")

// An Expected is what a generated file holds, computed from its name. It keeps only what is not pattern (a few
// kilobytes), is read-only after Expect, and so safe for concurrent use. Keep it to verify one file many times.
type Expected struct {
	name    string
	seed    uint64
	size    int64
	literal []byte   // the whole file, if it has no pattern
	seg     *segment // of a media segment
}

// Expect computes what the file of that name holds: a path below the generated folder, with or without leading
// slash. The error is ErrNotGenerated.
func Expect(name string) (*Expected, error) {
	name = strings.TrimPrefix(name, "/")
	e := &Expected{name: name, seed: patternSeed(name)}
	dir, base, _ := strings.Cut(name, "/")
	ok := false
	if dir == "files" {
		e.size, ok = parseFile(name, base)
	} else if t, isTitle := parseTitle(dir); isTitle {
		ok = e.inTitle(t, base)
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotGenerated, name)
	}
	if e.literal != nil {
		e.size = int64(len(e.literal))
	}
	return e, nil
}

func parseFile(name, base string) (size int64, ok bool) {
	number, length, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(base, "file-"), ".bin"), "-")
	n, _ := strconv.Atoi(number)
	size, err := strconv.ParseInt(length, 10, 64)
	return size, err == nil && size >= 0 && fileName(n, size) == name
}

// inTitle sets e for a path inside a title's folder.
func (e *Expected) inTitle(t title, path string) bool {
	if path == masterPlaylist {
		e.literal = t.master()
		return true
	}
	dir, base, _ := strings.Cut(path, "/")
	for _, r := range t.ladder {
		if r.String() == dir {
			return e.inRung(t, r, base)
		}
	}
	return false
}

func (e *Expected) inRung(t title, r Rung, base string) bool {
	switch base {
	case mediaPlaylist:
		e.literal = t.media()
		return true
	case initName:
		e.literal = r.initSegment()
		return true
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(base, "seg-"), ".m4s"))
	if err != nil || n < 0 || n >= t.segments() || segmentName(n) != base {
		return false
	}
	e.seg = r.newSegment(n)
	e.size = e.seg.size
	return true
}

// Name is the file's path below the generated folder.
func (e *Expected) Name() string { return e.name }

// Size is the file's length in bytes.
func (e *Expected) Size() int64 { return e.size }

// ReadAt computes the bytes from off on, as io.ReaderAt.
func (e *Expected) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("content: offset %d is negative", off)
	}
	if off >= e.size {
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > e.size-off {
		p, err = p[:e.size-off], io.EOF
	}
	if e.literal != nil {
		copy(p, e.literal[off:])
		return len(p), err
	}
	fillPattern(e.seed, off, p)
	if e.seg != nil {
		e.seg.overlay(p, off)
	}
	return len(p), err
}

// overlay writes what is not pattern over p, the bytes from off on.
func (s *segment) overlay(p []byte, off int64) {
	put(p, off, s.head, 0)
	// Begin with the last sample that does not start after off.
	i, _ := slices.BinarySearch(s.samples[:], off+1)
	for i = max(0, i-1); i < sampleCount && s.samples[i] < off+int64(len(p)); i++ {
		put(p, off, s.prefixes[i], s.samples[i])
	}
}

// put copies the part of b, which stands at offset at, that falls into p, which stands at offset off.
func put(p []byte, off int64, b []byte, at int64) {
	if skip := off - at; skip > 0 {
		if skip >= int64(len(b)) {
			return
		}
		b, at = b[skip:], off
	}
	if d := at - off; d < int64(len(p)) {
		copy(p[d:], b)
	}
}

// Verify compares p with the bytes from off on. The error is a *MismatchError for the first byte that differs; bytes
// after the end of the file are an error too. It allocates nothing unless it fails.
func (e *Expected) Verify(p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > e.size {
		return fmt.Errorf("content: %s has %d bytes, not %d", e.name, e.size, off+int64(len(p)))
	}
	var want [4096]byte
	for len(p) > 0 {
		n := copy(want[:], p) // for the length; the bytes are overwritten
		e.ReadAt(want[:n], off)
		if !bytes.Equal(p[:n], want[:n]) {
			return firstMismatch(e.name, off, p[:n], want[:n])
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// Verify checks a part of a generated file against its name: see Expect.
func Verify(name string, off int64, p []byte) error {
	e, err := Expect(name)
	if err != nil {
		return err
	}
	return e.Verify(p, off)
}
