package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// digestPage fetches f and shows its digest.
const digestPage = `<!doctype html><title>digest</title><body>waiting</body><script>
fetch('f').then(r => r.arrayBuffer()).then(b => crypto.subtle.digest('SHA-256', b)).then(d => {
	document.body.textContent = 'sha256 ' + Array.from(new Uint8Array(d), x => x.toString(16).padStart(2, '0')).join('')
}).catch(e => { document.body.textContent = 'failed ' + e })
</script>
`

// needChromium skips without the browser: it is large, so .ci/run does not install it. OCASERVE_E2E_CHROMIUM=require
// makes that a failure.
func needChromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("OCASERVE_E2E_CHROMIUM") == "require" {
		t.Fatal("OCASERVE_E2E_CHROMIUM=require, and chromium is not installed")
	}
	t.Skip("chromium is not installed; OCASERVE_E2E_CHROMIUM=require would insist")
	return ""
}

// TestChromium has a browser fetch a file and digest it, in each mode, through losses.
func TestChromium(t *testing.T) {
	chromium := needChromium(t)
	root := Root(t)
	sum := WriteRandom(t, filepath.Join(root, "f"), 3<<20+777, 8)
	if err := os.WriteFile(filepath.Join(root, "page.html"), []byte(digestPage), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"user", "inline", "nic"} {
		t.Run(mode, func(t *testing.T) {
			ns := NewNamespace(t)
			Start(t, ns, "serve", "--net", "tun", "--tls", mode, "--link-fault", "loss=1%,seed=2", root)
			dom, err := ns.Run(t, time.Minute, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
				"--ignore-certificate-errors", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=20000", "--dump-dom",
				URL("https", IPv4, "page.html"))
			if want := "sha256 " + string(sum); err != nil || !strings.Contains(dom, want) {
				t.Errorf("%v: no %.20s in\n%s", err, want, tail(dom))
			}
		})
	}
}
