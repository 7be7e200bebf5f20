package nicoffload

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// A feature is a set of offloads.
type feature uint32

const (
	tso4 feature = 1 << iota
	tso6
	txCsum
	rxCsum
	rxGRO
	rxHash
	tlsTx
	tlsRx
	tlsRecord
	rateLimit
)

// featureTable names the features as ethtool -k does. Those with fixed cannot be switched.
var featureTable = []struct {
	name  string
	bit   feature
	fixed bool
}{
	{"rx-checksum", rxCsum, false},
	{"tx-checksum-ip-generic", txCsum, false},
	{"tx-tcp-segmentation", tso4, false},
	{"tx-tcp6-segmentation", tso6, false},
	{"rx-gro", rxGRO, false},
	{"rx-hashing", rxHash, true}, // a frame has no place for a hash
	{"tls-hw-tx-offload", tlsTx, false},
	{"tls-hw-rx-offload", tlsRx, true},
	{"tls-hw-record", tlsRecord, true}, // frames hold plaintext alone
	{"TXRTLMT", rateLimit, false},      // FreeBSD's: ethtool has none
}

// featureAliases are FreeBSD's names (ifconfig), and ethtool's short ones. One switch for both address families
// of TLS is all there is.
var featureAliases = map[string]feature{
	"tso": tso4 | tso6, "tso4": tso4, "tso6": tso6,
	"txcsum": txCsum, "txcsum6": txCsum, "tx": txCsum, "rxcsum": rxCsum, "rxcsum6": rxCsum, "rx": rxCsum,
	"lro": rxGRO, "gro": rxGRO, "txtls": tlsTx, "txtls4": tlsTx, "txtls6": tlsTx, "txrtlmt": rateLimit, "txtls_rtlmt": rateLimit,
}

const featuresOn = tso4 | tso6 | txCsum | rxCsum | rxGRO | tlsTx | tlsRecord | rateLimit

// needs are the features without which another makes no sense (Linux: netdev_fix_features): what is segmented or
// sealed by the adapter can only get its checksum there.
var needs = []struct{ what, base feature }{{tso4 | tso6 | tlsTx, txCsum}}

// features are switches that any goroutine may turn.
type features struct{ on atomic.Uint32 }

func (f *features) has(x feature) bool { return f.on.Load()&uint32(x) != 0 }

// set switches x on or off; off takes along what needs it, on what it needs.
func (f *features) set(x feature, on bool) {
	if on {
		for _, n := range needs {
			if x&n.what != 0 {
				x |= n.base
			}
		}
		f.on.Or(uint32(x))
		return
	}
	for _, n := range needs {
		if x&n.base != 0 {
			x |= n.what
		}
	}
	f.on.And(^uint32(x))
}

// A Feature is a line of ethtool -k.
type Feature struct {
	Name  string
	On    bool
	Fixed bool // cannot be switched
}

// Features lists all offloads and their state, under ethtool's names.
func (i *Interface) Features() []Feature {
	list := make([]Feature, len(featureTable))
	for k, f := range featureTable {
		list[k] = Feature{Name: f.name, On: i.features.has(f.bit), Fixed: f.fixed}
	}
	return list
}

// SetFeature switches an offload at run time, as ethtool -K does; FreeBSD's names are known too (TSO4, TXCSUM,
// TXTLS4, ...). What is off for transmission the driver does on the host. What the adapter was told to seal it
// still seals; it takes no new contexts, and Health becomes Disabled. Switching an offload off takes along those
// that need it, and on those that it needs.
func (i *Interface) SetFeature(name string, on bool) error {
	for _, f := range featureTable {
		if f.name != name {
			continue
		}
		if f.fixed {
			return fmt.Errorf("%s is fixed %s: it cannot be switched", name, onOff(i.features.has(f.bit)))
		}
		i.setFeature(f.bit, on)
		return nil
	}
	if bit, ok := featureAliases[strings.ToLower(name)]; ok {
		i.setFeature(bit, on)
		return nil
	}
	return fmt.Errorf("unknown offload %q: known are %s", name, strings.Join(featureNames(), ", "))
}

func (i *Interface) setFeature(x feature, on bool) {
	if on {
		i.suspect.And(^uint32(x)) // somebody says that it is good again
	}
	i.features.set(x, on)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// featureNames are ethtool's names of what can be switched, then the aliases.
func featureNames() []string {
	var names, aliases []string
	for _, f := range featureTable {
		if !f.fixed {
			names = append(names, f.name)
		}
	}
	for a := range featureAliases {
		aliases = append(aliases, strings.ToUpper(a))
	}
	slices.Sort(aliases)
	return append(names, aliases...)
}

// nameOf is ethtool's name of the first feature in x.
func nameOf(x feature) string {
	for _, f := range featureTable {
		if f.bit&x != 0 {
			return f.name
		}
	}
	return "nothing"
}
