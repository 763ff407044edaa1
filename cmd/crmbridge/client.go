package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

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
		return fmt.Errorf("%w: --timeout must be between 0s and %s", bridge.ErrUsage, messages.MaxDeadline)
	}
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	nc, err := bridge.ConnectNATS(c.NATS, "crmbridge command", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			refuse(notPermitted(err)) // nobody would answer
		}
	}))
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err = question(ctx, messages.NewClient(nc))
	if cause, ok := errors.AsType[*messages.Error](context.Cause(ctx)); ok {
		return cause
	}
	return err
}

// notPermitted explains what NATS does not let this user do.
func notPermitted(err error) error {
	advice := "ask its operator for the right to publish there"
	if strings.Contains(err.Error(), "Subscription") {
		advice = "give the user's own inbox prefix with --nats-inbox-prefix or NATS_INBOX_PREFIX"
	}
	return messages.Errorf(messages.Unavailable, "%v; %s", err, advice)
}

// print writes an answer as JSON where asked for, else by table.
func (c *client) print(term *terminal, answer any, table func() error) error {
	if c.JSON {
		return show.JSON(term.out, answer)
	}
	return table()
}
