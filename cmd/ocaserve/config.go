package main

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// configFile resolves flags from a TOML document. Precedence: argument, variable, file, default.
type configFile struct {
	name   string
	values map[string]any
}

// readConfig loads the file that --config or OCASERVE_CONFIG names, once both are known.
func readConfig(ctx *kong.Context) error {
	for _, flag := range ctx.Model.Flags {
		name, _ := ctx.FlagValue(flag).(string)
		if flag.Name != "config" || name == "" {
			continue
		}
		c := configFile{name: name, values: map[string]any{}}
		if _, err := toml.DecodeFile(name, &c.values); err != nil {
			return fmt.Errorf("--config %s: %w", name, err)
		}
		if err := c.Validate(ctx.Model); err != nil {
			return err
		}
		ctx.AddResolver(&c)
	}
	return nil
}

// Validate reports the first key, in order, that no flag answers to: a typing error must not pass for a
// setting.
func (c *configFile) Validate(app *kong.Application) error {
	return c.check("", c.values, app.Node, true)
}

// check walks one table: at the top, keys may be flags of any command; in a command's table only its own.
func (c *configFile) check(prefix string, table map[string]any, node *kong.Node, top bool) error {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if sub, ok := table[key].(map[string]any); ok {
			child := childNamed(node, key)
			if child == nil {
				return fmt.Errorf("--config %s: no command is called %q; remove the table [%s]", c.name, key, prefix+key)
			}
			if err := c.check(prefix+key+".", sub, child, false); err != nil {
				return err
			}
			continue
		}
		if names := flagNames(node, top); !slices.Contains(names, key) || key == "config" || key == "help" {
			return fmt.Errorf("--config %s: unknown key %q; known: %s", c.name, prefix+key, strings.Join(names, ", "))
		}
	}
	return nil
}

func childNamed(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flagNames are the flags of a command, with those of the commands below it if deep.
func flagNames(node *kong.Node, deep bool) []string {
	var names []string
	for _, f := range node.Flags {
		if f.Name != "help" && f.Name != "config" && len(f.Envs) > 0 {
			names = append(names, f.Name)
		}
	}
	if deep {
		for _, child := range node.Children {
			names = append(names, flagNames(child, true)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Resolve looks into the table of the running command first, then at the top.
func (c *configFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if len(flag.Envs) == 0 {
		return nil, nil // an order, not a setting
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil // kong would let the file win; a variable is nearer to the user
		}
	}
	table := c.values
	value := table[flag.Name]
	for _, name := range strings.Fields(ctx.Command()) {
		sub, ok := table[name].(map[string]any)
		if !ok {
			break
		}
		if v, set := sub[flag.Name]; set {
			value = v
		}
		table = sub
	}
	value = scalar(value)
	return value, c.try(flag, value)
}

// try parses a value aside: kong's own complaint would not say that it comes from the file.
func (c *configFile) try(flag *kong.Flag, value any) error {
	if value == nil {
		return nil
	}
	aside := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), aside); err != nil {
		return fmt.Errorf("--config %s: %s", c.name, strings.TrimPrefix(err.Error(), "--"+flag.Name+": "))
	}
	return nil
}

// scalar turns TOML's numbers into text, so that `https = 443` and `https = "443"` mean the same.
func scalar(v any) any {
	switch v := v.(type) {
	case int64, float64:
		return fmt.Sprint(v)
	default:
		return v
	}
}
