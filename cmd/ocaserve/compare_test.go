package main

import (
	"testing"

	"ocaserve/ktls"
)

// --max-rexmit reaches the comparison and the server, as a share of 1.
func TestMaxRexmitFlag(t *testing.T) {
	for text, want := range map[string]float64{"": ktls.DefaultMaxRexmit, "100%": 1, "0.05": 0.05} {
		args := []string{"compare"}
		if text != "" {
			args = append(args, "--max-rexmit", text)
		}
		cmd, _, err := parse(args, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := cmd.(*compareFlags).options(); err != nil || o.MaxRexmit != want {
			t.Errorf("compare, %q: %v, %v", text, o.MaxRexmit, err)
		}
		args[0] = "serve"
		if cmd, _, err = parse(append(args, t.TempDir()), nil, nil); err != nil {
			t.Fatal(err)
		}
		if o, err := cmd.(*serveFlags).options(); err != nil || float64(o.link.MaxRexmit) != want {
			t.Errorf("serve, %q: %v, %v", text, o.link.MaxRexmit, err)
		}
	}
	for _, text := range []string{"0%", "101%", "x"} {
		if _, _, err := parse([]string{"compare", "--max-rexmit", text}, nil, nil); err == nil {
			t.Errorf("%q passes", text)
		}
	}
}
