package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type connectionsCommands struct {
	List   connectionsList   `cmd:"" help:"List connections."`
	Get    connectionsGet    `cmd:"" help:"Show one connection."`
	Check  connectionsCheck  `cmd:"" help:"Try each permission that crmbridge needs."`
	Limits connectionsLimits `cmd:"" help:"Show how much of Dataverse's limits the connection's user uses."`
	Delete connectionsDelete `cmd:"" help:"Delete a connection and everything stored for it."`
}

// Help shows examples.
func (c *connectionsCommands) Help() string {
	return `Examples:
  crmbridge connections list
  crmbridge connections check demo
`
}

type connectionsList struct {
	client
	shown
	PageSize count `name:"page-size" default:"100" placeholder:"N" help:"Connections per request: ${default}."`
}

// Help shows examples.
func (c *connectionsList) Help() string {
	return `With --json there is a document for each page.

Examples:
  crmbridge connections list
  crmbridge connections list --json |
    jq -r '.connections[] | select(.status != "active").id'
`
}

// Run prints all connections; as JSON a document for each page.
func (c *connectionsList) Run(ctx context.Context, std *stdio) error {
	std.utc = c.UTC
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		var all []messages.Connection
		in := messages.ConnectionsListRequest{PageSize: messages.Count(c.PageSize)}
		for range mostPages {
			page, err := once(ctx, ask, ask.client.Connections, in)
			if err != nil {
				return err
			}
			if c.JSON {
				err = term.JSON(std.out, page)
			} else {
				all = append(all, page.Connections...)
			}
			switch {
			case err != nil, c.JSON && page.NextCursor == "":
				return err
			case page.NextCursor == "":
				return showConnections(std, all)
			case page.NextCursor == in.Cursor:
				return errNoProgress()
			}
			in.Cursor = page.NextCursor
		}
		return errNoProgress()
	})
}

// showConnections prints a table, and below it why records cannot be read.
func showConnections(std *stdio, connections []messages.Connection) error {
	rows := make([][]string, len(connections))
	for i, c := range connections {
		rows[i] = []string{c.ID, c.Status, c.EnvironmentURL, c.Grant, strings.Join(c.Tables, ", "),
			std.when(&c.CreatedAt), std.when(c.RefreshedAt)}
	}
	header := []string{"connection", "status", "environment", "grant", "tables", "created", "refreshed"}
	if err := term.Table(std.out, header, rows); err != nil {
		return err
	}
	for _, c := range connections {
		if c.Status != messages.StatusUnreadable {
			continue
		}
		if err := term.Prose(std.out, 2, c.ID+": "+c.LastError); err != nil {
			return err
		}
	}
	return nil
}

type connectionsGet struct {
	client
	shown
	connection
}

// Help shows examples.
func (c *connectionsGet) Help() string {
	return `Examples:
  crmbridge connections get demo
  crmbridge connections get demo --json | jq -r .connection.status
`
}

// Run prints one connection.
func (c *connectionsGet) Run(ctx context.Context, std *stdio) error {
	std.utc = c.UTC
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		reply, err := messages.Ask[messages.ConnectionGetReply](ctx, ask, messages.ConnectionsGet,
			&messages.ConnectionGetRequest{Target: c.target()})
		if err != nil {
			return err
		}
		return c.print(std, reply, func() error { return printConnection(std, &reply.Connection) })
	})
}

func printConnection(std *stdio, c *messages.Connection) error {
	return term.Pairs(std.out, append([][2]string{
		{"connection", c.ID}, {"status", c.Status}, {"environment", c.EnvironmentURL}, {"tenant", c.TenantID},
		{"grant", c.Grant}, {"user", called(c.UserID, c.UserFullName, c.UserName)},
		{"organization", called(c.OrganizationID, c.OrganizationName)},
		{"scopes", strings.Join(c.Scopes, " ")}, {"tables", strings.Join(c.Tables, ", ")},
		{"created", std.when(&c.CreatedAt)},
		{"refreshed", std.when(c.RefreshedAt)}, {"access token until", std.when(c.AccessTokenExpiresAt)},
	}, onlyIf("last error", c.LastError)...))
}

// onlyIf is a pair where there is a value, and none otherwise.
func onlyIf(name, value string) [][2]string {
	if value == "" {
		return nil
	}
	return [][2]string{{name, value}}
}

// called is an id with the names that are known.
func called(id string, names ...*string) string {
	for _, name := range names {
		if name != nil {
			id += "  " + *name
		}
	}
	return id
}

type connectionsDelete struct {
	client
	connection
	Yes bool `name:"yes" short:"y" help:"Do not ask first. Where nobody can be asked nothing is deleted without it."`
}

// Help shows examples.
func (c *connectionsDelete) Help() string {
	return `What is deleted is what crmbridge stores: tokens, jobs and their results. In Dataverse nothing changes.

Examples:
  crmbridge connections delete demo
  crmbridge connections delete demo --yes --json
`
}

// Run deletes one connection. It asks first: a person would have to connect the
// environment again.
func (c *connectionsDelete) Run(ctx context.Context, std *stdio) error {
	question := "Delete connection " + c.Connection + " and everything stored for it? " +
		"A person must connect it again to undo this."
	if !c.Yes {
		if err := std.agrees(question); err != nil {
			return err
		}
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		reply, err := messages.Ask[messages.DeletedReply](ctx, ask, messages.ConnectionsDelete,
			&messages.ConnectionRequest{Target: c.target()})
		if err != nil {
			return err
		}
		return c.print(std, reply, func() error {
			said := "%s is deleted\n"
			if !reply.Deleted {
				said = "there was no connection %s, and so nothing was deleted\n"
			}
			_, err := fmt.Fprintf(std.out, said, c.Connection)
			return err
		})
	})
}
