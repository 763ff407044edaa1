// Command crmbridge answers requests for data in Dynamics 365 environments over
// NATS (serve), and asks for it like any requester (the other commands).
//
// Exit status: 0 for success, 1 for an error, whose code is the first word on
// stderr, 2 for wrong usage or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// Exit statuses.
const (
	exitError = 1
	exitUsage = 2
)

// commands are the program's commands, in the order of the help text.
type commands struct {
	Serve       serveCommand        `cmd:"" help:"Answer requests over NATS until SIGTERM."`
	Connect     connectCommand      `cmd:"" help:"Connect an environment: print and open the page where a person signs in."`
	Connections connectionsCommands `cmd:"" help:"List, show, check and delete connections."`
	Accounts    accountsCommands    `cmd:"" help:"Search, count and show accounts, their fields and what changed."`
	Users       usersCommands       `cmd:"" help:"Show users."`
	Keys        keysCommands        `cmd:"" help:"Make, rotate and remove keys for encryption at rest."`
	Healthcheck healthcheckCommand  `cmd:"" help:"Ask a crmbridge on this machine whether it is ready."`
	Version     versionCommand      `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli, kong.Name("crmbridge"),
		kong.Description("crmbridge answers questions about accounts and users in Dynamics 365 (Dataverse) over NATS."),
		kong.Writers(stdout, stderr), kong.Exit(func(status int) { exited = status }),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		fmt.Fprintln(stderr, "crmbridge:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		parser.Errorf("%s", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(newStdio(stdout, stderr))
	return report(stderr, parsed.Run())
}

// report prints an error with its code first, and gives the exit status.
func report(stderr io.Writer, err error) int {
	var fault *messages.Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, bridge.ErrConfiguration), errors.Is(err, bridge.ErrUsage):
		fmt.Fprintln(stderr, err)
		reportSpot(stderr, err)
		return exitUsage
	case errors.As(err, &fault):
		fmt.Fprintln(stderr, term.Safe(err.Error()))
		reportSpot(stderr, err)
		for _, detail := range fault.Details {
			if len(fault.Details) > 1 {
				fmt.Fprintf(stderr, "  %s: %s\n", term.Safe(detail.Path), term.Safe(detail.Message))
			}
		}
		if fault.RetryAfterMS > 0 {
			fmt.Fprintf(stderr, "  try again after %s\n", fault.RetryAfter())
		}
		if fault.AdminConsentURL != "" {
			fmt.Fprintf(stderr, "  an administrator consents at %s\n", term.Safe(fault.AdminConsentURL))
		}
		return exitError
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "interrupted")
		return exitError
	default:
		fmt.Fprintf(stderr, "%s: %v\n", messages.Unavailable, err)
		return exitError
	}
}

// reportSpot shows which part of what a person wrote an error is about.
func reportSpot(stderr io.Writer, err error) {
	if at, ok := errors.AsType[*spotted](err); ok {
		_ = term.Caret(stderr, at.text, at.offset, at.length) // where stderr takes nothing, there is nobody to tell
	}
}
