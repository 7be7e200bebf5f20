package content

import (
	"os"
	"syscall"
)

// stampOf reads the generation out of what stat(2) said.
func stampOf(fi os.FileInfo) stamp { return fromStat(fi.Sys().(*syscall.Stat_t)) }

// stampOfFD asks for the generation of an open file, and whether it still has a name, without allocating.
func stampOfFD(fd uintptr, _ *os.File) (s stamp, named bool, err error) {
	var st syscall.Stat_t
	for {
		err := syscall.Fstat(int(fd), &st)
		if err == nil {
			return fromStat(&st), st.Nlink > 0, nil
		}
		if err != syscall.EINTR {
			return stamp{}, false, err
		}
	}
}

func fromStat(st *syscall.Stat_t) stamp {
	return stamp{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}
