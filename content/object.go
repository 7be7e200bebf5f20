package content

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// An Object is a regular file in one generation, open for as long as somebody holds it. It is a cache.Source. Its
// fields do not change.
type Object struct {
	Name      string    // path below the root, with leading slash; for a directory's index, that of index.html
	ModTime   time.Time // UTC
	ETag      string    // strong, quoted
	MediaType string

	stamp stamp
	file  *os.File
	fd    uintptr // of file
	refs  atomic.Int32
	owner *Catalogue
}

// Size is the length in bytes of this generation.
func (o *Object) Size() int64 { return o.stamp.size }

// Key identifies the generation: equal keys mean equal bytes. It can be assigned to a cache.Key.
func (o *Object) Key() [5]uint64 { return o.stamp.key() }

// ReadAt reads the file as it is now; only Changed, asked afterwards, tells whether that was this generation.
func (o *Object) ReadAt(p []byte, off int64) (int, error) { return o.file.ReadAt(p, off) }

// Changed returns nil while the file still is of the object's generation. It costs one fstat(2).
//
// Losing its last name (unlink, or another file renamed over it) sets the time of inode change and nothing else.
// That is how content is properly replaced, and those who are being served the old file must get all of it: for a
// nameless file that time does not count. Otherwise it does (chmod, say), because it is what tells a write whose
// traces were removed by utimes(2).
func (o *Object) Changed() error {
	s, named, err := stampOfFD(o.fd, o.file)
	if err != nil {
		return err
	}
	if !named {
		s.ctime = o.stamp.ctime
	}
	if s != o.stamp {
		return fmt.Errorf("%w: %s", ErrChanged, o.Name)
	}
	return nil
}

// Acquire adds a hold. The caller must have one.
func (o *Object) Acquire() {
	if o.refs.Add(1) <= 1 {
		panic("content: Acquire needs an object that is held already")
	}
}

// Release drops a hold; the last one closes the file.
func (o *Object) Release() {
	n := o.refs.Add(-1)
	if n < 0 {
		panic("content: an object was released more often than it was acquired")
	}
	if n == 0 {
		o.file.Close() // read-only: nothing to flush, nothing to fail
		o.owner.open.Add(-1)
	}
	// At one, only the catalogue holds it: whoever waits for a descriptor may have it.
	if n <= 1 && o.owner.wantFD.Load() {
		o.owner.retryFD()
	}
}
