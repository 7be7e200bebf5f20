package ocaserve

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "ocaserve/"

// layers places every package; imports point to a strictly lower layer. A pattern ending in /* stands for
// the packages below it. docs/architecture.md draws the same table.
var layers = []struct {
	pattern string
	layer   int
}{
	{"tcpstack/wire", 0}, {"tcpstack/stream", 0}, {"tcpstack/mono", 0}, {"cache/s3fifo", 0}, {"tcpstack/ledger", 0}, {"internal/prefetch", 0},
	{"tcpstack/recovery", 1}, {"tcpstack/congestion", 1}, {"pacing", 1}, {"tcpstack/link", 1}, {"tcpstack/syn", 1},
	{"tcpstack/trace", 1}, {"internal/park", 1}, {"ktls/offload", 1}, {"ktls/aesgcm", 1},
	{"tcpstack/link/*", 2}, {"tcpstack/netsim", 2}, {"cache", 2}, {"content", 2},
	{"nicoffload", 3}, {"ktls", 3}, {"tcpstack", 3},
	{"sendfile", 4}, {"tcpstack/script", 4},
	{"origin", 5}, {"loadtest", 5}, {"loadtest/*", 5},
	{"cmd/*", 6},
	{"internal/*", 7}, {"bench", 7}, {"bench/*", 7},
	{"", 8}, // the root: no code, this test
}

// peers are the imports allowed inside one layer, each with the reason.
var peers = []struct{ from, to, why string }{
	{"tcpstack/stream", "tcpstack/ledger", "who gathers bytes books what that took"},
	{"tcpstack/stream", "internal/prefetch", "a queue's ring is nobody else's to know"},
	{"tcpstack/link/*", "tcpstack/link/*", "middleware wraps links, relay ends in a memory pair"},
	{"tcpstack/netsim", "tcpstack/link/gso", "superframes are cut before they meet a simulated wire"},
	{"tcpstack/link/shape", "tcpstack/netsim", "the emulator of a real link runs the simulator's models on the real clock"},
	{"loadtest/*", "origin", "the server that is measured runs in the same process"},
	{"internal/*", "internal/*", "helpers of one kind"},
}

// A ban forbids an import. Patterns as in layers; except lists file patterns (path.Match on the path from
// the root) that may have it after all. Tests are exempt: they stand outside the layers.
type ban struct {
	packages []string // where it holds
	imports  []string // module paths without "ocaserve/", or foreign paths; a trailing / means "and all below"
	except   []string
	why      string
}

var pure = []string{
	"tcpstack/wire", "tcpstack/stream", "tcpstack/recovery", "tcpstack/congestion", "tcpstack/link", "tcpstack/syn",
	"pacing", "cache/s3fifo", "tcpstack/trace", "tcpstack/ledger", "ktls/offload", "ktls/aesgcm",
}

var bans = []ban{
	{packages: []string{"tcpstack", "tcpstack/*"},
		imports: []string{"ktls/", "sendfile/", "cache/", "content/", "origin/", "nicoffload/", "loadtest/"},
		why:     "TCP knows spans, nothing else"},
	{packages: []string{"ktls"}, imports: []string{"tcpstack", "tcpstack/link/", "tcpstack/wire", "cache/"},
		why: "records know spans and keys"},
	{packages: pure, imports: []string{"sync", "sync/atomic", "os", "net", "context", "math/rand"},
		why: "pure: a value driven by virtual time, no locks, files or sockets"},
	{packages: []string{"*"}, imports: []string{"github.com/valyala/fasthttp/"},
		except: []string{"origin/*.go", "loadtest/*.go"},
		why:    "HTTP is parsed in the origin and spoken by the load generator, nowhere else"},
	{packages: []string{"*"}, imports: []string{"crypto/tls"},
		except: []string{"ktls/handshake*.go", "ktls/cert*.go", "loadtest/*.go", "loadtest/*/*.go"},
		why:    "crypto/tls only shakes hands (ktls/handshake*.go, cert*.go); records are ours"},
	{packages: []string{"*"}, imports: []string{"golang.org/x/sys/unix"},
		except: []string{"tcpstack/link/*/*.go", "nicoffload/cpu.go", "cache/*.go", "content/*.go", "cmd/*/*.go", "internal/*/*.go", "bench/*.go"},
		why:    "system calls live at the edges: links, an adapter's CPU time, page memory, disk access, commands"},
	{packages: []string{"*"}, imports: []string{"testing"},
		except: []string{"internal/*/*.go"},
		why:    "a package that ships does not carry the test framework"},
}

