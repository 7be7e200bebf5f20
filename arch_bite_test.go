package ocaserve

import (
	"fmt"
	"strings"
	"testing"
)

// TestArchitectureBites holds each rule against a file that breaks it and one that does not: a rule that
// cannot fail protects nothing.
func TestArchitectureBites(t *testing.T) {
	long := strings.Repeat("\n", 130)
	for _, c := range []struct {
		name  string
		check func([]file) []string
		src   string
		want  string // "" for none
	}{
		{"tcpstack/recovery/a.go", checkLayers, `import "ocaserve/tcpstack/stream"`, ""},
		{"tcpstack/recovery/a.go", checkLayers, `import "ocaserve/pacing"`, "down only"},
		{"tcpstack/stream/a.go", checkLayers, `import "ocaserve/tcpstack/link"`, "down only"},
		{"tcpstack/link/relay/a.go", checkLayers, `import "ocaserve/tcpstack/link/memory"`, ""},
		{"sendfile/a.go", checkLayers, `import "ocaserve/origin"`, "down only"},
		{"sendfile/a_test.go", checkLayers, `import "ocaserve/origin"`, ""},
		{"misc/a.go", checkLayers, ``, "no layer"},
		{"tcpstack/a.go", checkBans, `import "ocaserve/cache/s3fifo"`, "TCP knows spans"},
		{"ktls/a.go", checkBans, `import "ocaserve/tcpstack"`, "records know"},
		{"ktls/a.go", checkBans, `import "ocaserve/tcpstack/stream"`, ""},
		{"pacing/a.go", checkBans, `import "sync"`, "pure"},
		{"pacing/a.go", checkBans, `import "net/netip"`, ""},
		{"ktls/records.go", checkBans, `import "crypto/tls"`, "shakes hands"},
		{"ktls/handshake_server.go", checkBans, `import "crypto/tls"`, ""},
		{"sendfile/a.go", checkBans, `import "golang.org/x/sys/unix"`, "edges"},
		{"sendfile/a.go", checkBans, `import "github.com/valyala/fasthttp"`, "HTTP"},
		{"tcpstack/conn.go", checkClock, `import "time"; var x = time.Now()`, "reads a clock"},
		{"tcpstack/conn.go", checkClock, `import clock "ocaserve/tcpstack/mono"; var x = clock.Now`, "reads a clock"},
		{"tcpstack/conn.go", checkClock, `import "time"; var x = time.Second`, ""},
		{"tcpstack/shard.go", checkClock, `import "time"; var x = time.Now()`, ""},
		{"pacing/a.go", checkDocs, ``, "no package doc"},
		{"pacing/a.go", checkSizes, "func f() {" + long + "}", "129 lines, the bar is 120"},
		{"pacing/a_test.go", checkSizes, strings.Repeat(long, 4), "lines, the bar is 500"},
		{"pacing/a.go", checkSizes, many(24, "func f%d() {\n\n\n\n\n\n\n\n\n\n\n\n}\n"), "median of 11"},
		{"pacing/a.go", checkSizes, many(24, "func f%d() {\n\n}\n"), ""},
	} {
		f, err := parse(c.name, "package p\n"+c.src)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := strings.Join(c.check([]file{f}), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s with %.60q: got %q, want %q", c.name, c.src, got, c.want)
		}
	}
}

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
