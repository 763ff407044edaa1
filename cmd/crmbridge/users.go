package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type usersCommands struct {
	Get    usersGet    `cmd:"" help:"Show one user with the roles."`
	Whoami usersWhoAmI `cmd:"" help:"Show who the connection acts as."`
}

// Help shows examples.
func (c *usersCommands) Help() string {
	return `Examples:
  crmbridge users whoami demo
  crmbridge users get demo ada.lindqvist@contoso.example
`
}

type usersGet struct {
	client
	listed
	connection
	User string `arg:"" help:"Id (GUID), e-mail address or user name."`
}

// Help shows examples.
func (c *usersGet) Help() string {
	return `Examples:
  crmbridge users get demo ada.lindqvist@contoso.example
  crmbridge users get demo "$(crmbridge users whoami demo --json | jq -r .user_id)"
`
}

// Run prints one user.
func (c *usersGet) Run(ctx context.Context, std *stdio) error {
	in := messages.UserGetRequest{Target: c.target()}
	if uuid.Validate(c.User) == nil {
		in.UserID = c.User
	} else {
		in.Email = c.User
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		reply, err := ask.UserReply(ctx, in)
		switch {
		case err != nil:
			return err
		case c.JSONL:
			return term.JSONLine(std.out, reply.User)
		case c.CSV:
			return userCSV(std, &reply.User)
		}
		return c.print(std, reply, func() error { return printUser(std, &reply.User) })
	})
}

// userCSV has a line for each role and way by which the user has it, and one for a user without.
func userCSV(std *stdio, user *messages.User) error {
	var lines [][]csvCell
	for _, role := range append(user.Roles, messages.Role{}) {
		if role != (messages.Role{}) || len(lines) == 0 {
			lines = append(lines, csvTexts(user.ID, user.Name, user.Email, user.Title,
				strconv.FormatBool(user.Disabled), user.BusinessUnitID, role.ID, role.Name, role.Via))
		}
	}
	out := csvOutput{to: std, extra: []string{"id", "name", "email", "title", "disabled", "business_unit_id",
		"role_id", "role", "via"}}
	return errors.Join(out.lines(lines), sayTruncated(std, user))
}

// sayTruncated says on stderr that roles are missing.
func sayTruncated(std *stdio, user *messages.User) error {
	if !user.RolesTruncated {
		return nil
	}
	_, err := fmt.Fprintln(std.err, "The user is in more than 500 teams: roles of the others are missing.")
	return err
}

func printUser(std *stdio, user *messages.User) error {
	if err := term.Pairs(std.out, [][2]string{
		{"id", user.ID}, {"name", user.Name}, {"email", user.Email}, {"title", user.Title},
		{"disabled", strconv.FormatBool(user.Disabled)}, {"business unit", user.BusinessUnitID},
	}); err != nil {
		return err
	}
	rows := make([][]string, len(user.Roles))
	for i, role := range user.Roles {
		rows[i] = []string{role.Name, role.Via, role.ID}
	}
	if err := sayTruncated(std, user); err != nil {
		return err
	}
	return term.Table(std.out, []string{"role", "via", "id"}, rows)
}

type usersWhoAmI struct {
	client
	listed
	connection
}

// Help shows an example.
func (c *usersWhoAmI) Help() string {
	return "Example:\n  crmbridge users whoami demo\n"
}

// Run prints Dataverse's WhoAmI.
func (c *usersWhoAmI) Run(ctx context.Context, std *stdio) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		who, err := ask.WhoAmI(ctx, c.Connection)
		if err != nil {
			return err
		}
		switch {
		case c.JSONL:
			return term.JSONLine(std.out, who)
		case c.CSV:
			out := csvOutput{to: std, extra: []string{"user_id", "business_unit_id", "organization_id"}}
			return out.lines([][]csvCell{csvTexts(who.UserID, who.BusinessUnitID, who.OrganizationID)})
		}
		return c.print(std, who, func() error {
			return term.Pairs(std.out, [][2]string{
				{"user", who.UserID}, {"business unit", who.BusinessUnitID}, {"organization", who.OrganizationID}})
		})
	})
}
