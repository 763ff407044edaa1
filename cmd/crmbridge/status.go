package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// statusCommand shows what the fleet does.
type statusCommand struct {
	client
	shown
	Connection string        `arg:"" optional:"" predictor:"connection" help:"Id of a connection; by default all."`
	Watch      bool          `help:"Show it again and again until an interrupt."`
	Every      time.Duration `default:"2s" help:"How long after the last time --watch shows it again: ${default}."`
}

// Help shows examples.
func (c *statusCommand) Help() string {
	return `Processes are those that answer NATS's services API within two seconds. Blocked users are looked for among
the active connections, of which the first 1000 are asked.

Examples:
  crmbridge status
  crmbridge status demo --watch
  crmbridge status --json | jq '.processes[].version'
`
}

// Validate refuses an interval that would be a flood.
func (c *statusCommand) Validate() error {
	if c.Every < 100*time.Millisecond || c.Every > time.Hour {
		return fmt.Errorf("--every: must be a duration from 100ms to 1h such as 2s")
	}
	return nil
}

// state is what is shown.
type state = status.State

// Run shows it once, or again and again.
func (c *statusCommand) Run(ctx context.Context, std *stdio) error {
	std.utc = c.UTC
	rights := &rights{}
	return c.askAs(ctx, rights.denied, func(ctx context.Context, ask *asker) error {
		for {
			now, err := c.look(ctx, ask, rights)
			if err != nil {
				return err
			}
			if file, ok := std.out.(*os.File); ok && c.Watch && !c.JSON && term.IsTerminal(file) &&
				os.Getenv("TERM") != "dumb" {
				fmt.Fprint(std.out, "\x1b[H\x1b[2J") // the terminal's first line
			}
			if err := c.print(std, now, func() error { return showState(std, now, c.Connection) }); err != nil || !c.Watch {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(c.Every):
			}
		}
	})
}

// rights lets one question fail where NATS does not permit it: an operator's user may ask for
// processes and limits, and for nothing else.
type rights struct {
	mu   sync.Mutex
	stop context.CancelCauseFunc
}

func (r *rights) denied(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop(notPermitted(err))
	}
}

// within asks one question, which ends as soon as NATS does not permit it.
func (r *rights) within(ctx context.Context, question func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.mu.Lock()
	r.stop = stop
	r.mu.Unlock()
	err := question(ctx)
	if cause, ok := errors.AsType[*messages.Error](context.Cause(ctx)); ok && err != nil {
		return cause
	}
	return err
}

// look finds everything out, each question with the command's time-out.
func (c *statusCommand) look(ctx context.Context, ask *asker, may *rights) (*state, error) {
	return status.Asker{
		Processes: func(ctx context.Context) ([]bridge.Process, error) { return bridge.Fleet(ctx, ask.nats, 0) },
		Connection: func(ctx context.Context, connection string) (*messages.Connection, error) {
			return once(ctx, ask, ask.client.Connection, connection)
		},
		Connections: func(ctx context.Context,
			in messages.ConnectionsListRequest) (*messages.ConnectionsListReply, error) {
			return once(ctx, ask, ask.client.Connections, in)
		},
		Limits: func(ctx context.Context, connection string) (*messages.LimitsReply, error) {
			return once(ctx, ask, ask.client.Limits, connection)
		},
		Jobs: func(ctx context.Context, in messages.JobsListRequest) (*messages.JobsListReply, error) {
			return once(ctx, ask, ask.client.Jobs().List, in)
		},
		Within: may.within,
	}.Look(ctx, c.Connection)
}
