package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// throttleCommand looks at a job that Dataverse throttles: it waits without holding anything.
// The wait is some seconds in place of minutes; nothing else depends on its length.
type throttleCommand struct {
	RetryAfter int `default:"30" help:"Seconds that Dataverse asks for: ${default}."`
}

// Run measures and gives the verdict.
func (c *throttleCommand) Run(ctx context.Context, p *printer) (err error) {
	w, err := newWorld(ctx, p, setup{processes: 2, env: []string{"LOG_LEVEL=warn"},
		emulator: emulator.Options{Accounts: 100, Contacts: -1, Users: people(2)}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.connectAll([]string{"throttled", "free"}); err != nil {
		return err
	}
	if err := w.awaitLane(); err != nil {
		return err
	}
	e, err := w.hearEnds()
	if err != nil {
		return err
	}
	all := &promises{printer: p}
	if _, err := w.timed(e, 2, func(i int) job { return small("throttled", fmt.Sprintf("warm-%d", i)) }); err != nil {
		return err
	}
	alone, err := w.timed(e, 7, func(i int) job { return small("free", fmt.Sprintf("alone-%d", i)) })
	if err != nil {
		return err
	}
	w.emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: c.RetryAfter, Times: 1})
	j := small("throttled", "waits")
	if err := w.publish(&j); err != nil {
		return err
	}
	var record messages.JobRecord
	look := func(ctx context.Context) error {
		msg, err := w.last(ctx, messages.StateStream, messages.StateSubject(j.connection, j.id))
		if err != nil {
			return err
		}
		record = messages.JobRecord{}
		return json.Unmarshal(msg.Data, &record)
	}
	if err := await(ctx, 30*time.Second, "a job that waits", func(ctx context.Context) error {
		if err := look(ctx); err != nil {
			return err
		}
		if record.RetryAt == nil || record.State != messages.JobQueued {
			return fmt.Errorf("its record says %s", record.State)
		}
		return nil
	}); err != nil {
		return err
	}
	due := j.published.Add(time.Duration(c.RetryAfter) * time.Second)
	p.say("the job waits %.1f s after it was published, until %.1f s", time.Since(j.published).Seconds(),
		record.RetryAt.Sub(j.published).Seconds())
	asked := w.upstream.everything.Load()
	var beside []time.Duration
	seen := 0
	for time.Now().Before(due.Add(-2 * time.Second)) {
		if err := look(ctx); err != nil {
			return err
		}
		seen++
		if record.Attempts != 0 || record.Owner != "" || record.State != messages.JobQueued {
			all.keep(false, "while it waits its record says %s, owner %q, attempts %d", record.State, record.Owner,
				record.Attempts)
			break
		}
		took, err := w.timed(e, 1, func(int) job { return small("free", fmt.Sprintf("beside-%d", seen)) })
		if err != nil {
			return err
		}
		beside = append(beside, took...)
		if !sleep(ctx, time.Second) {
			return ctx.Err()
		}
	}
	calls := w.upstream.everything.Load() - asked
	all.keep(seen > 0, "%d looks at its record while it waited: queued, no owner, no attempts", seen)
	all.keep(calls <= int64(2*len(beside)),
		"%d calls to Dataverse for %d jobs of the other connection, none for the one that waits", calls,
		len(beside))
	all.keep(ratio(median(beside), median(alone)) <= 3,
		"another connection's jobs meanwhile: median %.0f ms, %.2f × %.0f ms before (at most 3)",
		ms(median(beside)), ratio(median(beside), median(alone)), ms(median(alone)))
	waited, cancel := context.WithDeadline(ctx, due.Add(time.Minute))
	defer cancel()
	took, err := e.took(waited, j)
	if err != nil {
		return err
	}
	late := took - time.Duration(c.RetryAfter)*time.Second
	all.keep(late < 5*time.Second && late > -time.Second,
		"it was done %.1f s after the time that Dataverse asked for (at most 5)", late.Seconds())
	return all.verdict("throttle")
}
