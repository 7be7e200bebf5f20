package main

import (
	"fmt"
	"net/netip"

	"ocaserve/nicoffload"
	"ocaserve/tcpstack/link/fault"
)

// linkOptions are the link's flags, checked, with the address plan.
type linkOptions struct {
	netFlags
	plan  plan
	fault fault.Config
	nic   *nicoffload.Config // nil: none
}

// A choice is the link that will carry the connections, and why that one.
type choice struct {
	net string // "tun" or "relay"
	why string
}

// chooseLink settles --net. probe reports why a TUN cannot be had here, with the fix in its text.
func chooseLink(net string, probe func() error) (choice, error) {
	switch net {
	case "relay":
		return choice{"relay", "asked for"}, nil
	case "tun":
		if err := probe(); err != nil {
			return choice{}, fmt.Errorf("--net tun is not possible here: %w; or use --net relay, which needs no privileges", err)
		}
		return choice{"tun", "asked for"}, nil
	}
	if err := probe(); err != nil {
		return choice{"relay", "a TUN is not possible here: " + err.Error()}, nil
	}
	return choice{"tun", "/dev/net/tun is here and this process may use it"}, nil
}

// listenName is --listen as a name that clients can use: "" where it means every address of the machine.
func (l *linkOptions) listenName() string {
	if a, err := netip.ParseAddr(l.Listen); err == nil && a.IsUnspecified() {
		return ""
	}
	return l.Listen
}

// ports are the ports of a link. Over a TUN the stack's address is its own, so the well-known ports are free;
// a relay listens on the machine's address, where they belong to root and often to somebody else.
// One flag may name the other's default, so that a clash shows only here.
func (l *linkOptions) ports(net string) (https, http port, err error) {
	if net == "tun" {
		https, http = l.HTTPS.or(443), l.HTTP.or(80)
	} else {
		https, http = l.HTTPS.or(8443), l.HTTP.or(8080)
	}
	if https == http {
		return 0, 0, usagef("HTTPS and HTTP are both on port %s over %s; give them different ports with --https and --http", https, net)
	}
	return https, http, nil
}
