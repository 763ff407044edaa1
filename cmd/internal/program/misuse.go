package program

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/messages"
)

// negative is a number that kong takes for short flags.
var negative = regexp.MustCompile(`^-[0-9.]`)

// joined are arguments with a number below zero joined to the flag before it, so that the flag says
// what is wrong with it.
func joined(args []string) []string {
	var out []string
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if last := len(out) - 1; last >= 0 && negative.MatchString(arg) && strings.HasPrefix(out[last], "--") &&
			!strings.Contains(out[last], "=") {
			out[last] += "=" + arg
			continue
		}
		out = append(out, arg)
	}
	return out
}

var (
	unknownFlag  = regexp.MustCompile(`^unknown flag (-[^,\s]+)`)
	valueMissing = regexp.MustCompile(`^(--\S+): expected .* (but got ".*" ` +
		`\((long |short )?(flag( with combined value)?|<EOL>)\)|; perhaps try .*)`)
	unexpected = regexp.MustCompile(`^unexpected argument (.+?)(, did you mean .*)?$`)
)

// misuse is kong's error in our words: what is said to be meant is near to what was typed, and what
// is to be tried would be taken.
func misuse(text string, node *kong.Node) string {
	// kong puts the command before what a Validate method finds.
	text = strings.TrimPrefix(text, strings.Join(names(node), " ")+": ")
	children := commandsOf(node)
	if found := valueMissing.FindStringSubmatch(text); found != nil {
		return found[1] + ": its value is missing"
	}
	if found := unknownFlag.FindStringSubmatch(text); found != nil {
		return "there is no flag " + found[1] + meant(found[1], flagsOf(node))
	}
	if found := unexpected.FindStringSubmatch(text); found != nil && len(children) > 0 {
		return "there is no command " + found[1] + meant(found[1], children)
	}
	if strings.HasPrefix(text, "expected one of ") || len(children) == 1 && text == `expected "`+children[0]+`"` {
		return "a command is missing: " + strings.Join(children, ", ")
	}
	return text
}

// meant names what is near to a name, in the spelling of a flag or of a command; "" for nothing.
func meant(name string, known []string) string {
	bare := strings.TrimLeft(name, "-")
	if len(bare) < 2 { // nothing is far from one letter
		return ""
	}
	const most = 3
	if near := messages.Nearest(bare, known, most); len(near) > 0 {
		dashes := ""
		if bare != name {
			dashes = "--"
		}
		return "; did you mean " + dashes + strings.Join(near, " or "+dashes) + "?"
	}
	return ""
}

// flagsOf are the flags that a command takes.
func flagsOf(node *kong.Node) []string {
	var all []string
	if node != nil {
		for _, level := range node.AllFlags(true) {
			for _, flag := range level {
				all = append(all, flag.Name)
			}
		}
		if version := "version"; node.Parent == nil && slices.Contains(commandsOf(node), version) {
			all = append(all, version) // a flag by itself
		}
	}
	return all
}

// commandsOf are the commands below one.
func commandsOf(node *kong.Node) []string {
	var all []string
	if node != nil {
		for _, child := range node.Children {
			if !child.Hidden && child.Type == kong.CommandNode {
				all = append(all, child.Name)
			}
		}
	}
	return all
}

// typed are the flags that were typed and have a variable, by that.
func typed(parsed *kong.Context) map[string]string {
	flags := map[string]string{}
	for _, step := range parsed.Path {
		if step.Flag != nil && !step.Resolved {
			for _, variable := range step.Flag.Envs {
				flags[variable] = "--" + step.Flag.Name
			}
		}
	}
	return flags
}

// A typedError is one of the configuration, with the flags that were typed in place of their variables.
type typedError struct {
	error
	text string
}

func (e *typedError) Error() string { return e.text }
func (e *typedError) Unwrap() error { return e.error }

// asTyped is err with the flag in the place of a variable that a line begins with, where the flag was
// typed.
func asTyped(err error, flags map[string]string) error {
	lines := strings.Split(err.Error(), "\n")
	before := slices.Clone(lines)
	for i, line := range lines {
		if variable, rest, found := strings.Cut(line, ": "); found && flags[variable] != "" {
			lines[i] = flags[variable] + ": " + rest
		}
	}
	if slices.Equal(lines, before) {
		return err
	}
	return &typedError{err, strings.Join(lines, "\n")}
}

// placeholders names the kind of a value where its default would stand beside a text that tells it.
func placeholders(k *kong.Kong) error {
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		flag, ok := node.(*kong.Flag)
		if !ok || flag.PlaceHolder != "" || !flag.HasDefault || !strings.Contains(flag.Help, "${default}") {
			return next(nil)
		}
		switch flag.Target.Interface().(type) {
		case time.Duration:
			flag.PlaceHolder = "DURATION"
		case int, float64, uint64:
			flag.PlaceHolder = "N"
		default:
			flag.PlaceHolder = strings.ToUpper(flag.Name[strings.LastIndexByte(flag.Name, '-')+1:])
		}
		return next(nil)
	})
}
