package program

import (
	"strings"

	"github.com/alecthomas/kong"
)

// widestExample is how wide a line of an example is at most, which a help text puts four spaces
// before.
const widestExample = 76

// foldExamples folds the examples of all help texts, so that a terminal of 80 columns, or a narrow
// one of so many, does not break them, and a shell takes them as they stand there.
func foldExamples(columns int) func(*kong.Kong) error {
	f := folding{widestExample, false}
	if columns < leastColumns {
		f = folding{columns, true}
	}
	return func(k *kong.Kong) error {
		return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
			if app, ok := node.(*kong.Application); ok {
				app.Detail = f.folded(app.Detail)
			}
			if command, ok := node.(*kong.Node); ok {
				command.Detail = f.folded(command.Detail)
			}
			return next(nil)
		})
	}
}

// A folding is how lines are folded.
type folding struct {
	widest   int
	anywhere bool // between any two words, where there is no better place
}

// folded is a help text with its examples folded.
func (f folding) folded(help string) string {
	lines := strings.Split(help, "\n")
	examples := false
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "Example") && strings.HasSuffix(line, ":"):
			examples = true
		case line != "" && line[0] != ' ':
			examples = false
		case len(line) > f.widest && (examples || f.anywhere && strings.Contains(line, "crmbridge ")):
			lines[i] = f.fold(line)
		}
	}
	return strings.Join(lines, "\n")
}

// fold breaks a line for a shell before a flag and behind a pipe, in no quotes but those around a
// command's output. Where there is no such place the line stays.
func (f folding) fold(line string) string {
	const more = "    "
	between := 0
	for from := f.widest - len(` \`); from > len(more); from-- {
		switch open := unquoted(line[:from]); {
		case !open:
		case strings.HasPrefix(line[from:], "| "):
			return line[:from+1] + "\n" + f.deeper(more+line[from+2:])
		case strings.HasPrefix(line[from:], " --"), strings.HasPrefix(line[from:], ` "$(`):
			return line[:from] + ` \` + "\n" + f.deeper(more+line[from+1:])
		case f.anywhere && between == 0 && line[from] == ' ' && line[from-1] != ' ' && line[from:] != ` \`:
			between = from
		}
	}
	for from := max(f.widest-1, len(more)); f.anywhere && between == 0 && from < len(line); from++ { // behind what is in quotes
		if line[from] == ' ' && line[from:] != ` \` && unquoted(line[:from]) {
			between = from
		}
	}
	if between > 0 {
		return line[:between] + ` \` + "\n" + f.deeper(more+line[between+1:])
	}
	return line
}

func (f folding) deeper(line string) string {
	if len(line) > f.widest {
		return f.fold(line)
	}
	return line
}

// unquoted reports whether a shell that has read so much is in no quotes; what it runs for its output
// has quotes of its own.
func unquoted(text string) bool {
	single, double, outer := false, false, []bool(nil)
	for i := range len(text) {
		switch c := text[i]; {
		case single:
			single = c != '\''
		case c == '\'' && !double:
			single = true
		case c == '"':
			double = !double
		case c == '(' && i > 0 && text[i-1] == '$':
			outer, double = append(outer, double), false
		case c == ')' && !double && len(outer) > 0:
			double, outer = outer[len(outer)-1], outer[:len(outer)-1]
		}
	}
	return !single && !double
}
