package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"
)

// TestFastOpen fetches over and over with Linux's client side of RFC 7413: the first connection brings a cookie home,
// the others ask in their SYN, over plain HTTP and with a ClientHello.
func TestFastOpen(t *testing.T) {
	Need(t, "curl")
	root := Root(t)
	name, sum := BigFile(t, root)
	ns := NewNamespace(t)
	ns.MustRun(t, 5*time.Second, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_fastopen")
	admin := filepath.Join(t.TempDir(), "admin")
	s := Start(t, ns, "serve", "--net", "tun", "--fast-open", "16", "--admin", admin, root)
	for _, scheme := range []string{"http", "https", "http", "https"} {
		MustCurl(t, ns, sum, "--tcp-fastopen", "--cacert", s.Cert(), URL(scheme, IPv4, name))
	}
	var counts map[string]int64
	out := ns.MustRun(t, 10*time.Second, Binary(t), "ss", "-s", "--json", "--server", admin)
	if err := json.Unmarshal([]byte(out), &counts); err != nil {
		t.Fatal(err)
	}
	if counts["FastOpenCookieReqd"] != 1 || counts["FastOpenPassive"] != 3 {
		t.Errorf("%d cookies were asked for, %d connections began with their SYN; want 1 and 3",
			counts["FastOpenCookieReqd"], counts["FastOpenPassive"])
	}
}
