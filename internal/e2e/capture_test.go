package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCaptureIsSealed: a capture shows what the wire carries. What the NIC seals leaves the stack as plaintext and
// must not be in it; over plain HTTP the same text must.
func TestCaptureIsSealed(t *testing.T) {
	Need(t, "curl")
	const text = "recognizable plaintext "
	root := Root(t)
	body := bytes.Repeat([]byte(text), 1<<20/len(text))
	if err := os.WriteFile(filepath.Join(root, "f"), body, 0o644); err != nil {
		t.Fatal(err)
	}
	for scheme, want := range map[string]bool{"https": false, "http": true} {
		t.Run(scheme, func(t *testing.T) {
			ns := NewNamespace(t)
			file := filepath.Join(t.TempDir(), "run.pcapng")
			s := Start(t, ns, "serve", "--net", "tun", "--tls", "nic", "--pcap", file, root)
			MustCurl(t, ns, Sum(body), "--cacert", s.Cert(), URL(scheme, IPv4, "f"))
			s.stop(t)
			capture, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(capture) < len(body) || bytes.Contains(capture, []byte(text)) != want {
				t.Errorf("%d bytes captured; plaintext in them: %v", len(capture), !want)
			}
		})
	}
}