// clockReaders may read a clock or start a timer. Everybody else is handed `now`.
var clockReaders = []struct{ file, why string }{
	{"tcpstack/mono/*.go", "it is the clock"},
	{"tcpstack/shard*.go", "the loop: once per wake-up"},
	{"tcpstack/stack.go", "the default of Config.Clock, which a simulation replaces"},
	{"content/clock.go", "ages of directory entries are wall time"},
	{"tcpstack/link/*/*.go", "stamps frames as they leave the ring, turns a deadline into a poll time-out"},
	{"tcpstack/netconn*.go", "the blocking facade: deadlines of net.Conn are wall time"},
	{"nicoffload/config.go", "the default of Config.Clock: the adapter's thread once per turn; the shard's Wait turns a deadline into a time-out"},
	{"internal/park/park.go", "the timer of a sleep on virtual time"},
	{"cache/line.go", "a reservation whose waiter is gone ends by no other event"},
	{"ktls/cert*.go", "validity of certificates is wall time"},
	{"ktls/ticket*.go", "ticket keys rotate by wall time"},
	{"loadtest/*.go", "measures real time"},
	{"loadtest/*/*.go", "measures real time"},
	{"cmd/*/*.go", "the process: drain time-outs, start-up"},
	{"internal/e2e/*.go", "drives real programs"},
	{"bench/*.go", "measures real programs"},
	{"bench/*/*.go", "measures real programs"},
}

