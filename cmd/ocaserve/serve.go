package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ocaserve/tcpstack/link/fault"
)

// netFlags choose the link and the addresses; demo and serve share them.
type netFlags struct {
	tcpFlags
	paceFlags
	seeFlags
	nicFlags
	Net    string `enum:"auto,tun,relay" default:"auto" help:"Link: ${enum}. auto takes tun where permitted, else relay."`
	Addr   string `default:"198.18.0.2/24" placeholder:"ADDR/LEN" help:"The stack's own address (${default}). The host's side of a TUN gets the subnet's first address."`
	Listen string `placeholder:"HOST" help:"relay: the address of this machine to accept on; without it all for serve, localhost for demo."`
	HTTPS  port   `name:"https" placeholder:"PORT|off" help:"HTTPS port: 443 over tun, 8443 over relay."`
	HTTP   port   `name:"http" placeholder:"PORT|off" help:"HTTP port: 80 over tun, 8080 over relay."`
	Shards int    `placeholder:"N" help:"Event loops, each with its own link queue; one per CPU if not given."`
	Pcap   string `name:"pcap" placeholder:"FILE" help:"Write every packet of the link to a pcapng file."`
	Fault  string `name:"link-fault" placeholder:"SPEC" help:"Impair the link both ways: loss=1%,reorder=1%,dup=0.5%,corrupt=0.1%,delay=5ms,seed=7."`
}

// tlsFlags choose how HTTPS is done.
type tlsFlags struct {
	TLS  string   `name:"tls" enum:"user,inline,nic" default:"inline" help:"Who seals records: ${enum}. user copies and seals before TCP, as SSL_write does, and keeps the ciphertext; inline seals as bytes leave; nic leaves that to the emulated NIC, and is inline where the NIC is of no use: other ciphers than AES-GCM, many losses, no context left. Without TLS (off) is what --http serves; --https off leaves that alone."`
	Cert []string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM; several are chosen by the name the client asks for, the first is the default. Without it: self-signed, kept under the user's state folder."`
	Key  []string `name:"tls-key" placeholder:"FILE" help:"Private key, PEM, one for each --tls-cert in the same order. SIGHUP reloads all."`
	Min  string   `name:"tls-min" enum:"1.2,1.3" default:"1.2" help:"Oldest TLS version accepted: ${enum}."`
}

// originFlags choose what is kept, logged and allowed.
type originFlags struct {
	Cache     size          `default:"${cache}" placeholder:"SIZE" help:"Memory for the page cache, taken as it fills; a quarter of this machine's, here ${default}."`
	Memory    size          `default:"${memory}" placeholder:"SIZE" help:"Memory for connections: what is queued for them and not yet acknowledged, and what they sent and nobody has read. Near the limit new ones are refused. An eighth of this machine's, here ${default}."`
	AccessLog string        `placeholder:"FILE|-" help:"Write an access log to a file, or to standard output."`
	LogFormat string        `name:"access-log-format" enum:"combined,json" default:"combined" help:"Access log format: ${enum}."`
	Listing   bool          `default:"true" negatable:"" help:"Answer a folder's URL with a listing."`
	Drain     time.Duration `name:"drain-timeout" default:"30s" help:"How long running responses may take to finish after SIGTERM or SIGINT (${default})."`
}

type serveFlags struct {
	Dir string `arg:"" name:"dir" help:"Folder to serve."`
	netFlags
	tlsFlags
	originFlags
}

// options are a server's settings with every default filled in and every mistake reported.
type options struct {
	dir       string
	link      linkOptions
	tls       tlsFlags
	cache     int64 // bytes
	memory    int64 // bytes, of all connections
	accessLog string
	logJSON   bool
	listing   bool
	drain     time.Duration
	ready     func(*server) // called when connections are accepted
}

func (f *serveFlags) run(ctx context.Context, stdout io.Writer) error {
	opts, err := f.options()
	if err != nil {
		return err
	}
	opts.ready = func(s *server) { fmt.Fprintln(stdout, s.summary()) }
	return serve(ctx, opts, stdout)
}

func (f *serveFlags) options() (options, error) {
	if err := readableDir(f.Dir); err != nil {
		return options{}, err
	}
	return buildOptions(f.Dir, f.netFlags, f.tlsFlags, f.originFlags)
}

// buildOptions checks what flags cannot check alone.
func buildOptions(dir string, n netFlags, t tlsFlags, o originFlags) (options, error) {
	if len(t.Cert) != len(t.Key) {
		return options{}, usagef("--tls-cert and --tls-key belong together; give both or neither, and as many of one (%d) as of the other (%d)", len(t.Cert), len(t.Key))
	}
	if o.Drain < 0 {
		return options{}, usagef("--drain-timeout %v is negative; 0s cuts running responses off", o.Drain)
	}
	if o.Memory != 0 && o.Memory < 1<<20 {
		return options{}, usagef("--memory %s is too little to serve anybody; 64 MiB carry some hundred clients", o.Memory)
	}
	if total := memoryTotal(); total > 0 && int64(o.Cache) > total {
		return options{}, usagef("--cache %s is more than this machine's memory, %s; a quarter of that is the default", o.Cache, size(total))
	}
	if total := memoryTotal(); total > 0 && int64(o.Memory) > total {
		return options{}, usagef("--memory %s is more than this machine's, %s; an eighth of that is the default", o.Memory, size(total))
	}
	l, err := n.options()
	if err != nil {
		return options{}, err
	}
	if l.nic, err = nicConfig(n.NIC, t.TLS); err != nil {
		return options{}, err
	}
	return options{
		dir: dir, link: l, tls: t, cache: int64(o.Cache), memory: int64(o.Memory),
		accessLog: o.AccessLog, logJSON: o.LogFormat == "json", listing: o.Listing, drain: o.Drain,
	}, nil
}

// readableDir tells a missing or unreadable folder before anything is set up.
func readableDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot read the folder to serve: %w", err)
	}
	defer d.Close()
	if info, err := d.Stat(); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is not a folder; name the folder that holds the files to serve", dir)
	}
	if _, err := d.Readdirnames(1); err != nil && err != io.EOF {
		return fmt.Errorf("cannot read the folder to serve: %w", err)
	}
	return nil
}

func (n netFlags) options() (linkOptions, error) {
	p, err := planAddrs(n.Addr)
	if err != nil {
		return linkOptions{}, err
	}
	if n.HTTPS == portOff && n.HTTP == portOff {
		return linkOptions{}, usagef("--https off and --http off leave nothing to serve; give one a port")
	}
	if n.Shards < 0 || n.Shards > 256 {
		return linkOptions{}, usagef("--shards %d is out of range; use 1..256", n.Shards)
	}
	if err := errors.Join(n.tcpFlags.check(), n.paceFlags.check()); err != nil {
		return linkOptions{}, err
	}
	if n.Shards == 0 {
		n.Shards = processors
	}
	wire, err := fault.ParseSpec(n.Fault)
	if err != nil {
		return linkOptions{}, usagef("--link-fault: %w", err)
	}
	return linkOptions{netFlags: n, plan: p, fault: wire}, nil
}
