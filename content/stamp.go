package content

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

const (
	// grain is more than the step of the clock that Linux stamps files with (one jiffy: 10 ms at HZ=100).
	grain = 20 * time.Millisecond
	// coarseGrain is for file systems that keep whole seconds (FAT: two).
	coarseGrain = 2100 * time.Millisecond
	// maxUnsettled is how long a file may go on changing before the lookup gives up.
	maxUnsettled = 3 * time.Second
)

// A stamp is a generation of a file: device, inode, size, and nanoseconds of modification and of inode change. The
// last is set by the kernel at every write and cannot be set back by utimes(2).
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
}

func (s stamp) key() [5]uint64 {
	return [5]uint64{s.dev, s.ino, uint64(s.size), uint64(s.mtime), uint64(s.ctime)}
}

// etag is a strong validator (RFC 9110 section 8.8.1). It is a hash so that it does not tell inode numbers, and
// leaves out the device number, which may differ after the next boot.
func (s stamp) etag() string {
	var b [32]byte
	for i, v := range s.key() {
		if i > 0 {
			binary.BigEndian.PutUint64(b[(i-1)*8:], v)
		}
	}
	sum := sha256.Sum256(b[:])
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// grain is the step of the times in s, as far as it shows.
func (s stamp) grain() time.Duration {
	if s.ctime%int64(time.Second) == 0 && s.mtime%int64(time.Second) == 0 {
		return coarseGrain
	}
	return grain
}

// age is how long ago the file was last changed. Negative: the clock that stamped it is ahead of ours.
func (s stamp) age(wall time.Time) time.Duration { return time.Duration(wall.UnixNano() - s.ctime) }
