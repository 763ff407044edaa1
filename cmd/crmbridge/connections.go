package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/show"
	"github.com/crmbridge/crmbridge/messages"
)

type connectionsCommands struct {
	List   connectionsList   `cmd:"" help:"List connections."`
	Get    connectionsGet    `cmd:"" help:"Show one connection."`
	Check  connectionsCheck  `cmd:"" help:"Try each permission that crmbridge needs."`
	Delete connectionsDelete `cmd:"" help:"Delete a connection and everything stored for it."`
}

type connectionsList struct {
	client
	PageSize int `name:"page-size" default:"100" help:"Connections per request: ${default}."`
}

// Run prints all connections, page by page.
func (c *connectionsList) Run(ctx context.Context, term *terminal) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		var all []messages.Connection
		in := messages.ConnectionsListRequest{PageSize: messages.Count(c.PageSize)}
		for {
			page, err := ask.Connections(ctx, in)
			if err != nil {
				return err
			}
			all = append(all, page.Connections...)
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				break
			}
		}
		return c.print(term, all, func() error { return show.Connections(term.out, all) })
	})
}

type connectionsGet struct {
	client
	Connection string `arg:"" help:"Id of the connection."`
}

// Run prints one connection.
func (c *connectionsGet) Run(ctx context.Context, term *terminal) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		connection, err := ask.Connection(ctx, c.Connection)
		if err != nil {
			return err
		}
		return c.print(term, connection, func() error { return printConnection(term, connection) })
	})
}

func printConnection(term *terminal, c *messages.Connection) error {
	return show.Pairs(term.out, [][2]string{
		{"connection", c.ID}, {"status", c.Status}, {"environment", c.EnvironmentURL}, {"tenant", c.TenantID},
		{"grant", c.Grant}, {"user", c.UserID}, {"organization", c.OrganizationID},
		{"scopes", strings.Join(c.Scopes, " ")}, {"created", show.When(&c.CreatedAt)},
		{"refreshed", show.When(c.RefreshedAt)}, {"access token until", show.When(c.AccessTokenExpiresAt)},
		{"last error", c.LastError},
	})
}

type connectionsDelete struct {
	client
	Connection string `arg:"" help:"Id of the connection."`
}

// Run deletes one connection.
func (c *connectionsDelete) Run(ctx context.Context, term *terminal) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		if err := ask.Delete(ctx, c.Connection); err != nil {
			return err
		}
		answer := struct {
			Connection string `json:"connection"`
			Deleted    bool   `json:"deleted"`
		}{c.Connection, true}
		return c.print(term, answer, func() error {
			_, err := fmt.Fprintf(term.out, "%s is deleted\n", c.Connection)
			return err
		})
	})
}
