//go:build !linux

package content

import "os"

// stampOf has to do with what every system tells: size and modification.
func stampOf(fi os.FileInfo) stamp {
	t := fi.ModTime().UnixNano()
	return stamp{size: fi.Size(), mtime: t, ctime: t}
}

func stampOfFD(_ uintptr, f *os.File) (s stamp, named bool, err error) {
	fi, err := f.Stat()
	if err != nil {
		return stamp{}, false, err
	}
	return stampOf(fi), true, nil
}
