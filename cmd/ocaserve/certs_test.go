package main

import (
	"os"
	"strings"
	"testing"
)

// Two servers of other names must not take each other's certificate away: the clients of the first were told to
// trust the file it printed.
func TestSelfSignedPerNames(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	file := func(names ...string) (name, content string) {
		t.Helper()
		_, name, err := selfSigned(names)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return name, string(b)
	}
	a, before := file("localhost", "10.0.0.2")
	b, _ := file("localhost", "10.0.1.2")
	if a == b || !strings.HasSuffix(a, "/tls/self-signed.crt") || !strings.HasSuffix(b, "/tls-2/self-signed.crt") {
		t.Fatalf("certificates in %s and %s", a, b)
	}
	if again, after := file("10.0.0.2"); again != a || after != before {
		t.Errorf("the first server's certificate moved to %s or changed", again)
	}
	if again, _ := file("10.0.1.2", "localhost"); again != b {
		t.Errorf("the second server's certificate moved to %s", again)
	}
	if err := os.WriteFile(a, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, after := file("10.0.0.2"); again != a || after != before {
		t.Errorf("a broken public file is not mended from the pair: %s", again)
	}
}

func TestSelfSignedFoldersAreBounded(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	seen := map[string]bool{}
	for i := range certFolders + 3 {
		_, file, err := selfSigned([]string{"host" + strings.Repeat("x", i)})
		if err != nil {
			t.Fatal(err)
		}
		seen[file] = true
	}
	if len(seen) != certFolders {
		t.Errorf("%d folders, want %d", len(seen), certFolders)
	}
}

func TestShellWord(t *testing.T) {
	for text, want := range map[string]string{
		"/home/me/.local/x.crt": "/home/me/.local/x.crt", "/tmp/a b": "'/tmp/a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "": "''",
	} {
		if got := shellWord(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
