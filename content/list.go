package content

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Listing is what a directory holds that can be served, sorted by name.
type Listing struct {
	Path    string // of the directory, with its slash
	Entries []Entry
	More    bool // there are more entries than a listing may have
}

// An Entry is one name in a directory.
type Entry struct {
	Name    string // without a slash
	Dir     bool
	Size    int64 // bytes; zero for a directory
	ModTime time.Time
}

// listBatch is how many names are read from a directory at a time.
const listBatch = 256

// readList reads a directory. Names that cannot be served are left out: hidden ones, special files, links that
// lead nowhere or out of the root.
func (c *Catalogue) readList(path string) (*Listing, error) {
	rel, slash := relative(path)
	fi, err := c.root.Stat(rel)
	switch {
	case err != nil:
		return nil, classify(err)
	case !fi.IsDir():
		return nil, ErrNotDir
	case !slash:
		return nil, ErrMissingSlash
	}
	d, err := c.root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, classify(err)
	}
	defer d.Close()
	l := &Listing{Path: strings.Clone(path)}
	for !l.More {
		batch, err := d.ReadDir(listBatch)
		for _, de := range batch {
			c.listOne(l, rel, de)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, classify(err)
		}
	}
	slices.SortFunc(l.Entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
}

// listOne adds an entry to l, if it can be served and there is room.
func (c *Catalogue) listOne(l *Listing, rel string, de os.DirEntry) {
	if strings.HasPrefix(de.Name(), ".") && !c.opts.Hidden {
		return
	}
	// Stat, not what the directory says: a link is listed as what it leads to.
	fi, err := c.root.Stat(rel + "/" + de.Name())
	if err != nil || !fi.IsDir() && !fi.Mode().IsRegular() {
		return
	}
	if len(l.Entries) >= c.opts.MaxListing {
		l.More = true
		return
	}
	e := Entry{Name: de.Name(), Dir: fi.IsDir(), ModTime: fi.ModTime().UTC()}
	if !e.Dir {
		e.Size = fi.Size()
	}
	l.Entries = append(l.Entries, e)
}
