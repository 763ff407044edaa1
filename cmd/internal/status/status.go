// Package status finds out what a fleet of crmbridge does, for people: `crmbridge status` prints
// it, and the console takes from here why a user is kept out.
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// A Process is one crmbridge as it describes itself to NATS's services API.
type Process struct {
	ID       string    `json:"id"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	InFlight int64     `json:"in_flight"` // requests
	Requests int       `json:"requests"`  // answered since the start
	Errors   int       `json:"errors"`    // of them
}

// State is what is shown.
type State struct {
	At        time.Time `json:"at"`
	Processes []Process `json:"processes"`
	// Connections has how many there are of each status.
	Connections map[string]int `json:"connections"`
	Blocked     []Blocked      `json:"blocked"`
	Jobs        JobCounts      `json:"jobs"`
	// Limits are those of the connection that was named.
	Limits *messages.LimitsReply `json:"limits,omitzero"`
	// Unknown says what could not be found out.
	Unknown []string `json:"unknown,omitzero"`
}

// Blocked is a user whom Dataverse, or the customer's allowance, keeps out.
type Blocked struct {
	Connections []string  `json:"connections"`
	User        string    `json:"user"`
	By          string    `json:"by"` // a limit of Dataverse's, or daily_calls
	Until       time.Time `json:"until"`
}

// JobCounts are the jobs that have not ended.
type JobCounts struct {
	Queued  int        `json:"queued"`
	Running int        `json:"running"`
	Oldest  *time.Time `json:"oldest,omitzero"` // when the oldest that waits was published
}

// An Asker answers the questions that a state is made of. Their errors are those that requesters
// see.
type Asker struct {
	Processes   func(context.Context) ([]Process, error)
	Connection  func(context.Context, string) (*messages.Connection, error)
	Connections func(context.Context, messages.ConnectionsListRequest) (*messages.ConnectionsListReply, error)
	Limits      func(context.Context, string) (*messages.LimitsReply, error)
	Jobs        func(context.Context, messages.JobsListRequest) (*messages.JobsListReply, error)
	// Within asks one of the parts of a state.
	Within func(context.Context, func(context.Context) error) error
}

// Look finds everything out, of one connection or, without a name, of all. What may not be
// asked, or nobody answers, is said and no error, unless nothing is known at all.
func (ask Asker) Look(ctx context.Context, connection string) (*State, error) {
	now := &State{At: time.Now().UTC().Truncate(time.Second), Connections: map[string]int{}, Blocked: []Blocked{},
		Processes: []Process{}}
	var connections []messages.Connection
	var first error
	known := false
	for _, part := range []struct {
		what string
		find func(context.Context) error
	}{
		{"processes", func(ctx context.Context) error {
			processes, err := ask.Processes(ctx)
			now.Processes = append(now.Processes, processes...)
			known = known || len(processes) > 0
			return err
		}},
		{"connections", func(ctx context.Context) (err error) {
			connections, err = ask.connections(ctx, connection)
			for _, connection := range connections {
				now.Connections[connection.Status]++
			}
			known = known || err == nil
			return err
		}},
		{"limits", func(ctx context.Context) error { return ask.limits(ctx, now, connection, connections) }},
		{"jobs", func(ctx context.Context) error { return ask.jobs(ctx, now, connection) }},
	} {
		err := ask.Within(ctx, part.find)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			now.Unknown = append(now.Unknown, part.what+": "+err.Error())
		}
		if connection != "" && gone(err) {
			return nil, err
		}
		first = cmp.Or(first, err)
		if part.what == "connections" && !known {
			return nil, first // nobody answers
		}
	}
	return now, nil
}

// mostPages is where asking for more ends.
const mostPages = 10_000

// pages calls page with the cursor that the last one returned, until there is none.
func pages(page func(cursor string) (next string, err error)) error {
	cursor := ""
	for range mostPages {
		next, err := page(cursor)
		if err != nil || next == "" {
			return err
		}
		if next == cursor {
			break
		}
		cursor = next
	}
	return messages.Errorf(messages.Internal, "the answers' cursors lead nowhere: there would be no end")
}

// connections are the one that was named, or all.
func (ask Asker) connections(ctx context.Context, connection string) ([]messages.Connection, error) {
	if connection != "" {
		one, err := ask.Connection(ctx, connection)
		if err != nil {
			return nil, err
		}
		return []messages.Connection{*one}, nil
	}
	var all []messages.Connection
	err := pages(func(cursor string) (string, error) {
		page, err := ask.Connections(ctx,
			messages.ConnectionsListRequest{PageSize: messages.MaxConnectionsPageSize, Cursor: cursor})
		if err != nil {
			return "", err
		}
		all = append(all, page.Connections...)
		return page.NextCursor, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

const (
	mostAsked   = 1000 // connections whose limits are asked for
	askedAtOnce = 16
)

// limits finds the users who are blocked: each user is asked for once.
func (ask Asker) limits(ctx context.Context, now *State, connection string, connections []messages.Connection) error {
	if connection != "" {
		return ask.ownLimits(ctx, now, connection, connections)
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
		group.Go(dynamics.Guard(func() (err error) {
			found[i], err = ask.Limits(asking, users[user][0])
			if gone(err) {
				found[i], err = &messages.LimitsReply{}, nil
			}
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, limits := range found {
		if one := BlockOf(limits, time.Now()); one != nil {
			one.User, one.Connections = order[i], users[order[i]]
			now.Blocked = append(now.Blocked, *one)
		}
	}
	slices.SortFunc(now.Blocked, func(a, b Blocked) int { return b.Until.Compare(a.Until) })
	if left > 0 {
		return fmt.Errorf("%d more users were not asked for", left)
	}
	return nil
}

// ownLimits are those of the connection that was named, which whoever asks may know nothing
// else of.
func (ask Asker) ownLimits(ctx context.Context, now *State, connection string,
	known []messages.Connection) (err error) {
	if now.Limits, err = ask.Limits(ctx, connection); err != nil {
		return err
	}
	if one := BlockOf(now.Limits, time.Now()); one != nil {
		one.Connections = []string{connection}
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

// BlockOf is why a user is kept out, nil where calls are made.
func BlockOf(limits *messages.LimitsReply, now time.Time) *Blocked {
	switch {
	case limits.BlockedUntil != nil:
		return &Blocked{By: cmp.Or(limits.BlockedBy, "unknown"), Until: *limits.BlockedUntil}
	case limits.DailyCalls > 0 && limits.CallsToday >= limits.DailyCalls:
		return &Blocked{By: "daily_calls", Until: now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)}
	}
	return nil
}

// jobs counts those that wait and run.
func (ask Asker) jobs(ctx context.Context, now *State, connection string) error {
	return pages(func(cursor string) (string, error) {
		page, err := ask.Jobs(ctx, messages.JobsListRequest{Target: messages.Target{Connection: connection},
			PageSize: messages.MaxJobsPageSize, Cursor: cursor})
		if err != nil {
			return "", err
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
		return page.NextCursor, nil
	})
}
