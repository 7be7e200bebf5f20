package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

type versionFlags struct{}

func (versionFlags) run(_ context.Context, stdout io.Writer) error {
	_, err := fmt.Fprintln(stdout, versionLine())
	return err
}

// versionLine says what runs here: the module's version, the commit where the build recorded it, the
// toolchain and the platform.
func versionLine() string {
	version, commit := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(version, s.Value[:12]):
				commit = " " + s.Value[:12] + commit
			case s.Key == "vcs.modified" && s.Value == "true" && !strings.Contains(version, "+dirty"):
				commit += "+changes"
			}
		}
	}
	if version == "" {
		version = "(devel)"
	}
	return fmt.Sprintf("ocaserve %s%s %s %s/%s", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
