package content

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// need returns the path of an outside program, or skips; where a skip is a failure, it fails.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("OCASERVE_E2E") == "require" {
			t.Fatalf("%s is not installed, and OCASERVE_E2E=require", program)
		}
		t.Skipf("%s is not installed", program)
	}
	return path
}

func TestPatternIsSeekable(t *testing.T) {
	whole := make([]byte, 1000)
	Pattern("a/b", 0, whole)
	for off := 0; off < 100; off++ {
		for _, n := range []int{0, 1, 7, 8, 9, 31, 32, 33, 64, 100, 777} {
			p := make([]byte, n)
			Pattern("a/b", int64(off), p)
			if !bytes.Equal(p, whole[off:off+n]) {
				t.Fatalf("off %d, %d bytes: differs from what stands there", off, n)
			}
		}
	}
	far := make([]byte, 16)
	Pattern("a/b", 1<<60-8, far)
	near := make([]byte, 8)
	Pattern("a/b", 1<<60, near)
	if !bytes.Equal(far[8:], near) {
		t.Error("a large offset differs")
	}
}

// TestPatternIsFixed holds the bytes: clients of another version must agree.
func TestPatternIsFixed(t *testing.T) {
	var p [16]byte
	Pattern("files/file-0001-1024.bin", 5, p[:])
	// Computed from the definition with plain arithmetic.
	seed := uint64(14695981039346656037)
	for _, c := range []byte("files/file-0001-1024.bin") {
		seed = (seed ^ uint64(c)) * 1099511628211
	}
	seed = mix(seed)
	for i := range p {
		off := uint64(5 + i)
		if want := byte(mix(seed+(off/8+1)*golden) >> (off % 8 * 8)); p[i] != want {
			t.Fatalf("byte %d is %#x, want %#x", off, p[i], want)
		}
	}
	other := make([]byte, 16)
	Pattern("files/file-0002-1024.bin", 5, other)
	if bytes.Equal(other, p[:]) {
		t.Error("two names have the same bytes")
	}
}

