package content

import (
	"bufio"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// playlistFiles returns what a playlist refers to, and recursively so.
func playlistFiles(t *testing.T, dir, name string) (files []string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if _, uri, ok := strings.Cut(line, `#EXT-X-MAP:URI="`); ok {
			line = strings.TrimSuffix(uri, `"`)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		ref := path.Join(path.Dir(name), line)
		files = append(files, ref)
		if path.Ext(ref) == ".m3u8" {
			files = append(files, playlistFiles(t, dir, ref)...)
		}
	}
	return files
}

func checkDemo(t *testing.T, dir string, d DemoTitle) {
	t.Helper()
	files := playlistFiles(t, dir, d.Master)
	if want := 2 * (1 + 1 + demoSeconds/segmentSeconds); len(files) != want {
		t.Errorf("the playlists name %d files, want %d: %q", len(files), want, files)
	}
	for _, f := range files {
		if fi, err := os.Stat(filepath.Join(dir, f)); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil || !strings.Contains(string(page), d.Master) || strings.Contains(string(page), "{{") {
		t.Errorf("player page: %v\n%s", err, page)
	}
	if strings.Contains(string(page), "http://") || strings.Contains(string(page), "https://") {
		t.Error("the player page refers to another host")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".tmp*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestDemoWithoutFfmpeg(t *testing.T) {
	t.Setenv("PATH", "")
	dir := t.TempDir()
	d, err := Demo(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Real || !strings.Contains(d.Note, "ffmpeg is not installed") {
		t.Errorf("%+v", d)
	}
	checkDemo(t, dir, d)
	if again, err := Demo(t.Context(), dir); err != nil || again != d {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestDemoWithFfmpeg(t *testing.T) {
	need(t, "ffmpeg")
	ffprobe := need(t, "ffprobe")
	defer func(s int) { demoSeconds = s }(demoSeconds)
	demoSeconds = 4
	dir := t.TempDir()
	d, err := Demo(t.Context(), dir)
	if err != nil || !d.Real {
		t.Fatalf("%+v, %v", d, err)
	}
	checkDemo(t, dir, d)
	out, err := exec.Command(ffprobe, "-v", "error", "-allowed_extensions", "ALL", "-show_entries",
		"stream=codec_type,height:format=duration", "-of", "compact", filepath.Join(dir, d.Master)).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	for _, want := range []string{"codec_type=video|height=360", "codec_type=video|height=720", "codec_type=audio", "duration=4."} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ffprobe does not say %s:\n%s", want, out)
		}
	}
}
