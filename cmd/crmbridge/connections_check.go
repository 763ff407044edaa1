package main

import (
	"context"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type connectionsCheck struct {
	client
	connection
}

// Help shows an example.
func (c *connectionsCheck) Help() string {
	return `Each permission is tried for real. The exit status is 1 where one of them fails.

Example:
  crmbridge connections check acme`
}

// Run prints what was found; a check that failed makes the command fail.
func (c *connectionsCheck) Run(ctx context.Context, std *stdio) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		checks, err := ask.Check(ctx, c.Connection)
		if err != nil {
			return err
		}
		answer := struct {
			Connection string                     `json:"connection"`
			Checks     []messages.PermissionCheck `json:"checks"`
		}{c.Connection, checks}
		if err := c.print(std, answer, func() error { return printChecks(std, checks) }); err != nil {
			return err
		}
		return verdict(checks)
	})
}

// printChecks prints a table, and below it what failed in full: advice must not be cut.
func printChecks(std *stdio, checks []messages.PermissionCheck) error {
	rows := make([][]string, len(checks))
	for i, check := range checks {
		result := "ok"
		if !check.OK {
			result = "FAILED"
		}
		rows[i] = []string{check.Name, result, check.MissingPrivilege, check.Detail}
	}
	if err := term.Table(std.out, []string{"check", "result", "missing privilege", "detail"}, rows); err != nil {
		return err
	}
	for _, check := range checks {
		if check.OK {
			continue
		}
		pairs := [][2]string{{"", ""}, {"check", check.Name}}
		for _, pair := range [][2]string{{"detail", check.Detail}, {"missing privilege", check.MissingPrivilege}, {"how to fix", check.HowToFix}} {
			if pair[1] != "" {
				pairs = append(pairs, pair)
			}
		}
		if err := term.Pairs(std.out, pairs); err != nil {
			return err
		}
	}
	return nil
}

// verdict is the error that the first failure stands for: without a token or a
// privilege the rest follows.
func verdict(checks []messages.PermissionCheck) error {
	var failed []string
	code := messages.NotSupported
	for _, check := range checks {
		switch {
		case check.OK:
			continue
		case check.Name == messages.CheckToken:
			code = messages.ReauthorizationRequired
		case check.MissingPrivilege != "" && code == messages.NotSupported:
			code = messages.PermissionDenied
		}
		failed = append(failed, check.Name)
	}
	if len(failed) == 0 {
		return nil
	}
	return messages.Errorf(code, "%d of %d checks failed: %s", len(failed), len(checks), strings.Join(failed, ", "))
}
