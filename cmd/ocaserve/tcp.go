package main

import (
	"fmt"
	"strings"

	"ocaserve/tcpstack"
	"ocaserve/tcpstack/congestion"
)

// tcpFlags choose how the stack sends.
type tcpFlags struct {
	Stack    string   `enum:"rack,base" default:"rack" help:"TCP implementation of new connections: ${enum}. rack: RFC 8985 loss detection, paced; base: RFC 6675."`
	CC       string   `name:"cc" enum:"${ccs}" default:"${cc}" help:"Congestion control of new connections: ${enum}."`
	Cohorts  []cohort `name:"cohort" sep:";" placeholder:"SHARE:CHOICE" help:"Let a share of the connections, chosen by a hash of addresses and ports, run something else: 10%:stack=base,cc=newreno. May be given several times, or several between semicolons."`
	FastOpen int      `placeholder:"N" help:"TCP Fast Open (RFC 7413): let up to N connections of each port begin with the data in their SYN; 0: none. Over tun; a relay's clients meet the kernel."`
}

// apply writes the choice into a stack's configuration.
func (f *tcpFlags) apply(cfg *tcpstack.Config) {
	cfg.Functions, cfg.Congestion = f.Stack, f.CC
	for _, c := range f.Cohorts {
		cfg.Cohorts = append(cfg.Cohorts, tcpstack.Cohort(c))
	}
}

// maxFastOpen bounds what forged SYNs can have us answer at once.
const maxFastOpen = 65536

// check reports cohorts that are too many.
func (f *tcpFlags) check() error {
	if f.FastOpen < 0 || f.FastOpen > maxFastOpen {
		return usagef("--fast-open %d is out of range; use up to %d, 0 for none", f.FastOpen, maxFastOpen)
	}
	sum := 0.0
	for _, c := range f.Cohorts {
		sum += c.Share
	}
	if sum > 1+1e-9 {
		return usagef("--cohort: the shares add up to %.4g%%; they must leave room for each other within 100%%", sum*100)
	}
	return nil
}

// tcpVars are what the flags' texts name.
func tcpVars() map[string]string {
	return map[string]string{"ccs": strings.Join(congestion.Names(), ","), "cc": congestion.Default}
}

// A cohort is a share of the connections and what they run.
type cohort tcpstack.Cohort

// UnmarshalText reads 10%:stack=base,cc=newreno.
func (c *cohort) UnmarshalText(b []byte) error {
	part, choice, ok := strings.Cut(string(b), ":")
	var v share
	if !ok || v.UnmarshalText([]byte(part)) != nil {
		return fmt.Errorf("%q: want a share above 0 and up to 100%% and a choice, such as 10%%:stack=base,cc=newreno", b)
	}
	*c = cohort{Share: float64(v)}
	for part := range strings.SplitSeq(choice, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "stack":
			if value != tcpstack.FunctionsRack && value != tcpstack.FunctionsBase {
				return fmt.Errorf("%q: there is no stack %q; there are: rack, base", b, value)
			}
			c.Functions = value
		case "cc":
			if _, err := congestion.New(value, 1460); err != nil {
				return fmt.Errorf("%q: %w", b, err)
			}
			c.Congestion = value
		default:
			return fmt.Errorf("%q: unknown choice %q; there are stack=NAME and cc=NAME", b, part)
		}
	}
	return nil
}
