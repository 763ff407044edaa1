package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

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
	if strings.Contains(c.User, "@") {
		in.Email = c.User
	} else {
		in.UserID = c.User
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		user, err := ask.User(ctx, in)
		if err != nil {
			return err
		}
		return c.print(std, map[string]any{"user": user}, func() error { return printUser(std, user) })
	})
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
	if user.RolesTruncated {
		const more = "The user is in more than 500 teams: roles of the others are missing."
		if _, err := fmt.Fprintln(std.err, more); err != nil {
			return err
		}
	}
	return term.Table(std.out, []string{"role", "via", "id"}, rows)
}

type usersWhoAmI struct {
	client
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
		return c.print(std, who, func() error {
			return term.Pairs(std.out, [][2]string{
				{"user", who.UserID}, {"business unit", who.BusinessUnitID}, {"organization", who.OrganizationID}})
		})
	})
}
