package program

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// leastColumns is where kong's help, two columns side by side, has room for its texts.
const leastColumns = 60

// columnsOf is how wide a help text may be, as kong reckons it.
func columnsOf(to io.Writer) int {
	const usual = 80
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
		return columns
	}
	if columns := term.Columns(to); columns > 0 {
		return columns
	}
	return usual
}

// printHelp prints help as kong does, and on a narrow terminal each text below its name.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	columns := columnsOf(ctx.Stdout)
	if columns >= leastColumns {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	node := ctx.Selected()
	if node == nil {
		node = ctx.Model.Node
	}
	var n narrow
	n.columns = columns
	n.print(ctx.Model, node)
	_, err := io.WriteString(ctx.Stdout, n.out.String())
	return err
}

// A narrow is a help text for few columns.
type narrow struct {
	out     strings.Builder
	columns int
}

const (
	nameIndent = "  "
	textIndent = "      "
)

func (n *narrow) text(indent int, text string) {
	_ = term.ProseWithin(&n.out, n.columns, indent, text) // a builder takes everything
}

func (n *narrow) named(name, text string) {
	n.text(len(nameIndent), nameIndent+name)
	n.text(0, textIndent+text)
}

func (n *narrow) title(text string) { n.out.WriteString("\n" + text + "\n") }

func (n *narrow) print(app *kong.Application, node *kong.Node) {
	summary := app.Name + app.Summary()
	if node.Type == kong.CommandNode {
		summary = app.Name + " " + node.Summary()
	}
	n.text(len(nameIndent), "Usage: "+summary)
	if node.Help != "" {
		n.title(strings.TrimSpace(n.wrapped(node.Help)))
	}
	if node.Detail != "" {
		n.out.WriteByte('\n')
		n.detail(strings.TrimSpace(node.Detail))
	}
	if len(node.Positional) > 0 {
		n.title("Arguments:")
	}
	for _, argument := range node.Positional {
		n.named(argument.Summary(), kong.DefaultHelpValueFormatter(argument))
	}
	n.flags(node)
	if leaves := node.Leaves(true); len(leaves) > 0 {
		n.title("Commands:")
		for _, leaf := range leaves {
			n.named(leaf.Path(), leaf.Help)
		}
	}
	if node.Type == kong.ApplicationNode && len(node.Children) > 0 {
		n.out.WriteByte('\n')
		n.text(0, fmt.Sprintf("Run \"%s <command> --help\" for more information on a command.", app.Name))
	}
}

func (n *narrow) wrapped(text string) string {
	var inner narrow
	inner.columns = n.columns
	inner.text(0, text)
	return inner.out.String()
}

// flags are in groups, those without one first.
func (n *narrow) flags(node *kong.Node) {
	var titles []string
	groups := map[string][]*kong.Flag{}
	for _, level := range node.AllFlags(true) {
		for _, flag := range level {
			title := "Flags:"
			if flag.Group != nil {
				title = flag.Group.Title
			}
			if groups[title] == nil && title != "Flags:" {
				titles = append(titles, title)
			}
			groups[title] = append(groups[title], flag)
		}
	}
	for _, title := range append([]string{"Flags:"}, titles...) {
		if len(groups[title]) == 0 {
			continue
		}
		n.title(title)
		for _, flag := range groups[title] {
			name := "--" + flag.Name
			if flag.Short != 0 {
				name = "-" + string(flag.Short) + ", " + name
			}
			if !flag.IsBool() && !flag.IsCounter() {
				name += "=" + flag.FormatPlaceHolder()
			}
			n.named(name, kong.DefaultHelpValueFormatter(flag.Value))
		}
	}
}

// beside is a line of two columns.
var beside = regexp.MustCompile(`^ +(\S.*?) {2,}(\S.*)$`)

// detail prints paragraphs, and lines that begin with a blank each by itself: commands as a shell
// takes them, which have been folded.
func (n *narrow) detail(text string) {
	var paragraph []string
	end := func() {
		if len(paragraph) > 0 {
			n.text(0, strings.Join(paragraph, " "))
		}
		paragraph = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' {
			paragraph = append(paragraph, line)
			continue
		}
		end()
		columns := beside.FindStringSubmatch(line)
		switch {
		case term.Width(line) <= n.columns, columns == nil && typedLine.MatchString(line):
			n.out.WriteString(line + "\n")
		case columns != nil:
			n.named(columns[1], columns[2])
		default:
			n.text(len(nameIndent), line)
		}
	}
	end()
}

// typedLine is a line, or the end of one, that is typed into a shell.
var typedLine = regexp.MustCompile(`^ +(--|>|crmbridge |HEALTHCHECK )|['"$|\\]| ~/`)
