package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A world is two namespaces with servers in one.
type world struct {
	dir            string
	client, server string // the namespaces
	servers        []*exec.Cmd
	stack          string
}

// subnet is one of the link's, one per congestion control: in the server's namespace its route names it, which
// a sysctl may not do for a namespace. The client is .1, the server .2.
func subnet(i int) string { return fmt.Sprintf("10.77.%d", i) }

// device is the link's end in either namespace.
const device = "paths0"

// prepare makes what all worlds share: the program and the files.
func prepare(ctx context.Context, dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := command(ctx, "go", "build", "-o", filepath.Join(dir, "ocaserve"), "ocaserve/cmd/ocaserve"); err != nil {
		return err
	}
	www := filepath.Join(dir, "www")
	if err := os.Mkdir(www, 0o755); err != nil {
		return err
	}
	made := map[int]bool{}
	for _, c := range allCells() {
		if made[c.Size] {
			continue
		}
		made[c.Size] = true
		f, err := os.Create(filepath.Join(www, fmt.Sprint(c.Size)))
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, rand.Reader, int64(c.Size))
		if err := f.Close(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newWorld makes namespaces and starts the servers. What it returns must be closed, error or not.
func newWorld(ctx context.Context, number int, dir string, o options) (*world, error) {
	name := fmt.Sprintf("ocaserve-paths-%d-%d-", os.Getpid(), number)
	w := &world{dir: dir, client: name + "client", server: name + "server", stack: o.stack}
	for _, ns := range []string{w.client, w.server} {
		if err := command(ctx, "ip", "netns", "add", ns); err != nil {
			return w, err
		}
		if err := w.configure(ctx, ns); err != nil {
			return w, err
		}
	}
	if err := w.in(ctx, w.server, "sysctl -qw net.ipv4.ip_forward=1"); err != nil {
		return w, err
	}
	for i, cc := range o.ccs {
		if err := w.address(ctx, i, cc); err != nil {
			return w, err
		}
		if err := w.startOurs(i, cc); err != nil {
			return w, err
		}
	}
	if err := w.in(ctx, w.client, "ip route add 198.18.0.0/16 dev "+device+" src "+subnet(0)+".1"); err != nil {
		return w, err
	}
	if err := w.startNginx(number); err != nil {
		return w, err
	}
	time.Sleep(time.Second) // for the servers to open their ports; the first fetch tells if one has not
	return w, nil
}

// configure prepares a namespace: no IPv6, whose router solicitations would be packets on the link; buffers
// that are never the limit; nothing remembered from one connection to the next. All else is the kernel's
// default.
func (w *world) configure(ctx context.Context, ns string) error {
	return w.in(ctx, ns,
		"sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
		"sysctl -qw net.ipv4.tcp_no_metrics_save=1",
		"sysctl -qw net.ipv4.tcp_wmem=4096\t131072\t67108864 net.ipv4.tcp_rmem=4096\t131072\t67108864",
		"ip link set lo up",
		"ip tuntap add dev "+device+" mode tun multi_queue",
		"ip link set "+device+" up",
	)
}

// linuxName is what Linux calls a congestion control.
func linuxName(cc string) string {
	if cc == "newreno" {
		return "reno"
	}
	return cc
}

// linuxURL and oursURL are where the servers of the i-th congestion control answer.
func linuxURL(i, size int) string { return fmt.Sprintf("http://%s.2/%d", subnet(i), size) }
func oursURL(i, size int) string  { return fmt.Sprintf("http://198.18.%d.2/%d", i, size) }

// address lays the i-th subnet, on which Linux sends with a congestion control.
func (w *world) address(ctx context.Context, i int, cc string) error {
	if err := w.in(ctx, w.client, "ip addr add "+subnet(i)+".1/24 dev "+device); err != nil {
		return err
	}
	return w.in(ctx, w.server, "ip addr add "+subnet(i)+".2/24 dev "+device,
		fmt.Sprintf("ip route replace %s.0/24 dev %s src %[1]s.2 congctl %[3]s", subnet(i), device, linuxName(cc)))
}

// startNginx starts the server on Linux's TCP.
func (w *world) startNginx(number int) error {
	root := filepath.Join(w.dir, fmt.Sprintf("nginx-%d", number))
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	conf := filepath.Join(root, "nginx.conf")
	text := fmt.Sprintf(`user root; daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 64; }
http { access_log off; sendfile on; tcp_nopush on; server { listen 80; root %[2]s/www; } }
`, root, w.dir)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	return w.start("nginx", "-p", root, "-c", conf)
}

// startOurs starts ocaserve with a congestion control.
func (w *world) startOurs(i int, cc string) error {
	return w.start(filepath.Join(w.dir, "ocaserve"), "serve", filepath.Join(w.dir, "www"), "--net", "tun", "--https", "off",
		"--addr", fmt.Sprintf("198.18.%d.2/24", i), "--shards", "1", "--cache", "64MiB", "--stack", w.stack, "--cc", cc)
}

// first makes servers and clients go before what else the machine does. A niceness counts within a session only, where
// the kernel groups tasks by it (sched_autogroup): each gets a session of its own, and that a weight.
var first = []string{"setsid", "nice", "-n", "-15", "sh", "-c", `{ echo -10 >/proc/self/autogroup; } 2>/dev/null; exec "$@"`, "sh"}

// start runs a server in the server's namespace; it dies with this program at the latest.
func (w *world) start(args ...string) error {
	cmd := exec.Command("ip", append(append([]string{"netns", "exec", w.server}, first...), args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+w.dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	w.servers = append(w.servers, cmd)
	return nil
}

// in runs commands in a namespace; a tab in a word stands for a space.
func (w *world) in(ctx context.Context, ns string, lines ...string) error {
	for _, line := range lines {
		words := strings.Split(line, " ")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\t", " ")
		}
		if err := command(ctx, "ip", append([]string{"netns", "exec", ns}, words...)...); err != nil {
			return err
		}
	}
	return nil
}

// close ends the servers and removes the namespaces; it runs also when the context has ended.
func (w *world) close() {
	for _, cmd := range w.servers {
		cmd.Process.Kill() //nolint:errcheck // our own child, gone or not
		cmd.Wait()         //nolint:errcheck
	}
	for _, ns := range []string{w.client, w.server} {
		exec.Command("ip", "netns", "del", ns).Run() //nolint:errcheck // may never have been made
	}
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
