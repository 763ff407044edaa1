package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// client are the flags that every command which asks over NATS has.
type client struct {
	bridge.ClientNATS `group:"NATS:"`
	JSON              bool          `name:"json" xor:"form" help:"Print the answer as JSON."`
	Timeout           time.Duration `name:"timeout" default:"30s" help:"How long to wait for an answer: ${default}."`
	about             string        // the connection that is asked about, "" for none or all

	// spare begins the subject of a question that the command does without where it is not permitted.
	spare string
}

// ask connects, lets question ask within the time-out, and closes.
func (c *client) ask(ctx context.Context, question func(context.Context, *messages.Client) error) error {
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		ctx, cancel := context.WithTimeout(ctx, ask.timeout)
		defer cancel()
		return question(ctx, ask.client)
	})
}

// asker asks many questions, each with a time-out of its own; see once.
type asker struct {
	client  *messages.Client
	nats    *nats.Conn
	timeout time.Duration
	// spared ends where the question that the command does without turns out not to be permitted.
	spared context.Context
}

// mostPages is where a command stops to ask for more.
const mostPages = 10_000

// errNoProgress ends a command whose pages would never end.
func errNoProgress() error {
	return messages.Errorf(messages.Internal, "the answers' cursors lead nowhere: there would be no end")
}

// once asks one of many questions.
func once[In, Out any](
	ctx context.Context, ask *asker, question func(context.Context, In) (Out, error), in In,
) (Out, error) {
	ctx, cancel := context.WithTimeout(ctx, ask.timeout)
	defer cancel()
	return question(ctx, in)
}

// askOften connects, lets questions be asked however long they take together, and
// closes.
func (c *client) askOften(ctx context.Context, questions func(context.Context, *asker) error) error {
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	// What is not permitted nobody would answer.
	err := c.askAs(ctx, func(err error) { refuse(notPermitted(err)) }, questions)
	if cause, ok := errors.AsType[*messages.Error](context.Cause(ctx)); ok {
		return cause
	}
	return err
}

// askAs is askOften for whoever goes on where NATS does not permit something; denied is told.
func (c *client) askAs(ctx context.Context, denied func(error),
	questions func(context.Context, *asker) error) error {
	if c.Timeout <= 0 || c.Timeout > messages.MaxDeadline {
		return fmt.Errorf("%w: --timeout must be longer than nothing and at most %.0fm, for example 30s", bridge.ErrUsage,
			messages.MaxDeadline.Minutes())
	}
	var answered atomic.Bool
	spared, spare := context.WithCancel(ctx)
	defer spare()
	failed := func(_ *nats.Conn, _ *nats.Subscription, err error) {
		switch {
		case !errors.Is(err, nats.ErrPermissionViolation):
		case c.spares(err):
			spare()
		case !doesWithout(err) && !answered.Load():
			denied(err)
		}
	}
	nc, err := c.Connect("crmbridge command", nats.ErrorHandler(failed))
	if err != nil {
		return err
	}
	defer nc.Close()
	ask := &asker{messages.NewClient(nc), nc, c.Timeout, spared}
	err = questions(ctx, ask)
	if isCode(err, messages.ConnectionNotFound) {
		answered.Store(true) // what this user may not ask is left out from here on
		return ask.meant(ctx, err)
	}
	if mustConnect(err) {
		answered.Store(true)
		again := ask.again(ctx, c.about)
		again.error = err
		return again
	}
	return err
}

// meant adds to the error of a connection that there is not which one may have been meant, as far
// as that can be asked for.
func (a *asker) meant(ctx context.Context, err error) error {
	const atMost = time.Second
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	fault, _ := errors.AsType[*messages.Error](err)
	name, ok := strings.CutPrefix(fault.Message, "there is no connection ")
	name, _, more := strings.Cut(name, ";")
	if !ok || !more {
		return err
	}
	page, failed := a.client.Connections(ctx, messages.ConnectionsListRequest{PageSize: messages.MaxConnectionsPageSize})
	if failed != nil {
		return err
	}
	ids := make([]string, len(page.Connections))
	for i, connection := range page.Connections {
		ids[i] = connection.ID
	}
	const most = 3
	near := messages.Nearest(name, ids, most)
	if len(near) == 0 {
		return err
	}
	return messages.Errorf(fault.Code, "there is no connection %s; did you mean %s? Otherwise make it with "+
		"connections.authorize", name, strings.Join(near, " or ")).Because(err)
}

// spares reports whether what is not permitted is the question that this command does without.
func (c *client) spares(err error) bool {
	return c.spare != "" && strings.Contains(err.Error(), `Publish to "`+c.spare)
}

// doesWithout reports whether every command does without what is not permitted: hearing of a job's
// progress, and looking for a job in its stream, which crmbridge tells of too.
func doesWithout(err error) bool {
	state, _, _ := strings.Cut(messages.StateSubjects, "*")
	return strings.Contains(err.Error(), `Subscription to "`+state) ||
		strings.Contains(err.Error(), `Publish to "$JS.API.DIRECT.GET.`+messages.JobsStream)
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
func (c *client) print(std *stdio, answer any, table func() error) error {
	if c.JSON {
		return term.JSON(std.out, answer)
	}
	return table()
}
