package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// oldNewCommand runs processes side by side of which one knows a table that the other does
// not, as two versions would.
type oldNewCommand struct {
	Jobs int           `default:"50" help:"Jobs of the new table: ${default}."`
	For  time.Duration `default:"40s" help:"How long only the old process is there: ${default}, more than two leases."`
}

// Run measures and gives the verdict.
func (c *oldNewCommand) Run(ctx context.Context, p *printer) (err error) {
	w, err := newWorld(ctx, p, setup{processes: 1, env: []string{"LOG_LEVEL=warn"},
		serve:    []string{"--bench-table=" + newTable},
		emulator: emulator.Options{Accounts: 1000, Contacts: -1, Users: people(1)}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.connectAll([]string{"acme"}); err != nil { // by the new process: the connection has its table
		return err
	}
	if err := w.awaitLane(); err != nil {
		return err
	}
	recent := w.fleet[0]
	if _, err := w.addCrmbridge([]string{"LOG_LEVEL=warn"}); err != nil {
		return err
	}
	if err := w.awaitFleet(); err != nil {
		return err
	}
	all := &promises{printer: p}
	search := messages.Operation(newTable + ".search")
	fresh := func(id string) job { return newJob(search, "acme", id, map[string]any{"limit": 3}) }

	recent.end(interrupt)
	first := fresh("alone")
	known := newJob(accountsSearch, "acme", "known", map[string]any{"limit": 3})
	if err := errors.Join(w.publish(&first), w.publish(&known)); err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	msg, err := w.awaitEnd(soon, known)
	all.keep(err == nil && msg.Header.Get(messages.HeaderErrorCode) == "",
		"the old process does jobs that it knows (%v)", err)
	if !sleep(ctx, c.For) {
		return ctx.Err()
	}
	_, results := w.last(ctx, messages.ResultsStream, first.results())
	_, dead := w.last(ctx, messages.DeadStream, messages.DeadSubject(first.connection, first.id))
	_, waits := w.last(ctx, messages.JobsStream, first.subject())
	all.keep(errors.Is(results, errNoMessage) && errors.Is(dead, errNoMessage) && waits == nil,
		"after %s with the old process alone a job of the new table waits, without results or a dead letter", c.For)

	if err := recent.start(); err != nil {
		return err
	}
	if err := w.awaitFleet(); err != nil {
		return err
	}
	jobs := []job{first}
	for i := range c.Jobs {
		j := fresh(fmt.Sprintf("beside-%d", i))
		if err := w.publish(&j); err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	done := 0
	waited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, j := range jobs {
		msg, err := w.awaitEnd(waited, j)
		if err == nil && msg.Header.Get(messages.HeaderErrorCode) == "" {
			done++
			continue
		}
		all.keep(false, "job %s: %v %s %s", j.id, err, msg.Header.Get(messages.HeaderErrorCode), msg.Data)
	}
	all.keep(done == len(jobs), "%d of %d jobs of the new table are done with both side by side", done, len(jobs))
	return all.verdict("old-new")
}

// newTable is what the newer process knows.
const newTable = "visits"
