package main

import (
	"errors"
	"fmt"
	"os"

	"ocaserve/ktls/offload"
	"ocaserve/nicoffload"
	"ocaserve/tcpstack"
)

// nicFlags put an emulated adapter between the stack and its link.
type nicFlags struct {
	NIC string `name:"nic" placeholder:"on|off|SPEC" help:"Put an emulated adapter with TSO, checksum and TLS offload in front of the link: on takes the defaults, else contexts=1024,bus=16GB/s,setup=50us,evict=lru,depth=512,verify=1%,faults=csum+tls-tag,seed=7 and more, see the package nicoffload. --tls nic alone means on. ocaserve ethtool shows and switches it."`
	rexmitFlags
}

// rexmitFlags say when a connection leaves the adapter.
type rexmitFlags struct {
	MaxRexmit share `default:"2%" placeholder:"SHARE" help:"Share of retransmitted bytes above which the CPU seals a connection's records, since each makes the adapter read a record again (${default}, as FreeBSD's kern.ipc.tls.ifnet_max_rexmit_pct; 100%: never for that)."`
}

// nicConfig is what --nic and --tls together ask for; nil: no adapter.
func nicConfig(spec, tls string) (*nicoffload.Config, error) {
	switch {
	case spec == "off" && tls == "nic":
		return nil, usagef("--tls nic needs the adapter that --nic off leaves out")
	case spec == "off", spec == "" && tls != "nic":
		return nil, nil
	case spec == "on":
		spec = ""
	}
	cfg, err := nicoffload.ParseConfig(spec)
	if err != nil {
		return nil, usagef("--nic: %w", err)
	}
	cfg.Log = func(text string) { fmt.Fprintln(os.Stderr, "ocaserve: nic:", text) }
	return &cfg, nil
}

// addNIC puts the adapter around the stack's side of a link that is otherwise complete.
func (o *openedLink) addNIC(cfg *nicoffload.Config) (err error) {
	if o.nic, err = nicoffload.New(o.stack, *cfg); err != nil {
		return err
	}
	o.stack = o.nic
	o.note += "; an emulated NIC"
	if text := cfg.String(); text != "" {
		o.note += " with " + text
	}
	return nil
}

// sealer says which queue of the adapter seals for a shard; nil: there is no adapter.
func (o *openedLink) sealer() func(*tcpstack.Shard) offload.NIC {
	if o.nic == nil {
		return nil
	}
	queues := o.nic.Queues()
	return func(sh *tcpstack.Shard) offload.NIC { return queues[sh.ID()].(offload.NIC) }
}

// sealWords say who seals in a mode.
var sealWords = map[string]string{
	"user": "sealed before TCP, as SSL_write does", "inline": "sealed as bytes leave", "nic": "an emulated NIC seals",
}

// errNoNIC is the answer of a server without an adapter.
var errNoNIC = errors.New("this server has no emulated NIC; start it with --nic on, or --tls nic")
