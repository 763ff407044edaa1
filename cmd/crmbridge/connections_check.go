package main

import (
	"context"
	"slices"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type connectionsCheck struct {
	client
	connection
	Tables []string `placeholder:"NAME,…" predictor:"tables" help:"Check these tables; by default those that the connection was made for."`
}

// Help shows an example.
func (c *connectionsCheck) Help() string {
	return `Each permission is tried for real. The exit status is 1 where one of them fails. The depth says which
rows of a table the connection's user reads: ` + messages.DepthOrganization + ` (all), ` + messages.DepthDeep +
		` (the business unit's and those below it),
` + messages.DepthLocal + ` (the business unit's) or ` + messages.DepthBasic + ` (the user's own and those shared
with the user). Rows beyond it are in no answer.

Examples:
  crmbridge connections check demo
  crmbridge connections check demo --tables ` + strings.Join(messages.TableNames(messages.Tables()[:2]), ",") + `
`
}

// Run prints what was found; a check that failed makes the command fail.
func (c *connectionsCheck) Run(ctx context.Context, std *stdio) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		checks, err := ask.Check(ctx, messages.CheckRequest{Target: c.target(), Tables: c.Tables})
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
	// A crmbridge that reads nobody's depth leaves the column out.
	deep := slices.ContainsFunc(checks, func(check messages.PermissionCheck) bool { return check.Depth != "" })
	line := func(check, result, depth, missing, detail string) []string {
		if !deep {
			return []string{check, result, missing, detail}
		}
		return []string{check, result, depth, missing, detail}
	}
	rows := make([][]string, len(checks))
	for i, check := range checks {
		result := "ok"
		if !check.OK {
			result = "FAILED"
		}
		rows[i] = line(check.Name, result, check.Depth, check.MissingPrivilege, check.Detail)
	}
	if err := term.Table(std.out, line("check", "result", "depth", "missing privilege", "detail"), rows); err != nil {
		return err
	}
	for _, check := range checks {
		if check.OK {
			continue
		}
		pairs := [][2]string{{"", ""}, {"check", check.Name}}
		for _, pair := range [][2]string{
			{"detail", check.Detail}, {"missing privilege", check.MissingPrivilege}, {"how to fix", check.HowToFix},
		} {
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

// verdict is one error for all failures. Its code is that of the cause: without a token or a
// privilege the other checks fail too.
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
