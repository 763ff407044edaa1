// Package program is what the programs have in common: flags and environment
// variables by kong, an end in order on a signal, and exit statuses.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// Exit statuses. 0 is success.
const (
	ExitError = 1
	ExitUsage = 2 // wrong usage or configuration
)

// A Program is one program's command line.
type Program struct {
	Name        string
	Description string // one line of the help text
	// Commands points to a struct with flags and commands in kong's form. The Run method
	// of the chosen command, or of the struct itself where it has no commands, may take
	// a context.Context, which ends on SIGTERM and interrupt, a *Lasting, and what Bind
	// holds. A Validate method's error is one of usage.
	Commands any
	Bind     []any
	// Print prints an error of Run; nil prints the program's name and the error.
	Print func(stderr io.Writer, err error)
}

// Run runs the program and returns its exit status: ExitUsage for
// [bridge.ErrConfiguration], [bridge.ErrUsage] and arguments that do not parse,
// ExitError for other errors of the command.
func (p Program) Run(args []string, stdout, stderr io.Writer) (status int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	lasting := &Lasting{}
	if status := p.command(ctx, lasting, args, stdout, stderr); status != 0 || lasting.work == nil {
		return status
	}
	return p.status(lasting.work(ctx), stderr)
}

// Lasting is what a Run method may take to leave work that goes on for as long as the
// process: it is done after the method has returned, and what read the command line, most of
// a megabyte, is garbage by then.
type Lasting struct{ work func(context.Context) error }

// Do leaves the work.
func (l *Lasting) Do(work func(context.Context) error) { l.work = work }

// command reads the command line and calls what it names.
func (p Program) command(ctx context.Context, lasting *Lasting, args []string, stdout, stderr io.Writer) (status int) {
	exited := -1 // kong exits itself after --help
	var unprinted error
	parser, err := kong.New(p.Commands, kong.Name(p.Name), kong.Description(p.Description),
		kong.Writers(stdout, stderr), kong.Exit(func(status int) { exited = status }),
		kong.PostBuild(foldExamples(columnsOf(stdout))), kong.PostBuild(placeholders),
		kong.Help(func(options kong.HelpOptions, ctx *kong.Context) error {
			unprinted = printHelp(options, ctx)
			return unprinted
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitUsage
	}
	parsed, err := parser.Parse(joined(args))
	if exited >= 0 {
		return exited
	}
	if unprinted != nil {
		return p.status(unprinted, stderr)
	}
	if err != nil {
		p.printMisuse(stderr, err)
		return ExitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(p.Bind...)
	parsed.Bind(lasting)
	if err = parsed.Run(); errors.Is(err, bridge.ErrConfiguration) {
		err = asTyped(err, typed(parsed))
	}
	return p.status(err, stderr)
}

// printMisuse prints what is wrong with a command line, and where to read how it is right.
func (p Program) printMisuse(stderr io.Writer, err error) {
	text, command := err.Error(), p.Name
	if fault, ok := errors.AsType[*kong.ParseError](err); ok && fault.Context != nil {
		node := fault.Context.Model.Node
		if chosen := fault.Context.Selected(); chosen != nil {
			node = chosen
		}
		command = strings.Join(append([]string{p.Name}, names(node)...), " ")
		text = misuse(text, node)
	}
	if at := strings.Index(text, ": time: "); at > 0 { // what Go says of a duration
		text = text[:at] + "; right would be 30s, 5m or 1h30m"
	}
	// Where stderr takes nothing, there is nobody to tell.
	_ = term.Prose(stderr, 2, fmt.Sprintf("%v: %s", bridge.ErrUsage, text))
	_ = term.Prose(stderr, 2, fmt.Sprintf("  %s --help shows how it is used", command))
}

// IsFile reports whether an error is one of a file, or of what stands in a file's place: a full disk,
// a closed output.
func IsFile(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	return path || link
}

// names are the commands that lead to a node, from the program's on.
func names(node *kong.Node) []string {
	if node == nil || node.Parent == nil {
		return nil
	}
	return append(names(node.Parent), node.Name)
}

// status prints an error of a command and gives the exit status.
func (p Program) status(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	if p.Print != nil {
		p.Print(stderr, err)
	} else {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
	}
	if errors.Is(err, bridge.ErrConfiguration) || errors.Is(err, bridge.ErrUsage) {
		return ExitUsage
	}
	return ExitError
}
