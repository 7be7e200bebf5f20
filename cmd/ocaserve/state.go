package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// stateDir returns a folder of this user's own that outlives the process, making it if need be: under
// XDG_STATE_HOME or ~/.local/state, or for users without a home under the folder for temporary files.
func stateDir(name string) (string, error) {
	if base := stateBase(); base != "" {
		dir := filepath.Join(base, "ocaserve", name)
		if err := os.MkdirAll(dir, 0o700); err == nil && writable(dir) {
			return dir, nil
		}
	}
	base := filepath.Join(os.TempDir(), "ocaserve-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(base, 0o700); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("no folder to keep state in: %w; set XDG_STATE_HOME to one you may write to", err)
	}
	// Somebody else may have made this well-known name first, to read the private key kept below it.
	if info, err := os.Lstat(base); err != nil || !info.IsDir() || !ownedByMe(info) || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s is not a private folder of this user; set XDG_STATE_HOME to one that is", base)
	}
	dir := filepath.Join(base, name)
	return dir, os.MkdirAll(dir, 0o700)
}

func stateBase() string {
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return base
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state")
	}
	return ""
}

func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return false
	}
	f.Close()
	return os.Remove(f.Name()) == nil
}

func ownedByMe(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
