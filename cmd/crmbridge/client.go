package main

import (
	"context"
	"fmt"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/show"
	"github.com/crmbridge/crmbridge/messages"
)

// client are the flags that every command which asks over NATS has.
type client struct {
	bridge.NATS
	JSON    bool          `name:"json" help:"Print the answer as JSON."`
	Timeout time.Duration `name:"timeout" default:"30s" help:"How long to wait for the answer: ${default}."`
}

// ask connects, lets question ask within the time-out, and closes.
func (c *client) ask(ctx context.Context, question func(context.Context, *messages.Client) error) error {
	if c.Timeout <= 0 || c.Timeout > messages.MaxDeadline {
		return bridge.ConfigurationError(fmt.Errorf("--timeout must be between 0s and %s", messages.MaxDeadline))
	}
	nc, err := bridge.ConnectNATS(c.NATS, "crmbridge command")
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return question(ctx, messages.NewClient(nc))
}

// print writes an answer as JSON where asked for, else by table.
func (c *client) print(term *terminal, answer any, table func() error) error {
	if c.JSON {
		return show.JSON(term.out, answer)
	}
	return table()
}
