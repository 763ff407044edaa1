package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cli/browser"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/show"
	"github.com/crmbridge/crmbridge/messages"
)

type connectCommand struct {
	bridge.NATS
	Connection      string `arg:"" help:"Id for the connection: letters, digits, _ and -."`
	EnvironmentURL  string `arg:"" help:"Origin of the environment, for example https://contoso.crm4.dynamics.com."`
	Tenant          string `help:"Directory id or verified domain; by default the environment's own."`
	LoginHint       string `help:"User name to fill in at Microsoft's sign-in page."`
	Prompt          string `help:"login, consent, select_account or none."`
	AllowUserChange bool   `help:"Let another user than before take over the connection."`
	NoBrowser       bool   `help:"Only print the URL."`
	NoWait          bool   `help:"Do not wait until the person is done."`
	JSON            bool   `name:"json" help:"Print the answer as JSON and do not wait."`
}

// Run prints the page's URL, opens it where it can, and waits for the person.
func (c *connectCommand) Run(ctx context.Context, term *terminal) error {
	nc, err := bridge.ConnectNATS(c.NATS, "crmbridge command")
	if err != nil {
		return err
	}
	defer nc.Close()
	ask := messages.NewClient(nc)
	before, err := ask.Connection(ctx, c.Connection)
	if err != nil {
		before = nil // not there yet, or not to be seen: then there is nothing to compare with
	}
	begun, err := ask.Authorize(ctx, messages.AuthorizeRequest{
		Target: messages.Target{Connection: c.Connection}, EnvironmentURL: c.EnvironmentURL, Tenant: c.Tenant,
		LoginHint: c.LoginHint, Prompt: c.Prompt, AllowUserChange: c.AllowUserChange,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return show.JSON(term.out, begun)
	}
	if _, err := fmt.Fprintf(term.out, "Sign in and consent at this page, open until %s:\n\n  %s\n\n",
		show.When(&begun.ExpiresAt), begun.ConnectURL); err != nil {
		return err
	}
	if !c.NoBrowser {
		browser.Stdout, browser.Stderr = term.err, term.err
		if err := browser.OpenURL(begun.ConnectURL); err != nil {
			fmt.Fprintln(term.err, "No browser could be opened here; open the page in one.")
		}
	}
	if c.NoWait {
		return nil
	}
	if before != nil && before.Status == messages.StatusActive {
		fmt.Fprintf(term.err, "%s is connected already and stays so until the page is done; see 'crmbridge connections get %s'.\n", c.Connection, c.Connection)
		return nil
	}
	return c.wait(ctx, term, ask, begun.ExpiresAt)
}

// wait asks for the connection until it is active or the page has expired.
func (c *connectCommand) wait(ctx context.Context, term *terminal, ask *messages.Client, until time.Time) error {
	fmt.Fprintln(term.err, "Waiting for the person … (an interrupt ends the waiting, not the page)")
	ctx, cancel := context.WithDeadlineCause(ctx, until, messages.Errorf(messages.DeadlineExceeded, "nobody connected in time; start again"))
	defer cancel()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		connection, err := ask.Connection(ctx, c.Connection)
		if err == nil && connection.Status == messages.StatusActive {
			fmt.Fprintln(term.out, "Connected.")
			return printConnection(term, connection)
		}
	}
}
