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
	Tables []string `placeholder:"NAME" predictor:"tables" help:"Check these tables; by default those that the connection was made for."`
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
	var found []messages.PermissionCheck
	err := c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		check := func(ctx context.Context, in *messages.CheckRequest) (*messages.ChecksReply, error) {
			return messages.Ask[messages.ChecksReply](ctx, ask.client, messages.ConnectionsCheck, in)
		}
		reply, err := once(ctx, ask, check, &messages.CheckRequest{Target: c.target(), Tables: c.Tables})
		if err != nil {
			return err
		}
		found = reply.Checks
		return c.print(std, reply, func() error {
			var again *connectAgain
			if slices.ContainsFunc(found, func(p messages.PermissionCheck) bool {
				return strings.Contains(p.HowToFix, string(messages.ConnectionsAuthorize))
			}) {
				again = ask.again(ctx, c.Connection)
			}
			return printChecks(std, found, again)
		})
	})
	if err != nil {
		return err
	}
	return verdict(found)
}

// printChecks prints a table, and below it what failed: advice in full, and each reason once,
// since without a token, for example, all checks fail for one.
func printChecks(std *stdio, checks []messages.PermissionCheck, again *connectAgain) error {
	header := []string{"check", "result", "depth", "missing privilege", "detail"}
	rows := make([][]string, len(checks))
	var reasons []messages.PermissionCheck
	names := map[messages.PermissionCheck][]string{}
	for i, check := range checks {
		if check.OK {
			rows[i] = []string{check.Name, "ok", check.Depth, check.MissingPrivilege, check.Detail}
			continue
		}
		rows[i] = []string{check.Name, "FAILED", check.Depth, check.MissingPrivilege, ""}
		reason := messages.PermissionCheck{Detail: check.Detail, MissingPrivilege: check.MissingPrivilege,
			HowToFix: check.HowToFix}
		if names[reason] == nil {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], check.Name)
	}
	for column := len(header) - 1; column > 1; column-- { // what no check has is left out
		if slices.ContainsFunc(rows, func(row []string) bool { return row[column] != "" }) {
			continue
		}
		header = slices.Delete(header, column, column+1)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], column, column+1)
		}
	}
	if err := term.Table(std.out, header, rows); err != nil {
		return err
	}
	for _, reason := range reasons {
		what := "check"
		if len(names[reason]) > 1 {
			what = "checks"
		}
		pairs := [][2]string{{"", ""}, {what, strings.Join(names[reason], ", ")}}
		for _, pair := range [][2]string{
			{"detail", reason.Detail}, {"missing privilege", reason.MissingPrivilege}, {"how to fix", reason.HowToFix},
		} {
			if pair[1] != "" {
				pairs = append(pairs, [2]string{pair[0], strings.ReplaceAll(inCommands.Replace(pair[1]), "'crmbridge connect'",
					again.command())})
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
