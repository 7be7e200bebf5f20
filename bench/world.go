package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A world is what a measurement needs: two namespaces, a file, a certificate, the servers' programs.
type world struct {
	dir    string
	size   int64
	client *exec.Cmd // holds the client's namespace open
}

// A server is one way of serving the file.
type server struct {
	name  string
	url   string
	curl  []string // further arguments for the client
	start func(w *world) (*exec.Cmd, error)
}

const nginxAddr, clientAddr = "198.18.1.1", "198.18.1.2"

func newWorld(ctx context.Context, dir string, size int64) (*world, error) {
	if err := need("nginx", "curl", "openssl", "ip", "nsenter", "taskset", "go"); err != nil {
		return nil, err
	}
	w := &world{dir: dir, size: size}
	steps := []func(context.Context) error{w.makeFile, w.makeCert, w.build, w.makeNetwork, w.configure}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *world) close() {
	if w.client != nil {
		w.client.Process.Kill() //nolint:errcheck // our own child, gone or not
		w.client.Wait()         //nolint:errcheck
	}
}

func (w *world) makeFile(context.Context) error {
	if err := os.MkdirAll(w.path("www"), 0o755); err != nil {
		return err
	}
	f, err := os.Create(w.path("www/file.bin"))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(f, rand.Reader, w.size)
	return err
}

func (w *world) makeCert(ctx context.Context) error {
	return command(ctx, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-nodes", "-days", "2", "-subj", "/CN=bench", "-keyout", w.path("key.pem"), "-out", w.path("cert.pem"))
}

func (w *world) build(ctx context.Context) error {
	return command(ctx, "go", "build", "-o", w.path("ocaserve"), "ocaserve/cmd/ocaserve")
}

// makeNetwork starts a process in a namespace of its own and lays a veth pair to it.
func (w *world) makeNetwork(ctx context.Context) error {
	w.client = exec.Command("sleep", "infinity")
	w.client.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := w.client.Start(); err != nil {
		return err
	}
	pid := strconv.Itoa(w.client.Process.Pid)
	if err := command(ctx, "ip", "link", "add", "bench0", "type", "veth", "peer", "name", "bench1", "netns", pid); err != nil {
		return err
	}
	for _, c := range []string{
		"ip addr add " + nginxAddr + "/24 dev bench0", "ip link set bench0 up", "ip link set lo up",
		"nsenter -n -t " + pid + " ip addr add " + clientAddr + "/24 dev bench1",
		"nsenter -n -t " + pid + " ip link set bench1 up",
		"nsenter -n -t " + pid + " ip link set lo up",
	} {
		if err := command(ctx, strings.Fields(c)[0], strings.Fields(c)[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// configure writes nginx's configuration: one worker, sendfile on, as its documentation advises for large
// files.
func (w *world) configure(context.Context) error {
	conf := `user root; daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  server { listen %[2]s:80; listen %[2]s:443 ssl; root %[1]s/www;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; ssl_protocols TLSv1.2 TLSv1.3; } }
`
	return os.WriteFile(w.path("nginx.conf"), fmt.Appendf(nil, conf, w.dir, nginxAddr), 0o644)
}

// servers lists what is measured.
func (w *world) servers(only string) []server {
	tls := []string{"--tls13-ciphers", "TLS_AES_128_GCM_SHA256"}
	all := []server{
		{"nginx https", "https://" + nginxAddr + "/file.bin", tls, startNginx},
		{"ocaserve https inline", "https://198.18.0.2/file.bin", tls, ocaserve("--tls", "inline")},
		{"ocaserve https user", "https://198.18.0.2/file.bin", tls, ocaserve("--tls", "user")},
		{"nginx http", "http://" + nginxAddr + "/file.bin", nil, startNginx},
		{"ocaserve http", "http://198.18.0.2/file.bin", nil, ocaserve()},
	}
	var list []server
	for _, s := range all {
		if strings.Contains(s.name, only) {
			list = append(list, s)
		}
	}
	return list
}

func startNginx(w *world) (*exec.Cmd, error) {
	cmd := exec.Command("taskset", "-c", "0", "nginx", "-c", w.path("nginx.conf"), "-p", w.dir)
	return cmd, start(cmd)
}

func ocaserve(args ...string) func(w *world) (*exec.Cmd, error) {
	return func(w *world) (*exec.Cmd, error) {
		all := append([]string{
			"-n", "-t", strconv.Itoa(w.client.Process.Pid), "taskset", "-c", "0",
			w.path("ocaserve"), "serve", w.path("www"), "--net", "tun", "--shards", "1", "--cache", "2GiB",
			"--tls-cert", w.path("cert.pem"), "--tls-key", w.path("key.pem"),
		}, args...)
		cmd := exec.Command("nsenter", all...)
		return cmd, start(cmd)
	}
}

func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Start()
}

// fetch runs the client on core 1, n times, and waits for the server to be there first.
func (w *world) fetch(ctx context.Context, s server, n int) error {
	args := append([]string{
		"-n", "-t", strconv.Itoa(w.client.Process.Pid), "taskset", "-c", "1", "curl", "-sSk", "--fail",
		"--max-time", "120", "--retry", "20", "--retry-connrefused", "--retry-delay", "1",
	}, s.curl...)
	for range n {
		args = append(args, "-o", "/dev/null", s.url)
	}
	return command(ctx, "nsenter", args...)
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// once measures one round of one server.
func (w *world) once(ctx context.Context, s server, o options) (figures, error) {
	cmd, err := s.start(w)
	if err != nil {
		return figures{}, err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // our own child
		cmd.Wait()                          //nolint:errcheck // what it says at its end does not matter here
	}()
	time.Sleep(time.Second / 2)
	if err := w.fetch(ctx, s, 1); err != nil {
		return figures{}, err
	}
	before, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return figures{}, err
	}
	coreBefore, err := coreBusy()
	if err != nil {
		return figures{}, err
	}
	began := time.Now()
	if err := w.fetch(ctx, s, o.fetches); err != nil {
		return figures{}, err
	}
	wall := time.Since(began).Seconds()
	after, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return figures{}, err
	}
	coreAfter, err := coreBusy()
	gb := float64(o.size) * float64(o.fetches) / 1e9
	return figures{
		CPUPerGB: (after - before) / gb, CorePerGB: (coreAfter - coreBefore) / gb, GBPerSecond: gb / wall,
	}, err
}
