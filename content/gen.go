package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// GenOptions says what Gen writes. Zero fields mean defaults.
type GenOptions struct {
	Titles   int           // number of titles; default 1, negative: none
	Duration time.Duration // of each, rounded up to whole segments of 4 s; default 60 s
	Ladder   []Rung        // renditions of each; default DefaultLadder
	Files    []int64       // sizes of plain files in bytes; default none

	// Progress, if set, is called now and then with the bytes done and the bytes in all, and at the end with
	// both equal. It is called by Gen's own goroutine.
	Progress func(done, total int64)
}

const (
	defaultTitles   = 1
	defaultDuration = 60 * time.Second
	maxTitles       = 100000
	indexJSON       = "catalogue.json"
	genChunk        = 1 << 20 // bytes computed, written and reported at a time
)

func (o *GenOptions) fill() error {
	if o.Titles == 0 {
		o.Titles = defaultTitles
	}
	o.Titles = max(0, o.Titles)
	if o.Duration <= 0 {
		o.Duration = defaultDuration
	}
	if len(o.Ladder) == 0 {
		o.Ladder = DefaultLadder
	}
	if o.Titles > maxTitles {
		return fmt.Errorf("content: %d titles: the most is %d", o.Titles, maxTitles)
	}
	if n := wholeSegments(o.Duration) / segmentSeconds; n > maxSegments {
		return fmt.Errorf("content: a title of %v has %d segments: the most is %d", o.Duration, n, maxSegments)
	}
	seen := make(map[Rung]bool)
	for _, r := range o.Ladder {
		if err := r.check(); err != nil {
			return err
		}
		if seen[r] {
			return fmt.Errorf("content: rung %s is there twice", r)
		}
		seen[r] = true
	}
	for _, size := range o.Files {
		if size < 0 {
			return fmt.Errorf("content: a file cannot have %d bytes", size)
		}
	}
	return nil
}

// An Index is what catalogue.json at the root of a generated folder says: where to begin. It is the one file
// whose bytes do not follow from its name.
type Index struct {
	Titles []IndexTitle `json:"titles"`
	Files  []IndexFile  `json:"files"`
}

// An IndexTitle is one title of an Index.
type IndexTitle struct {
	Master  string `json:"master"` // path of the master playlist, with leading slash
	Seconds int    `json:"seconds"`
}

// An IndexFile is one plain file of an Index.
type IndexFile struct {
	Name string `json:"name"` // path, with leading slash
	Size int64  `json:"size"` // bytes
}

// Gen writes a deterministic catalogue below dir, which it creates if needed. The same options give the same bytes
// everywhere. Files appear whole: each is written under a hidden name and renamed. A file that is there already
// and right is left untouched, times and all, so that an interrupted run resumes; a wrong one is replaced. Files
// that the options do not ask for are not removed. It stops when ctx ends.
func Gen(ctx context.Context, dir string, o GenOptions) error {
	if err := o.fill(); err != nil {
		return err
	}
	g := generator{ctx: ctx, dir: dir, progress: o.Progress, buf: make([]byte, genChunk)}
	if g.progress == nil {
		g.progress = func(int64, int64) {}
	}
	for _, name := range o.names() {
		e, err := Expect(name)
		if err != nil {
			return fmt.Errorf("content: broken invariant: Gen and Expect disagree: %w", err)
		}
		g.total += e.size
	}
	for _, name := range o.names() {
		if err := g.file(name); err != nil {
			return fmt.Errorf("content: generating %s: %w", name, err)
		}
	}
	b, err := json.MarshalIndent(o.index(), "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, indexJSON), append(b, '\n')); err != nil {
		return err
	}
	g.progress(g.total, g.total)
	return nil
}

// titles lists the titles that the options mean.
func (o *GenOptions) titles() []title {
	ts := make([]title, o.Titles)
	for i := range ts {
		ts[i] = title{number: i + 1, seconds: wholeSegments(o.Duration), ladder: o.Ladder}
	}
	return ts
}

// names lists the files, playlists last in their folders: who sees a playlist can have what it lists.
func (o *GenOptions) names() []string {
	var names []string
	for _, t := range o.titles() {
		for _, r := range t.ladder {
			at := t.String() + "/" + r.String() + "/"
			names = append(names, at+initName)
			for n := range t.segments() {
				names = append(names, at+segmentName(n))
			}
			names = append(names, at+mediaPlaylist)
		}
		names = append(names, t.String()+"/"+masterPlaylist)
	}
	for i, size := range o.Files {
		names = append(names, fileName(i+1, size))
	}
	return names
}

func (o *GenOptions) index() Index {
	x := Index{Titles: []IndexTitle{}, Files: []IndexFile{}}
	for _, t := range o.titles() {
		x.Titles = append(x.Titles, IndexTitle{"/" + t.String() + "/" + masterPlaylist, t.seconds})
	}
	for i, size := range o.Files {
		x.Files = append(x.Files, IndexFile{"/" + fileName(i+1, size), size})
	}
	return x
}

// A generator is one run of Gen.
type generator struct {
	ctx         context.Context
	dir         string
	progress    func(done, total int64)
	done, total int64
	buf         []byte
}

// file makes one file right.
func (g *generator) file(name string) error {
	e, err := Expect(name)
	if err != nil {
		return err
	}
	path := filepath.Join(g.dir, filepath.FromSlash(name))
	before := g.done
	if ok, err := g.right(path, e); ok || err != nil {
		return err
	}
	g.done = before
	return replaceFile(path, func(f *os.File) error {
		return g.chunks(e, func(p []byte, off int64) error {
			if _, err := e.ReadAt(p, off); err != nil && err != io.EOF {
				return err
			}
			_, err := f.Write(p)
			return err
		})
	})
}

// right reports whether the file is there with the right bytes.
func (g *generator) right(path string, e *Expected) (bool, error) {
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() != e.size {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	err = g.chunks(e, func(p []byte, off int64) error {
		if _, err := f.ReadAt(p, off); err != nil {
			return err
		}
		return e.Verify(p, off)
	})
	if g.ctx.Err() != nil {
		return false, g.ctx.Err()
	}
	return err == nil, nil
}

// chunks calls do for each chunk of a file, counting.
func (g *generator) chunks(e *Expected, do func(p []byte, off int64) error) error {
	for off := int64(0); off < e.size; {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		p := g.buf[:min(int64(len(g.buf)), e.size-off)]
		if err := do(p, off); err != nil {
			return err
		}
		off += int64(len(p))
		g.done += int64(len(p))
		g.progress(g.done, g.total)
	}
	return nil
}

// replaceFile writes a file beside its place, under a name that is not served, and renames it there.
func replaceFile(path string, write func(*os.File) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

func writeFile(path string, b []byte) error {
	return replaceFile(path, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}
