package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"ocaserve/nicoffload"
	"ocaserve/tcpstack/link"
	"ocaserve/tcpstack/link/fault"
	"ocaserve/tcpstack/link/memory"
	"ocaserve/tcpstack/link/pcap"
	"ocaserve/tcpstack/link/tun"
)

// probeTun is why a TUN cannot be had here, with the fix; nil if it can.
func probeTun() error {
	if ok, reason, fix := tun.Probe(); !ok {
		return fmt.Errorf("%s; %s", reason, strings.TrimSuffix(fix, ", or use --net relay"))
	}
	return nil
}

// An opened link is the stack's side of the interface; in a relay, peer is the clients' side.
type openedLink struct {
	stack, peer link.Interface
	nic         *nicoffload.Interface // around stack; nil: none
	note        string                // what a user should know beside the choice, each part after a semicolon
}

func (o *openedLink) Close() error {
	err := o.stack.Close()
	if o.peer != nil {
		err = errors.Join(err, o.peer.Close())
	}
	return err
}

// open makes the link with what is wrapped around it: faults stand for the network, so the capture is on our side
// of them; it shows what a wire carries, sealed, so the adapter, which is a part of our host, is outermost.
func (l *linkOptions) open(net string) (o openedLink, err error) {
	if net == "relay" {
		a, b := memory.New(memory.Config{Queues: l.Shards, TSO: true})
		o = openedLink{stack: a, peer: b}
	} else if o, err = l.openTun(); err != nil {
		return openedLink{}, err
	}
	if l.Fault != "" {
		o.stack = fault.New(o.stack, l.fault)
		o.note += "; link faults: " + l.Fault
	}
	if l.Pcap != "" {
		capture, err := pcap.Create(o.stack, l.Pcap, pcap.Config{})
		if err != nil {
			_ = o.Close()
			return openedLink{}, fmt.Errorf("--pcap: %w", err)
		}
		o.stack = capture
	}
	if l.nic != nil {
		if err := o.addNIC(l.nic); err != nil {
			_ = o.Close()
			return openedLink{}, fmt.Errorf("--nic: %w", err)
		}
	}
	return o, nil
}

// openTun makes the interface. Without IPv6 on the host it carries IPv4 alone, and the plan shrinks to say so.
func (l *linkOptions) openTun() (openedLink, error) {
	cfg := tun.Config{Queues: l.Shards}
	for _, p := range l.plan.Stack {
		if p.Addr().Is4() {
			cfg.Addr = p
		} else {
			cfg.Addr6 = p
		}
	}
	t, err := tun.Open(cfg)
	note := ""
	if errors.Is(err, tun.ErrNoIPv6) && cfg.Addr.IsValid() {
		cfg.Addr6, note = netip.Prefix{}, "; IPv6 is switched off on this host"
		l.plan.Stack, l.plan.Host = l.plan.Stack[:1], l.plan.Host[:1]
		t, err = tun.Open(cfg)
	}
	if err != nil {
		return openedLink{}, err
	}
	return openedLink{stack: t, note: note}, nil
}

// addrs are the stack's addresses.
func (p plan) addrs() []netip.Addr {
	var as []netip.Addr
	for _, prefix := range p.Stack {
		as = append(as, prefix.Addr())
	}
	return as
}

func (p plan) String() string {
	var texts []string
	for _, a := range p.addrs() {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
