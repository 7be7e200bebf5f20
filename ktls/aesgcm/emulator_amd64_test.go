package aesgcm

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"ocaserve/internal/testenv"
)

// Where things lie in the emulated machine, as _bochs has it.
const (
	programAt = 0x400000
	kernelAt  = 0x2000000
	casesAt   = 0x4000000
	srcPage   = 0xc800000
	dstPage   = 0xcc00000
	pageSize  = 2 << 20
	stateAt   = 0xd000000
)

// All paths run in an emulated Ice Lake, whatever this CPU has: Bochs, with a kernel that does nothing but call the
// routines, as they are in this very program (_bochs/README.md). A few cases expect what is wrong: these are found.
func TestEmulated(t *testing.T) {
	bochs, gcc := testenv.NeedProgram(t, "bochs-bin"), testenv.NeedProgram(t, "gcc")
	if !Available() {
		t.Skip("keys are expanded on this CPU, which has no engine")
	}
	image, routines := program(t)
	cases, want := spoil(routineCases(PathAESNI, PathVAES256, PathVAES512))
	e := emulator{dir: t.TempDir()}
	e.write(t, "disk.bin", disk(image, encode(t, cases, routines)))
	e.build(t, gcc, "rom.bin", 0, "rom.S")
	e.build(t, gcc, "kernel.bin", kernelAt, "start.S", "kernel.c")
	got := e.run(t, bochs)
	for i, c := range cases {
		if got[i] != want[i] {
			t.Errorf("case %d, %v: failed %q, want %q", i, c, got[i], want[i])
		}
	}
	t.Logf("%d cases, %d of them wrong on purpose", len(cases), len(want))
}

// program is what the linker made read-only of this program, from programAt on, and where in it each assembly
// routine is.
func program(t *testing.T) (image []byte, routines map[string]uint64) {
	t.Helper()
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Type != elf.ET_EXEC {
		t.Skip("this program has no fixed address")
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_W != 0 {
			continue
		}
		end := p.Vaddr - programAt + p.Filesz
		image = append(image, make([]byte, max(0, int(end)-len(image)))...)
		if _, err := p.ReadAt(image[p.Vaddr-programAt:end], 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(image) > kernelAt-programAt {
		t.Fatalf("%d bytes of program reach the kernel", len(image))
	}
	return image, assembly(f.Section(".text"))
}

// assembly finds the functions of engine_amd64.s themselves; what Go code calls by these names are wrappers.
func assembly(text *elf.Section) map[string]uint64 {
	routines := map[string]uint64{}
	for pc := text.Addr; pc < text.Addr+text.Size; pc += 16 {
		f := runtime.FuncForPC(uintptr(pc))
		if f == nil {
			continue
		}
		if file, _ := f.FileLine(f.Entry()); filepath.Base(file) == "engine_amd64.s" {
			routines[f.Name()[strings.LastIndexByte(f.Name(), '.')+1:]] = uint64(f.Entry())
		}
	}
	return routines
}

// spoil makes every 500th case expect one bit that is wrong, and says which lines each of these shall cause.
func spoil(cases []*routineCase) (_ []*routineCase, want map[int]string) {
	want = map[int]string{}
	for i := 250; i < len(cases); i += 500 {
		c, r := cases[i], rand.New(rand.NewPCG(1, uint64(i)))
		if i%1000 == 250 {
			c.dst[r.IntN(len(c.dst))] ^= 1 << r.IntN(8)
			want[i] = "bytes "
		} else {
			c.wantHash[r.IntN(16)] ^= 1 << r.IntN(8)
			want[i] = "hash "
		}
	}
	return cases, want
}

// encode writes the cases as struct tests in _bochs/kernel.c.
func encode(t *testing.T, cases []*routineCase, routines map[string]uint64) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	b := le.AppendUint64(nil, uint64(len(cases)))
	for _, c := range cases {
		name := map[bool]string{true: "seal", false: "xor"}[c.hashes] +
			map[Path]string{PathAESNI: "AESNI", PathVAES256: "VAES256", PathVAES512: "VAES512"}[c.path]
		if routines[name] == 0 {
			t.Fatalf("no routine %s in this program", name)
		}
		b = c.encode(b, routines[name], r)
	}
	if len(b) > srcPage-pageSize-casesAt {
		t.Fatalf("%d bytes of cases reach the buffers", len(b))
	}
	return b
}

// disk is the disk that the kernel reads: where the pieces go, then the pieces, in whole sectors and cylinders.
func disk(program, cases []byte) []byte {
	const sector, cylinder = 512, 512 * 16 * 63
	sectors := func(b []byte) int { return (len(b) + sector - 1) / sector }
	at := sector * (1 + sectors(program))
	b := make([]byte, (at+len(cases)+cylinder-1)/cylinder*cylinder)
	for i, word := range []int{programAt, sectors(program), casesAt, sectors(cases)} {
		le.PutUint64(b[8*i:], uint64(word))
	}
	copy(b[sector:], program)
	copy(b[at:], cases)
	return b
}

func (c *routineCase) encode(b []byte, routine uint64, r *rand.Rand) []byte {
	const header = 8*(2+8+3) + 4*16
	n := uint64(len(c.src))
	key := casesAt + uint64(len(b)) + header + 2*n // the Key
	k := expand(c.path, c.key)
	keyBytes := unsafe.Slice((*byte)(unsafe.Pointer(k)), unsafe.Sizeof(*k))
	dst := dstPage + place(r, n)
	src := []uint64{dst, srcPage + place(r, n)}[min(1, r.IntN(3))]
	args := []uint64{key, uint64(k.rounds), key + uint64(unsafe.Offsetof(k.table)), stateAt, stateAt + 16, dst, src, n}
	if !c.hashes {
		args = append(slices.Delete(args, 2, 4), 0, 0)
	}
	b = le.AppendUint64(b, header+2*n+uint64(len(keyBytes)))
	b = le.AppendUint64(b, routine)
	for _, word := range append(args, src, dst, n) {
		b = le.AppendUint64(b, word)
	}
	for _, part := range [][]byte{c.hash[:], c.ctr[:], c.wantHash, c.wantCtr, c.src, c.dst, keyBytes} {
		b = append(b, part...)
	}
	return b
}

// place is where in a page n bytes begin: at its beginning or its end, where touching the next byte is fatal, or
// anywhere, at any alignment.
func place(r *rand.Rand, n uint64) uint64 {
	switch end := pageSize - n; r.IntN(4) {
	case 0:
		return 0
	case 1:
		return end
	default:
		return r.Uint64N(end + 1)
	}
}

// An emulator has its images in dir.
type emulator struct{ dir string }

func (e emulator) write(t *testing.T, name string, image []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), image, 0o600); err != nil {
		t.Fatal(err)
	}
}

