package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// doctorCommand looks for what is wrong with a set-up.
type doctorCommand struct {
	bridge.Settings
	bridge.Asker
	JSON       bool   `name:"json" help:"Print the findings as JSON."`
	Connection string `arg:"" optional:"" predictor:"connection" help:"Id of a connection that is checked besides."`
}

// Help shows examples.
func (c *doctorCommand) Help() string {
	return `Run it with the settings of serve: it looks at them, at Redis, the key set, Entra ID, the clock, NATS,
PUBLIC_URL and the processes that run, and changes nothing. Each line begins with ✓, with ! for what works
and should be looked at, with ✗ for what is wrong, or with - for what could not be looked at because of
another line; below ! and ✗ stands what mends it. The exit status is 1 where something is wrong.

As serve does, it passes over NATS_CONTEXT and the context that the nats CLI has selected. A context is
taken for the user who asks the processes that run, by --ask-nats-context.

Examples:
  crmbridge doctor
  crmbridge doctor demo
  crmbridge doctor demo --ask-nats-url nats://operator:PASSWORD@127.0.0.1:4222 \
    --ask-nats-inbox-prefix _INBOX.operator
  crmbridge doctor --json | jq -r '.checks[] | select(.result == "failed").check'
`
}

// diagnosis is the answer as JSON.
type diagnosis struct {
	OK     bool             `json:"ok"`
	Checks []bridge.Finding `json:"checks"`
}

var marks = map[bridge.Result]string{
	bridge.Passed: "✓", bridge.Warned: "!", bridge.Failed: "✗", bridge.Skipped: "-",
}

// errUnwell ends the command where something is wrong, which has been printed.
var errUnwell = errors.New("something is wrong")

// Run prints each finding as it is found.
func (c *doctorCommand) Run(ctx context.Context, std *stdio) error {
	bridge.QuietRedis(slog.New(slog.DiscardHandler)) // it would tell of what is a finding
	found := diagnosis{Checks: []bridge.Finding{}}
	doctor := bridge.Doctor{Settings: c.Settings, Asker: c.Asker, Connection: c.Connection}
	var unprinted error
	doctor.Say = func(f bridge.Finding) {
		found.Checks = append(found.Checks, f)
		if !c.JSON && unprinted == nil {
			unprinted = printFinding(std, f)
		}
	}
	found.OK = doctor.Run(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if unprinted != nil {
		return unprinted
	}
	if c.JSON {
		if err := term.JSON(std.out, found); err != nil {
			return err
		}
	}
	if !found.OK {
		return errUnwell
	}
	return nil
}

const doctorIndent = 6 // below what mends it

func printFinding(std *stdio, f bridge.Finding) error {
	line := marks[f.Result] + " " + f.Check
	if f.Detail != "" {
		line += ": " + inCommands.Replace(term.Safe(f.Detail))
	}
	err := term.Prose(std.out, doctorIndent, line)
	if err == nil && f.Remedy != "" {
		err = term.Prose(std.out, 0, "    "+inCommands.Replace(term.Safe(f.Remedy)))
	}
	return err
}
