package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// statusCommand shows what the fleet does.
type statusCommand struct {
	client
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
type state struct {
	At        time.Time        `json:"at"`
	Processes []bridge.Process `json:"processes"`
	// Connections has how many there are of each status.
	Connections map[string]int `json:"connections"`
	Blocked     []blocked      `json:"blocked"`
	Jobs        jobCounts      `json:"jobs"`
	// Limits are those of the connection that was named.
	Limits *messages.LimitsReply `json:"limits,omitzero"`
	// Unknown says what could not be found out.
	Unknown []string `json:"unknown,omitzero"`
}

// blocked is a user whom Dataverse, or the customer's allowance, keeps out.
type blocked struct {
	Connections []string  `json:"connections"`
	User        string    `json:"user"`
	By          string    `json:"by"` // a limit of Dataverse's, or daily_calls
	Until       time.Time `json:"until"`
}

type jobCounts struct {
	Queued  int        `json:"queued"`
	Running int        `json:"running"`
	Oldest  *time.Time `json:"oldest,omitzero"` // when the oldest that waits was published
}

// Run shows it once, or again and again.
func (c *statusCommand) Run(ctx context.Context, std *stdio) error {
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
			if err := c.print(std, now, func() error { return now.show(std, c.Connection) }); err != nil || !c.Watch {
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

// look finds everything out. What this user may not ask, or nobody answers, is said and no
// error, unless nothing is known at all.
func (c *statusCommand) look(ctx context.Context, ask *asker, may *rights) (*state, error) {
	now := &state{At: time.Now().UTC().Truncate(time.Second), Connections: map[string]int{}, Blocked: []blocked{},
		Processes: []bridge.Process{}}
	var connections []messages.Connection
	var first error
	known := false
	for _, part := range []struct {
		what string
		find func(context.Context) error
	}{
		{"processes", func(ctx context.Context) error {
			processes, err := bridge.Fleet(ctx, ask.nats, 0)
			now.Processes = append(now.Processes, processes...)
			known = known || len(processes) > 0
			return err
		}},
		{"connections", func(ctx context.Context) (err error) {
			connections, err = c.connections(ctx, ask)
			for _, connection := range connections {
				now.Connections[connection.Status]++
			}
			known = known || err == nil
			return err
		}},
		{"limits", func(ctx context.Context) error { return c.limits(ctx, ask, now, connections) }},
		{"jobs", func(ctx context.Context) error { return c.jobs(ctx, ask, now) }},
	} {
		err := may.within(ctx, part.find)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			now.Unknown = append(now.Unknown, part.what+": "+err.Error())
		}
		if c.Connection != "" && gone(err) {
			return nil, err
		}
		first = cmp.Or(first, err)
		if part.what == "connections" && !known {
			return nil, first // nobody answers
		}
	}
	return now, nil
}

// connections are the one that was named, or all.
func (c *statusCommand) connections(ctx context.Context, ask *asker) ([]messages.Connection, error) {
	if c.Connection != "" {
		one, err := once(ctx, ask, ask.client.Connection, c.Connection)
		if err != nil {
			return nil, err
		}
		return []messages.Connection{*one}, nil
	}
	var all []messages.Connection
	in := messages.ConnectionsListRequest{PageSize: messages.MaxConnectionsPageSize}
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Connections, in)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Connections...)
		if page.NextCursor == "" {
			return all, nil
		}
		if page.NextCursor == in.Cursor {
			return nil, errNoProgress()
		}
		in.Cursor = page.NextCursor
	}
	return nil, errNoProgress()
}

const (
	mostAsked   = 1000 // connections whose limits are asked for
	askedAtOnce = 16
)

// limits finds the users who are blocked: each user is asked for once.
func (c *statusCommand) limits(ctx context.Context, ask *asker, now *state, connections []messages.Connection) error {
	if c.Connection != "" {
		return c.ownLimits(ctx, ask, now, connections)
	}
	users := map[string][]string{} // connections by user
	var order []string
	for _, connection := range connections {
		if connection.UserID == "" || connection.Status != messages.StatusActive {
			continue
		}
		user := userOf(connection)
		if users[user] == nil {
			order = append(order, user)
		}
		users[user] = append(users[user], connection.ID)
	}
	left := len(order) - min(len(order), mostAsked)
	found := make([]*messages.LimitsReply, len(order)-left)
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for i, user := range order[:len(found)] {
		group.Go(func() (err error) {
			found[i], err = once(asking, ask, ask.client.Limits, users[user][0])
			if gone(err) {
				found[i], err = &messages.LimitsReply{}, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, limits := range found {
		if one := blockOf(limits, time.Now()); one != nil {
			one.User, one.Connections = order[i], users[order[i]]
			now.Blocked = append(now.Blocked, *one)
		}
	}
	slices.SortFunc(now.Blocked, func(a, b blocked) int { return b.Until.Compare(a.Until) })
	if left > 0 {
		return fmt.Errorf("%d more users were not asked for", left)
	}
	return nil
}

// ownLimits are those of the connection that was named, which this user may know nothing else of.
func (c *statusCommand) ownLimits(ctx context.Context, ask *asker, now *state,
	known []messages.Connection) (err error) {
	if now.Limits, err = once(ctx, ask, ask.client.Limits, c.Connection); err != nil {
		return err
	}
	if one := blockOf(now.Limits, time.Now()); one != nil {
		one.Connections = []string{c.Connection}
		for _, connection := range known {
			one.User = userOf(connection)
		}
		now.Blocked = append(now.Blocked, *one)
	}
	return nil
}

// userOf names a user: Dataverse counts by user and environment.
func userOf(c messages.Connection) string { return c.UserID + " of " + c.EnvironmentURL }

// gone reports that the connection was deleted since it was listed.
func gone(err error) bool {
	fault, ok := errors.AsType[*messages.Error](err)
	return ok && fault.Code == messages.ConnectionNotFound
}

// blockOf is why a user is kept out, nil where calls are made.
func blockOf(limits *messages.LimitsReply, now time.Time) *blocked {
	switch {
	case limits.BlockedUntil != nil:
		by := limits.BlockedBy
		if by == "" {
			by = "unknown"
		}
		return &blocked{By: by, Until: *limits.BlockedUntil}
	case limits.DailyCalls > 0 && limits.CallsToday >= limits.DailyCalls:
		return &blocked{By: "daily_calls", Until: now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)}
	}
	return nil
}

// jobs counts those that wait and run.
func (c *statusCommand) jobs(ctx context.Context, ask *asker, now *state) error {
	in := messages.JobsListRequest{Target: messages.Target{Connection: c.Connection},
		PageSize: messages.MaxJobsPageSize}
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Jobs().List, in)
		if err != nil {
			return err
		}
		for _, job := range page.Jobs {
			switch job.State {
			case messages.JobQueued:
				now.Jobs.Queued++
				if now.Jobs.Oldest == nil || job.QueuedAt.Before(*now.Jobs.Oldest) {
					now.Jobs.Oldest = &job.QueuedAt
				}
			case messages.JobRunning:
				now.Jobs.Running++
			}
		}
		if page.NextCursor == "" {
			return nil
		}
		if page.NextCursor == in.Cursor {
			break
		}
		in.Cursor = page.NextCursor
	}
	return errNoProgress()
}