// build makes an image that stands at the given address out of sources in _bochs.
func (e emulator) build(t *testing.T, gcc, image string, at int, sources ...string) {
	t.Helper()
	args := []string{"-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-static", "-fno-pic",
		"-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-mno-red-zone",
		"-mgeneral-regs-only", "-Wl,--oformat=binary,--build-id=none", fmt.Sprintf("-Wl,-Ttext=%#x,-e%#[1]x", at),
		"-o", filepath.Join(e.dir, image)}
	for _, s := range sources {
		args = append(args, filepath.Join("_bochs", s))
	}
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", image, err, out)
	}
}

// run runs Bochs and returns what the kernel says of each case that failed, a word for each thing.
func (e emulator) run(t *testing.T, bochs string) map[int]string {
	t.Helper()
	rc, err := filepath.Abs("_bochs/bochsrc")
	if err != nil {
		t.Fatal(err)
	}
	e.write(t, "go", []byte("c\n")) // Debian's Bochs is its debugger: continue
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bochs, "-q", "-f", rc, "-rc", "go")
	cmd.Dir, cmd.Env = e.dir, append(os.Environ(), "TERM=vt100")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output() // Bochs ends with status 1 after a shutdown, too
	failed, done := map[int]string{}, 0
	for line := range bytes.Lines(out) {
		var i int
		var what string
		if n, _ := fmt.Sscanf(string(line), "fail %d %s", &i, &what); n == 2 {
			failed[i] += what + " "
		}
		fmt.Sscanf(string(line), "done %d", &done)
	}
	if done == 0 {
		log, _ := os.ReadFile(filepath.Join(e.dir, "bochs.log"))
		t.Fatalf("the kernel did not end: %v\n%s\n%s\n%s", err, out, &stderr, log[max(0, len(log)-3000):])
	}
	return failed
}
