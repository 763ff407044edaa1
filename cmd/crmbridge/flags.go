package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// names are columns: separated by commas, or in several flags.
type names []string

// Decode reads one flag.
func (n *names) Decode(ctx *kong.DecodeContext) error {
	return n.read(ctx, func(name string) (string, error) { return name, nil })
}

// orders are columns to sort by. Beside what goes over the wire, -revenue, people may write
// "revenue desc", and "revenue asc" for what is the default.
type orders []string

// Decode reads one flag.
func (o *orders) Decode(ctx *kong.DecodeContext) error {
	return (*names)(o).read(ctx, func(name string) (string, error) {
		column, direction, more := strings.Cut(name, " ")
		switch direction = strings.ToLower(strings.TrimSpace(direction)); {
		case !more, direction == "asc" && !strings.HasPrefix(column, "-"):
			return column, nil
		case direction == "desc" && !strings.HasPrefix(column, "-"):
			return "-" + column, nil
		}
		return "", fmt.Errorf("%q is no order; write -NAME or NAME desc for the largest first, NAME otherwise", name)
	})
}

// read reads the names of one flag, each as one is read.
func (n *names) read(ctx *kong.DecodeContext, one func(string) (string, error)) error {
	var text string
	if err := ctx.Scan.PopValueInto("name", &text); err != nil {
		return err
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return errors.New("a name is missing; separate names by single commas")
		}
		read, err := one(name)
		if err != nil {
			return err
		}
		*n = append(*n, read)
	}
	return nil
}

// count is a number of rows that is given; 0 where it is not.
type count int

// UnmarshalText reads what the wire takes, too: a whole number from 1 on.
func (c *count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a whole number from 1 on", text)
	}
	*c = count(n)
	return nil
}

// split is how many rows a file has at most; 0 for all.
type split int64

// UnmarshalText reads a whole number from 1 on.
func (s *split) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a whole number of rows from 1 on", text)
	}
	*s = split(n)
	return nil
}

// usual are arguments as kong takes them: no arguments ask for help, --version is the command, help
// for a command is that of its flag, and a value of --order-by may begin with a hyphen, as the
// largest first is written.
func usual(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	case len(args) == 2 && args[0] == "help" && isTopic(args[1]): // keys are a topic, too
	case len(args) > 1 && args[0] == "help" && isCommand(args[1:]):
		return append(slices.Clone(args[1:]), "--help")
	}
	args = slices.Clone(args)
	for i := 0; i+1 < len(args) && args[i] != "--"; i++ {
		value := args[i+1]
		if args[i] == "--order-by" && len(value) > 1 && value[0] == '-' && value[1] != '-' {
			args = slices.Replace(args, i, i+2, "--order-by="+value)
		}
	}
	return args
}

// patience is how long a command goes on; 0 for as long as it takes, which is not given but left out.
type patience time.Duration

// UnmarshalText reads what is longer than nothing.
func (p *patience) UnmarshalText(text []byte) error {
	long, err := time.ParseDuration(string(text))
	if err != nil { // as kong says it of other durations
		return fmt.Errorf("expected duration but got %q: %w", text, err)
	}
	if long <= 0 {
		return fmt.Errorf("%q is not longer than nothing, as 30s or 5m is", text)
	}
	*p = patience(long)
	return nil
}
