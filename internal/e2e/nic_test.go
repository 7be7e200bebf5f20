package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Ask puts a question or an order to a running server that was started with --admin socket.
func Ask(t testing.TB, socket string, args ...string) string {
	t.Helper()
	out, err := exec.Command(Binary(t), append(args, "--server", socket)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ocaserve %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// sealCounters are those of tlsstat and ethtool -S, by name, and switches with their reasons: "to_sw(command)".
func sealCounters(t testing.TB, socket string) map[string]uint64 {
	t.Helper()
	type stat struct {
		Name  string
		Value uint64
	}
	var tls struct {
		Linux   []stat            `json:"tls_stat"`
		FreeBSD []stat            `json:"kern.ipc.tls.stats"`
		ToSW    map[string]uint64 `json:"switch_to_sw_reasons"`
		Failed  map[string]uint64 `json:"switch_failed_reasons"`
	}
	var nic struct{ Statistics []stat }
	if err := json.Unmarshal([]byte(Ask(t, socket, "tlsstat", "--json")), &tls); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(Binary(t), "ethtool", "-S", "--json", "--server", socket).Output(); err == nil {
		if err := json.Unmarshal(out, &nic); err != nil {
			t.Fatal(err)
		}
	} // else there is no adapter
	m := map[string]uint64{}
	for _, list := range [][]stat{tls.Linux, tls.FreeBSD, nic.Statistics} {
		for _, s := range list {
			m[s.Name] = s.Value
		}
	}
	for why, n := range tls.ToSW {
		m["to_sw("+why+")"] = n
	}
	for why, n := range tls.Failed {
		m["failed("+why+")"] = n
	}
	return m
}

// least checks that counters are at least so many, and logs them.
func least(t testing.TB, have map[string]uint64, want map[string]uint64) {
	t.Helper()
	for name, n := range want {
		t.Logf("%s: %d", name, have[name])
		if have[name] < n {
			t.Errorf("%s is %d, want at least %d", name, have[name], n)
		}
	}
}

// raw speaks HTTP through a TLS client that knows nothing of it, and digests the body. The client's input stays open
// until the server has closed.
func raw(t testing.TB, ns *Namespace, file string, args ...string) Digest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*fetchTime())
	defer cancel()
	cmd := ns.Command(ctx, args...)
	stdin, w := io.Pipe()
	defer w.Close()
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &log
	go io.WriteString(w, "GET /"+file+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	state, err := cmd.Process.Wait() // not cmd.Wait, which waits for the input too
	w.Close()
	_ = cmd.Wait()
	if err != nil || ctx.Err() != nil {
		t.Errorf("%v: %v %v\n%s", args, state, err, tail(log.String()))
	}
	_, body, _ := bytes.Cut(out.Bytes(), []byte("\r\n\r\n"))
	return Sum(body)
}

// TestSealersUnderLoss has every suite sealed by the NIC and by the CPU while 3 % of the packets are lost each way, for
// three implementations of TLS. A cipher that the NIC does not know is sealed by the CPU, and counted.
func TestSealersUnderLoss(t *testing.T) {
	Need(t, "curl", "openssl", "gnutls-cli")
	root := Root(t)
	sum := WriteRandom(t, filepath.Join(root, "f"), 3<<20+321, 6) // gnutls-cli is slow
	for _, mode := range []string{"nic", "inline"} {
		t.Run(mode, func(t *testing.T) {
			ns := NewNamespace(t)
			socket := filepath.Join(t.TempDir(), "admin")
			s := Start(t, ns, "serve", "--net", "tun", "--tls", mode, "--admin", socket, "--link-fault", "loss=3%,seed=7", root)
			for _, c := range suites {
				MustCurl(t, ns, sum, append(c.args, "--cacert", s.Cert(), URL("https", IPv4, "f"))...)
			}
			MustCurl(t, ns, sum, "--cacert", s.Cert(), URL("https", IPv6, "f"))
			for _, args := range [][]string{
				{"openssl", "s_client", "-quiet", "-connect", IPv4 + ":443", "-CAfile", s.Cert(), "-tls1_3"},
				{"openssl", "s_client", "-quiet", "-connect", IPv4 + ":443", "-CAfile", s.Cert(), "-tls1_2"},
				{"gnutls-cli", "--logfile", os.DevNull, "--x509cafile", s.Cert(), "--port", "443", IPv4},
				{"gnutls-cli", "--logfile", os.DevNull, "--x509cafile", s.Cert(), "--port", "443",
					"--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2", IPv4},
			} {
				if got := raw(t, ns, "f", args...); got != sum {
					t.Errorf("%v: sha256 %.12s, want %.12s", args, got, sum)
				}
			}
			have := sealCounters(t, socket)
			if mode == "inline" {
				least(t, have, map[string]uint64{"TlsTxSw": 11})
				if have["TlsTxDevice"] != 0 {
					t.Errorf("%d connections on a NIC that is not there", have["TlsTxDevice"])
				}
				return
			}
			least(t, have, map[string]uint64{
				"TlsTxDevice": 9, "TlsTxSw": 2, "failed(unsupported)": 2, // ChaCha20-Poly1305
				"to_sw(retransmits)": 1, "tx_tls_encrypted_bytes": 4 << 20, "tx_tls_ooo": 10, "tx_tls_dump_bytes": 10 << 10,
			})
		})
	}
}

// TestLiveSwitches moves a connection to and fro, and switches offloads and rings under it, while it transfers
// through losses. Where they are heavy the policy is off: it would leave the NIC before an order could.
func TestLiveSwitches(t *testing.T) {
	Need(t, "curl")
	root := Root(t)
	name, sum := BigFile(t, root)
	for _, c := range []struct{ version, loss, maxRexmit string }{{"1.3", "1%", "2%"}, {"1.3", "3%", "100%"}, {"1.2", "3%", "100%"}} {
		t.Run("TLS "+c.version+" loss "+c.loss, func(t *testing.T) {
			ns := NewNamespace(t)
			socket := filepath.Join(t.TempDir(), "admin")
			s := Start(t, ns, "serve", "--net", "tun", "--tls", "nic", "--max-rexmit", c.maxRexmit, "--admin", socket,
				"--link-fault", "seed=5,loss="+c.loss, root)
			done := make(chan Fetch, 1)
			fetch := func() {
				done <- Curl(ns, 10*fetchTime(), "--tls-max", c.version, "--limit-rate", "8M", "--cacert", s.Cert(), URL("https", IPv4, name))
			}
			go fetch()
			orders := [][]string{
				{"tlsstat", "--mode", "sw", "--move"}, {"tlsstat", "--mode", "ifnet", "--move"},
				{"ethtool", "-K", "tls-hw-tx-offload", "off"}, {"ethtool", "-K", "tso", "off", "gro", "off"},
				{"ethtool", "-K", "tls-hw-tx-offload", "on"}, {"tlsstat", "--mode", "nic", "--move"},
				{"ethtool", "-K", "-txcsum", "-rxcsum"}, {"ethtool", "-G", "tx", "64", "rx", "64"},
				{"ethtool", "-K", "tx", "on", "rx", "on", "tso", "on", "gro", "on"}, {"ethtool", "-G", "tx", "1024", "rx", "1024"},
				{"ethtool", "-K", "tls-hw-tx-offload", "on"}, {"tlsstat", "--mode", "nic", "--move"},
			}
			for n := 0; ; n++ {
				select {
				case f := <-done:
					if f.Code != 0 || f.Digest != sum {
						t.Errorf("exit status %d, %d bytes, sha256 %.12s, want %.12s\n%s", f.Code, f.Bytes, f.Digest, sum, tail(f.Log))
					}
					got := sealCounters(t, socket)
					// A slow machine answers few orders during a transfer: they go on over further ones.
					if (got["switch_to_ifnet"] < 2 || got["to_sw(command)"] < 1) && n < 20*len(orders) && !t.Failed() {
						go fetch()
						continue
					}
					t.Logf("%d orders", n)
					least(t, got, map[string]uint64{
						"switch_to_ifnet": 2, "to_sw(command)": 1, "to_sw(disabled)": 0, "to_sw(retransmits)": 0,
						"tx_tls_encrypted_bytes": 64 << 10, "tx_tls_resync_bytes": 1, "TlsTxDevice": 1,
					})
					return
				default:
					Ask(t, socket, orders[n%len(orders)]...)
					time.Sleep(20 * time.Millisecond) // let some records pass under each order
				}
			}
		})
	}
}