var clockCalls = map[string][]string{
	"time":                   {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	module + "tcpstack/mono": {"Now"},
}

const (
	maxFile   = 500 // lines
	maxFunc   = 120 // lines between the braces
	maxP90    = 35
	maxMedian = 10
	fewFuncs  = 20 // a package with fewer functions has no meaningful median
)

// A file is one parsed source file of the module.
type file struct {
	name  string // path from the root, with slashes
	pkg   string // its folder from the root, "" for the root
	lines int
	test  bool
	fset  *token.FileSet
	ast   *ast.File
}

func TestArchitecture(t *testing.T) {
	files := load(t)
	for _, check := range []func([]file) []string{
		checkLayers, checkBans, checkClock, checkDocs, checkSizes,
	} {
		for _, v := range check(files) {
			t.Error(v)
		}
	}
}

// load parses every Go file of the module that is not testdata.
func load(t *testing.T) []file {
	var files []file
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && exists(filepath.Join(name, "go.mod")):
			return fs.SkipDir // a module of its own has rules of its own
		case d.IsDir() && (base == "testdata" || (strings.HasPrefix(base, ".") && name != ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go"):
			return nil
		}
		f, err := parse(filepath.ToSlash(name), nil)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func parse(name string, src any) (file, error) {
	f := file{name: name, pkg: path.Dir(name), fset: token.NewFileSet(), test: strings.HasSuffix(name, "_test.go")}
	if f.pkg == "." {
		f.pkg = ""
	}
	var err error
	if f.ast, err = parser.ParseFile(f.fset, name, src, parser.ParseComments); err != nil {
		return f, err
	}
	f.lines = f.fset.File(f.ast.Pos()).LineCount()
	return f, nil
}

func (f *file) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// matches reports whether pkg is the package of a pattern, or lies below it when the pattern ends in /*.
func matches(pattern, pkg string) bool {
	if pattern == "*" {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(pkg, below+"/")
	}
	return pattern == pkg
}

// layerOf prefers an exact entry to a /* entry.
func layerOf(pkg string) (int, bool) {
	layer, found := 0, false
	for _, l := range layers {
		if l.pattern == pkg {
			return l.layer, true
		}
		if matches(l.pattern, pkg) {
			layer, found = l.layer, true
		}
	}
	return layer, found
}

func checkLayers(files []file) (bad []string) {
	for _, f := range files {
		from, ok := layerOf(f.pkg)
		if !ok {
			bad = append(bad, fmt.Sprintf("%s: package %q stands in no layer; give it one in arch_test.go and docs/architecture.md", f.name, f.pkg))
		}
		for _, imp := range f.imports() {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || f.test || !ok {
				continue
			}
			if l, _ := layerOf(to); l >= from && !isPeer(f.pkg, to) {
				bad = append(bad, fmt.Sprintf("%s: layer %d imports %s of layer %d; imports point down only", f.name, from, to, l))
			}
		}
	}
	return bad
}

func isPeer(from, to string) bool {
	for _, p := range peers {
		if matches(p.from, from) && matches(p.to, to) {
			return true
		}
	}
	return false
}

func checkBans(files []file) (bad []string) {
	for _, f := range files {
		if f.test {
			continue
		}
		for _, b := range bans {
			if !slices.ContainsFunc(b.packages, func(p string) bool { return matches(p, f.pkg) }) || fileIn(f.name, b.except) {
				continue
			}
			for _, imp := range f.imports() {
				if slices.ContainsFunc(b.imports, func(banned string) bool { return covers(banned, imp) }) {
					bad = append(bad, fmt.Sprintf("%s: must not import %s: %s", f.name, imp, b.why))
				}
			}
		}
	}
	return bad
}

// covers reports whether the banned path is, or with a trailing slash contains, the import.
func covers(banned, imp string) bool {
	imp = strings.TrimPrefix(imp, module)
	if below, ok := strings.CutSuffix(banned, "/"); ok {
		return imp == below || strings.HasPrefix(imp, banned)
	}
	return imp == banned
}

func fileIn(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		if err != nil {
			panic(err)
		}
		return ok
	})
}

func checkClock(files []file) (bad []string) {
	for _, f := range files {
		if f.test || slices.ContainsFunc(clockReaders, func(c struct{ file, why string }) bool {
			return fileIn(f.name, []string{c.file})
		}) {
			continue
		}
		for pkg, calls := range clockCalls {
			for _, at := range uses(&f, pkg, calls) {
				bad = append(bad, at+": reads a clock; take `now` as an argument (the shard loop reads it once per wake-up)")
			}
		}
	}
	return bad
}

// uses finds references to the named members of an imported package, called or not.
func uses(f *file, pkg string, members []string) (at []string) {
	local := ""
	for _, spec := range f.ast.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == pkg {
			local = path.Base(pkg)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(members, sel.Sel.Name) {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == local {
			at = append(at, fmt.Sprintf("%s: %s.%s", f.fset.Position(sel.Pos()), local, sel.Sel.Name))
		}
		return true
	})
	return at
}

func checkDocs(files []file) (bad []string) {
	docs := map[string]int{} // package folder -> length of its longest package comment
	for _, f := range files {
		if f.test {
			continue
		}
		docs[f.pkg] = max(docs[f.pkg], len(f.ast.Doc.Text()))
	}
	for pkg, n := range docs {
		if n < 80 {
			bad = append(bad, fmt.Sprintf("%s: no package doc that tells the data flow", pkg))
		}
	}
	slices.Sort(bad)
	return bad
}

func checkSizes(files []file) (bad []string) {
	lengths := map[string][]int{} // lines of shipped functions by package
	for _, f := range files {
		if f.lines > maxFile {
			bad = append(bad, fmt.Sprintf("%s: %d lines, the bar is %d", f.name, f.lines, maxFile))
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := max(1, f.fset.Position(fn.Body.Rbrace).Line-f.fset.Position(fn.Body.Lbrace).Line-1)
			if n > maxFunc {
				bad = append(bad, fmt.Sprintf("%s: func %s has %d lines, the bar is %d", f.name, fn.Name.Name, n, maxFunc))
			}
			if !f.test {
				lengths[f.pkg] = append(lengths[f.pkg], n)
			}
		}
	}
	for pkg, ns := range lengths {
		slices.Sort(ns)
		median, p90 := ns[(len(ns)-1)/2], ns[(len(ns)-1)*9/10]
		if len(ns) >= fewFuncs && (median > maxMedian || p90 > maxP90) {
			bad = append(bad, fmt.Sprintf("%s: functions have a median of %d and a 90th percentile of %d lines, the bars are %d and %d",
				pkg, median, p90, maxMedian, maxP90))
		}
	}
	slices.Sort(bad)
	return bad
}
