package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// ethtoolFlags show and change the emulated adapter of a running server, with ethtool's letters, words and output.
// The two that change it are orders: on the command line only.
type ethtoolFlags struct {
	adminFlags
	Features bool   `name:"show-features" short:"k" env:"-" help:"Offloads, on or off. This is also what is shown without any letter."`
	Set      orders `name:"features" short:"K" env:"-" placeholder:"NAME on|off ..." help:"Switch offloads, by the names that -k shows, or tso, tx, rx, gro; FreeBSD's -tso, txcsum, TXTLS4, ... are understood."`
	Stats    bool   `name:"statistics" short:"S" env:"-" help:"Counters of all queues together."`
	Queues   bool   `name:"per-queue" short:"Q" env:"-" help:"With -S: each queue alone."`
	Ring     bool   `name:"show-ring" short:"g" env:"-" help:"Depth of the rings."`
	SetRing  orders `name:"set-ring" short:"G" env:"-" placeholder:"tx|rx N ..." help:"Change the depth of the rings."`
	Coalesce bool   `name:"show-coalesce" short:"c" env:"-" help:"How interrupts are moderated."`
	SetCoal  orders `name:"coalesce" short:"C" env:"-" placeholder:"rx-usecs|rx-frames N ..." help:"Change how interrupts are moderated."`
	Driver   bool   `name:"driver" short:"i" env:"-" help:"What kind of adapter it is."`
	JSON     bool   `name:"json" help:"The answer as JSON."`
	Name     string `arg:"" optional:"" name:"interface" help:"The adapter's interface, as with ethtool; a server has only one."`
}

// orders are all words up to the next long flag: FreeBSD's -tso is one of them.
type orders []string

// Decode implements kong.MapperValue.
func (o *orders) Decode(ctx *kong.DecodeContext) error {
	for _, t := range ctx.Scan.PopUntil(endsOrders) {
		*o = append(*o, t.String())
	}
	if len(*o) == 0 {
		return fmt.Errorf("what to change is missing")
	}
	return nil
}

func endsOrders(t kong.Token) bool { return t.IsEOL() || strings.HasPrefix(t.String(), "--") }

// ethtoolArgs is the request.
type ethtoolArgs struct {
	Show     string          `json:"show"` // one letter of ethtool
	Name     string          `json:"name,omitempty"`
	Queues   bool            `json:"queues,omitempty"`
	Features []featureOrder  `json:"features,omitempty"`
	Rings    *ethtoolRingSet `json:"rings,omitempty"`
	Coalesce *ethtoolCoalSet `json:"coalesce,omitempty"`
}

// A featureOrder switches one offload.
type featureOrder struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
}

func (f *ethtoolFlags) run(_ context.Context, stdout io.Writer) error {
	args, err := f.args()
	if err != nil {
		return usageError{err}
	}
	v := ethtoolView{show: args.Show}
	return f.ask("ethtool", args, &v, f.JSON, stdout)
}

// args makes the request of the one thing that is asked for.
func (f *ethtoolFlags) args() (a ethtoolArgs, err error) {
	a = ethtoolArgs{Show: "k", Name: f.Name, Queues: f.Queues}
	asked := 0
	for _, x := range f.letters() {
		if x.on {
			a.Show = x.letter
			asked++
		}
	}
	if asked > 1 {
		return a, fmt.Errorf("one of -k, -K, -S, -g, -G, -c, -C and -i at a time")
	}
	if a.Features, err = parseFeatures(f.Set, &a.Name); err != nil {
		return a, err
	}
	if a.Rings, err = parseRings(f.SetRing, &a.Name); err != nil {
		return a, err
	}
	a.Coalesce, err = parseCoalesce(f.SetCoal, &a.Name)
	return a, err
}

// lettered is a flag of ethtool that was given, or not.
type lettered struct {
	on     bool
	letter string
}

func (f *ethtoolFlags) letters() []lettered {
	return []lettered{
		{f.Features || len(f.Set) > 0, "k"}, {f.Stats || f.Queues, "S"}, {f.Ring || len(f.SetRing) > 0, "g"},
		{f.Coalesce || len(f.SetCoal) > 0, "c"}, {f.Driver, "i"},
	}
}

// switchWords are what may stand behind an offload's name.
var switchWords = map[string]bool{"on": true, "off": false}

// parseFeatures reads "tso off tls-hw-tx-offload on", and ifconfig's "-tso txcsum", alone or mixed. A first word
// that is followed by another name and not by on or off is the interface.
func parseFeatures(words []string, name *string) (list []featureOrder, err error) {
	if len(words) > 1 && *name == "" && isInterface(words) {
		*name, words = words[0], words[1:]
	}
	for i := 0; i < len(words); i++ {
		word := words[i]
		if _, is := switchWords[word]; is {
			return nil, fmt.Errorf("-K: %q stands behind no offload; write such as: -K tso off tx on", word)
		}
		if i+1 < len(words) {
			if on, is := switchWords[words[i+1]]; is {
				list = append(list, featureOrder{word, on})
				i++
				continue
			}
		}
		off, short := strings.CutPrefix(word, "-")
		if !short && !bsdName(word) {
			return nil, noSwitch(word, words[:i], *name)
		}
		list = append(list, featureOrder{off, !short})
	}
	return list, nil
}

// noSwitch is the mistake of a word that switches nothing: it may stand where on or off should, or be an offload that
// lacks them. before are the words before it, and an interface is what may have been meant as an offload.
func noSwitch(word string, before []string, iface string) error {
	offload := iface
	if n := len(before); n > 0 {
		offload = before[n-1]
	}
	if _, is := switchWords[offload]; is || offload == "" {
		return fmt.Errorf("-K: on or off is missing behind %q; write such as: -K %s off", word, word)
	}
	return fmt.Errorf("-K: %q is none of what may stand behind %q: on, off, or an offload and its on or off", word, offload)
}

// isInterface is whether the first of words is an interface's name: another name comes next, or FreeBSD's kind
// of switch, and it is none of those itself.
func isInterface(words []string) bool {
	_, followed := switchWords[words[1]]
	return !followed && !strings.HasPrefix(words[0], "-") && !bsdName(words[0])
}

// bsdName is whether ifconfig has a switch of that name, which turns it on.
func bsdName(word string) bool {
	switch strings.TrimRight(strings.ToLower(word), "46") {
	case "tso", "txcsum", "rxcsum", "lro", "txtls":
		return true
	}
	return false
}
