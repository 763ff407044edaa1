// Command crmbridge answers requests for data in Dynamics 365 environments over
// NATS (serve), and asks for it like any requester (the other commands).
//
// Exit status: 0 for success, 1 for an error, whose code is the first word on
// stderr ("file" where this machine's disk is at fault), 2 for wrong usage or
// configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// commands are the program's commands, in the order of the help text.
type commands struct {
	serving
	Connect      connectCommand      `cmd:"" help:"Connect an environment: print and open the page where a person signs in."`
	Connections  connectionsCommands `cmd:"" help:"List, show, check and delete connections."`
	kong.Plugins                     // one group for each table
	Users        usersCommands       `cmd:"" help:"Show users."`
	Jobs         jobsCommands        `cmd:"" help:"List, show, cancel, retry and delete jobs."`
	Events       eventsCommands      `cmd:"" help:"Watch what happens to connections."`
	Status       statusCommand       `cmd:"" help:"Show the processes that run, blocked users, and jobs that wait."`
	Doctor       doctorCommand       `cmd:"" help:"Look for what is wrong with a set-up, and say what mends it."`
	Schema       schemaCommand       `cmd:"" help:"Print the contract: JSON Schemas of bodies, or an AsyncAPI document."`
	Keys         keysCommands        `cmd:"" help:"Make, rotate and remove keys for encryption at rest."`
	checking
	Completion completionCommand `cmd:"" help:"Print the script by which a shell completes command lines."`
	Topics     helpCommand       `cmd:"" name:"help" help:"Read about connecting, filters, errors or keys."`
	Version    versionCommand    `cmd:"" help:"Print the version; so does crmbridge --version."`
}

// serving and checking are the commands that orchestrators start, each by itself.
type (
	serving struct {
		Serve serveCommand `cmd:"" help:"Answer requests over NATS until SIGTERM."`
	}
	checking struct {
		Healthcheck healthcheckCommand `cmd:"" help:"Ask a crmbridge on this machine whether it is ready."`
	}
)

// Help shows what to begin with.
func (c *commands) Help() string {
	return `Examples, with crmbridge-dev running:
  crmbridge accounts search demo --limit 10
  crmbridge help connecting
`
}

func newCommands() *commands { return &commands{Plugins: tableGroups(messages.Tables())} }

// grammar is what arguments are read by: of the commands that orchestrators start their own part
// alone, since reading all others from struct tags takes longer than what such a command does
// before it has an answer.
func grammar(args []string) any {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return &serving{}
		case "healthcheck":
			return &checking{}
		}
	}
	return newCommands()
}

// subjects are what crmbridge can be asked about.
func subjects() string {
	return strings.Join(messages.TableNames(messages.Tables()), ", ") + " and users"
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	if line, ok := typedLine(args); ok {
		return line.complete(stdout)
	}
	args = usual(args)
	return programOf(grammar(args), stdout, stderr).Run(args, stdout, stderr)
}

func programOf(commands any, stdout, stderr io.Writer) program.Program {
	return program.Program{Name: "crmbridge",
		Description: "crmbridge answers questions about " + subjects() + " in Dynamics 365 (Dataverse) over NATS.",
		Commands:    commands, Bind: []any{newStdio(stdout, stderr)}, Print: printError,
	}
}

// connection is the argument of every command that asks about one connection.
type connection struct {
	Connection string `arg:"" predictor:"connection" help:"Id of the connection."`
}

// target is the connection as requests name it.
func (c connection) target() messages.Target { return messages.Target{Connection: c.Connection} }

// printError prints an error with its code first.
func printError(stderr io.Writer, err error) {
	var coded *messages.Error
	switch {
	case errors.Is(err, bridge.ErrConfiguration), errors.Is(err, bridge.ErrUsage):
		_ = term.Prose(stderr, 2, err.Error()) // where stderr takes nothing, there is nobody to tell
		printCaret(stderr, err)
	case errors.As(err, &coded):
		printSpoken(stderr, err, coded)
	case errors.Is(err, errUnwell): // it has been printed
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "interrupted")
	case program.IsFile(err): // of this machine: a code would be a fault of crmbridge or Dataverse
		_ = term.Prose(stderr, 2, fmt.Sprintf("file: %v", err))
	default:
		printUnavailable(stderr, err)
	}
}

// printUnavailable prints an error of the network, without the words of the library that met it.
func printUnavailable(stderr io.Writer, err error) {
	text, mend := err.Error(), ""
	name, unknown := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, nats.ErrNoServers):
		text = strings.Replace(text, nats.ErrNoServers.Error(), "no NATS server answers there", 1)
		mend = "  is it running? --nats-url, NATS_URL or --context name another"
	case errors.Is(err, nats.ErrAuthorization):
		if at := strings.LastIndex(strings.ToLower(text), nats.ErrAuthorization.Error()); at >= 0 { // as the server spells it
			text = text[:at] + "it does not take this user (Authorization Violation)"
		}
		mend = "  user and password stand in the URL, or are those of --nats-creds or of the --context"
	case unknown && name.IsNotFound:
		text = strings.Replace(text, name.Error(), "there is no host "+name.Name, 1)
		text = strings.Replace(text, "dial tcp: ", "", 1)
		mend = "  --nats-url, NATS_URL or --context name another"
	}
	_ = term.Prose(stderr, 2, fmt.Sprintf("%s: %s", messages.Unavailable, text))
	if mend != "" {
		_ = term.Prose(stderr, 2, mend)
	}
}

// printCaret shows which part of what a person wrote an error is about.
func printCaret(stderr io.Writer, err error) {
	if at, ok := errors.AsType[*spotted](err); ok && strings.TrimSpace(at.text) != "" {
		_ = term.Caret(stderr, at.text, at.offset, at.length) // where stderr takes nothing, there is nobody to tell
	}
}
