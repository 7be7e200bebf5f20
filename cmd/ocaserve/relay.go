package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"ocaserve/tcpstack/link/relay"
)

// relayRoutes opens the kernel's side of a relay: a listener per port that is not off, and where each leads.
// On an error nothing stays open.
func relayRoutes(ctx context.Context, host string, https, http port, stack []netip.Addr) (routes []relay.Route, err error) {
	for _, p := range []struct {
		flag string
		port port
	}{{"https", https}, {"http", http}} {
		if p.port == portOff {
			continue
		}
		l, err := listenKernel(ctx, networkOf(stack), host, p.flag, p.port)
		if err != nil {
			for _, r := range routes {
				r.Listener.Close()
			}
			return nil, err
		}
		r := relay.Route{Listener: l}
		for _, a := range stack {
			r.To = append(r.To, netip.AddrPortFrom(a, uint16(p.port)))
		}
		routes = append(routes, r)
	}
	return routes, nil
}

// listenKernel listens on host, a name or an address of this machine, "" for all. What the system refuses
// becomes advice.
func listenKernel(ctx context.Context, network, host, flag string, p port) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, net.JoinHostPort(host, strconv.Itoa(int(p))))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is taken by another program; choose another with --%s PORT, or --%s off", p, flag, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %s is reserved for root; choose one above 1023 with --%s PORT", p, flag)
	case err != nil:
		return nil, fmt.Errorf("--%s %s: %w; --listen takes an address of this machine", flag, p, err)
	}
	return l, nil
}

// networkOf leaves out the family that the stack has no address of: its clients could not be relayed.
func networkOf(stack []netip.Addr) string {
	switch {
	case len(stack) == 2:
		return "tcp"
	case stack[0].Is4():
		return "tcp4"
	}
	return "tcp6"
}
