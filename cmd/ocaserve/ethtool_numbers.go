package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ocaserve/nicoffload"
)

// This file is what ethtool sets by numbers: the depth of the rings (-g, -G), and the moderation of interrupts (-c, -C).

// ethtoolRingSet is what -G asks for; 0 leaves a ring as it is.
type ethtoolRingSet struct {
	TX int `json:"tx,omitempty"`
	RX int `json:"rx,omitempty"`
}

// ethtoolCoalSet is what -C asks for; nil leaves a number as it is.
type ethtoolCoalSet struct {
	RxUsecs  *int `json:"rx_usecs,omitempty"`
	RxFrames *int `json:"rx_frames,omitempty"`
}

type ethRings struct {
	TX    int `json:"tx"`
	RX    int `json:"rx"`
	MaxTX int `json:"tx_max"`
	MaxRX int `json:"rx_max"`
}

type ethCoalesce struct {
	RxUsecs  int `json:"rx_usecs"`
	RxFrames int `json:"rx_frames"`
}

// parseRings reads "tx 512 rx 256", with the interface's name before it or without.
func parseRings(words []string, name *string) (*ethtoolRingSet, error) {
	n, err := parseNumbers("-G", words, name, map[string]int{"tx": 1, "rx": 1})
	if n == nil || err != nil {
		return nil, err
	}
	return &ethtoolRingSet{TX: n["tx"], RX: n["rx"]}, nil
}

// parseCoalesce reads "rx-usecs 50 rx-frames 32", likewise.
func parseCoalesce(words []string, name *string) (*ethtoolCoalSet, error) {
	n, err := parseNumbers("-C", words, name, map[string]int{"rx-usecs": 0, "rx-frames": 1})
	if n == nil || err != nil {
		return nil, err
	}
	set := &ethtoolCoalSet{}
	for what, into := range map[string]**int{"rx-usecs": &set.RxUsecs, "rx-frames": &set.RxFrames} {
		if v, given := n[what]; given {
			*into = &v
		}
	}
	return set, nil
}

// parseNumbers reads names and numbers by turns; least is what there is, and the least number of each. Nil: no words.
func parseNumbers(letter string, words []string, name *string, least map[string]int) (map[string]int, error) {
	if len(words) == 0 {
		return nil, nil
	}
	if len(words)%2 == 1 && *name == "" {
		*name, words = words[0], words[1:]
	}
	known := slices.Sorted(maps.Keys(least))
	numbers := map[string]int{}
	for ; len(words) >= 2; words = words[2:] {
		from, is := least[words[0]]
		if !is {
			return nil, fmt.Errorf("%s: %q cannot be set; there are %s", letter, words[0], strings.Join(known, " and "))
		}
		v, err := strconv.Atoi(words[1])
		if err != nil || v < from {
			return nil, fmt.Errorf("%s: %s %s: write a number from %d up", letter, words[0], words[1], from)
		}
		numbers[words[0]] = v
	}
	if len(words) > 0 || len(numbers) == 0 {
		return nil, fmt.Errorf("%s: a number is missing; write such as: %s %s 64", letter, letter, known[0])
	}
	return numbers, nil
}

// apply sets the numbers that were given.
func (s *ethtoolCoalSet) apply(nic *nicoffload.Interface) error {
	c := nic.Coalesce()
	if s.RxUsecs != nil {
		c.RxUsecs = *s.RxUsecs
	}
	if s.RxFrames != nil {
		c.RxFrames = *s.RxFrames
	}
	return nic.SetCoalesce(c)
}

func (v *ethtoolView) printRings(b *strings.Builder) {
	r := v.Rings
	fmt.Fprintf(b, "Ring parameters for %s:\n", v.Name)
	for _, part := range []struct {
		title  string
		rx, tx int
	}{{"Pre-set maximums:", r.MaxRX, r.MaxTX}, {"Current hardware settings:", r.RX, r.TX}} {
		fmt.Fprintf(b, "%s\nRX:\t\t%d\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t%d\n", part.title, part.rx, part.tx)
	}
}

func (v *ethtoolView) printCoalesce(b *strings.Builder) {
	fmt.Fprintf(b, "Coalesce parameters for %s:\nAdaptive RX: n/a  TX: n/a\nrx-usecs:\t%d\nrx-frames:\t%d\n",
		v.Name, v.Coalesce.RxUsecs, v.Coalesce.RxFrames)
}