func TestGenWritesWhatExpectExpects(t *testing.T) {
	dir := t.TempDir()
	o := GenOptions{Titles: 2, Duration: 9 * time.Second, Ladder: []Rung{{144, 100}, {360, 400}}, Files: []int64{0, 1, 3<<20 + 5}}
	var last, total int64
	o.Progress = func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress %d of %d after %d", done, of, last)
		}
		last, total = done, of
	}
	if err := Gen(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	files, bytesSeen := 0, int64(0)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if name == indexJSON {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		e, err := Expect("/" + name)
		if err != nil || e.Size() != int64(len(b)) {
			t.Errorf("%s: %d bytes, expected %v, %v", name, len(b), e, err)
			return nil
		}
		if err := e.Verify(b, 0); err != nil {
			t.Error(err)
		}
		files++
		bytesSeen += int64(len(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// 2 titles x (master + 2 rungs x (playlist + init + 3 segments)) + 3 files
	if want := 2*(1+2*5) + 3; files != want || bytesSeen != total {
		t.Errorf("%d files of %d bytes, want %d of %d", files, bytesSeen, want, total)
	}
	var x Index
	b, err := os.ReadFile(filepath.Join(dir, indexJSON))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &x); err != nil || len(x.Titles) != 2 || len(x.Files) != 3 || x.Titles[0].Seconds != 12 {
		t.Errorf("index %+v, %v", x, err)
	}
}

func TestGenResumes(t *testing.T) {
	dir := t.TempDir()
	o := GenOptions{Titles: 1, Duration: 4 * time.Second, Ladder: []Rung{{144, 100}}, Files: []int64{5 << 20}}
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	}
	if err := Gen(ctx, dir, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want cancelled", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", ".tmp-*"))
	if len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	name := o.names()[1]
	before, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	o.Progress = nil
	if err := Gen(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(filepath.Join(dir, name))
	if !os.SameFile(before, after) {
		t.Error("a file that was right was written again")
	}
	// One wrong byte, same size: replaced.
	path := filepath.Join(dir, fileName(1, 5<<20))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("x"), 4<<20)
	f.Close()
	if err := Gen(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(path)
	if err := Verify(fileName(1, 5<<20), 0, b); err != nil {
		t.Error(err)
	}
}

func TestVerifyFindsOneWrongByte(t *testing.T) {
	name := title{1, 60, DefaultLadder}.String() + "/720p-3000k/seg-00003.m4s"
	e, err := Expect(name)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, e.Size())
	e.ReadAt(p, 0)
	for _, at := range []int{0, 1, 100, 4095, 4096, len(p) / 2, len(p) - 1} {
		p[at] ^= 0x10
		var m *MismatchError
		if err := Verify(name, 0, p); !errors.As(err, &m) || m.Off != int64(at) {
			t.Errorf("wrong byte at %d: %v", at, err)
		}
		p[at] ^= 0x10
	}
	if err := e.Verify(p[100:5000], 100); err != nil {
		t.Error(err)
	}
	if err := e.Verify(append(p, 0), 0); err == nil {
		t.Error("a byte after the end was accepted")
	}
	if n := testing.AllocsPerRun(10, func() { e.Verify(p, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExpectRefusesOtherNames(t *testing.T) {
	dir := title{1, 60, DefaultLadder}.String()
	for _, name := range []string{
		"", "/", "files/file-1-5.bin", "files/file-0001-05.bin", "files/file-0001--5.bin", "files/file-0001-99999999999999999999.bin",
		dir, dir + "/", dir + "/index.m3u8", dir + "/720p-3000k", dir + "/720p-3000k/seg-00015.m4s", dir + "/720p-3000k/seg-3.m4s",
		dir + "/720p-3001k/init.mp4", "title-0001_60s/master.m3u8", "title-0001_61s_360p-800k/master.m3u8",
		"title-1_60s_360p-800k/master.m3u8", "title-0001_60s_360p-0800k/master.m3u8", "title-0001_4000000000s_360p-800k/master.m3u8",
		dir + "/720p-3000k/seg--0001.m4s", dir + "/master.m3u8/x",
	} {
		if e, err := Expect(name); !errors.Is(err, ErrNotGenerated) {
			t.Errorf("Expect(%q) = %+v, %v", name, e, err)
		}
	}
}

// box is a parsed box: the test's own reader, independent of the writer.
type box struct {
	kind string
	body []byte
}

func boxesOf(t *testing.T, b []byte) (boxes []box) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 8 {
			t.Fatalf("%d bytes left over", len(b))
		}
		n := binary.BigEndian.Uint32(b)
		if n < 8 || int(n) > len(b) {
			t.Fatalf("box %q of %d bytes in %d", b[4:8], n, len(b))
		}
		boxes = append(boxes, box{string(b[4:8]), b[8:n]})
		b = b[n:]
	}
	return boxes
}

func find(t *testing.T, b []byte, path ...string) []byte {
	t.Helper()
	for _, kind := range path {
		found := false
		for _, x := range boxesOf(t, b) {
			if x.kind == kind {
				b, found = x.body, true
				break
			}
		}
		if !found {
			t.Fatalf("no box %s of %v", kind, path)
		}
	}
	return b
}

func TestSegmentBoxes(t *testing.T) {
	for _, r := range []Rung{{16, 1}, {144, 100}, {360, 800}, {1080, 6000}, {2160, 16000}} {
		for _, n := range []int{0, 1, 99999} {
			tt := title{1, 400000, []Rung{r}}
			e, err := Expect(tt.String() + "/" + r.String() + "/" + segmentName(n))
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, e.Size())
			e.ReadAt(p, 0)
			if got := e.Size(); got != r.segmentBytes() && r.Kbps > 50 && r.Height < 2000 {
				t.Errorf("%s: %d bytes, want %d", r, got, r.segmentBytes())
			}
			trun := find(t, p, "moof", "traf", "trun")
			tfdt := find(t, p, "moof", "traf", "tfdt")
			if got := binary.BigEndian.Uint64(tfdt[4:]); got != uint64(n)*segmentTicks {
				t.Errorf("%s: decode time %d", r, got)
			}
			// The data offset counts from the moof to the first sample; the samples fill the mdat.
			styp := 8 + len(find(t, p, "styp"))
			at := styp + int(binary.BigEndian.Uint32(trun[8:]))
			mdat := find(t, p, "mdat")
			if at != len(p)-len(mdat) {
				t.Fatalf("%s: data offset leads to %d, mdat begins at %d", r, at, len(p)-len(mdat))
			}
			for i := range sampleCount {
				size := int(binary.BigEndian.Uint32(trun[16+4*i:]))
				checkSample(t, mdat[:size], i)
				mdat = mdat[size:]
			}
			if len(mdat) != 0 {
				t.Errorf("%s: %d bytes after the last sample", r, len(mdat))
			}
		}
	}
}

// checkSample checks that a sample is a picture and filler, each a NAL unit with its length.
func checkSample(t *testing.T, b []byte, i int) {
	t.Helper()
	want := []byte{nalP, nalFiller}
	if i == 0 {
		want[0] = nalIDR
	}
	for _, header := range want {
		n := binary.BigEndian.Uint32(b)
		if b[4] != header {
			t.Fatalf("sample %d: NAL unit header %#x, want %#x", i, b[4], header)
		}
		b = b[4+n:]
	}
	if len(b) != 0 {
		t.Fatalf("sample %d: %d bytes after the filler", i, len(b))
	}
}

// TestPlayersAcceptGeneratedTitles lets ffprobe and ffmpeg judge playlists, boxes and pictures.
func TestPlayersAcceptGeneratedTitles(t *testing.T) {
	ffprobe, ffmpeg := need(t, "ffprobe"), need(t, "ffmpeg")
	dir := t.TempDir()
	o := GenOptions{Duration: 8 * time.Second, Ladder: []Rung{{144, 200}, {1080, 3000}}}
	if err := Gen(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	tt := title{1, 8, o.Ladder}
	master := filepath.Join(dir, tt.String(), masterPlaylist)
	out, err := exec.Command(ffprobe, "-v", "error", "-allowed_extensions", "ALL", "-show_entries",
		"stream=codec_name,width,height,r_frame_rate:format=duration", "-of", "compact", master).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	for _, want := range []string{"codec_name=h264|width=256|height=144", "codec_name=h264|width=1920|height=1080", "r_frame_rate=25/1", "duration=8.0"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ffprobe does not say %s:\n%s", want, out)
		}
	}
	frames := map[Rung]int{o.Ladder[0]: 200, o.Ladder[1]: 8} // all of them; enough to see that large ones decode
	for _, r := range o.Ladder {
		media := filepath.Join(dir, tt.String(), r.String(), mediaPlaylist)
		out, err = exec.Command(ffmpeg, "-v", "warning", "-xerror", "-allowed_extensions", "ALL", "-i", media,
			"-frames:v", strconv.Itoa(frames[r]), "-f", "framemd5", "-").CombinedOutput()
		if err != nil {
			t.Fatalf("ffmpeg: %v\n%s", err, out)
		}
		if n := strings.Count(string(out), "\n0,"); n != frames[r] {
			t.Errorf("%s: %d pictures decoded, want %d\n%.2000s", r, n, frames[r], out)
		}
	}
}

func TestParseLadder(t *testing.T) {
	got, err := ParseLadder("360p-800k, 720p@3M,1080p:6000k")
	if err != nil || len(got) != 3 || got[0] != DefaultLadder[0] || got[1] != DefaultLadder[1] || got[2] != DefaultLadder[2] {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "720p", "720-3000k", "x", "721p-3000k", "720p-0k", "99999p-1k", "720p-3000k,"} {
		if l, err := ParseLadder(s); err == nil {
			t.Errorf("ParseLadder(%q) = %v", s, l)
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		Pattern("title/720p/seg-00001.m4s", 12345, p)
	}
}

func BenchmarkVerifySegment(b *testing.B) {
	e, err := Expect(title{1, 60, DefaultLadder}.String() + "/720p-3000k/seg-00003.m4s")
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, e.Size())
	e.ReadAt(p, 0)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Verify(p, 0); err != nil {
			b.Fatal(err)
		}
	}
}
