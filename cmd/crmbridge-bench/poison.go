package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// poisonCommand looks at a job that kills whoever runs it, and at a process that is asked to
// stop.
type poisonCommand struct {
	Others int `default:"50" help:"Other jobs meanwhile: ${default}."`
}

// mostTakeovers is after how many takeovers without a new page a job is given up.
const mostTakeovers = 8

// dyingAfter is when after its claim a process dies of the job.
const dyingAfter = 500 * time.Millisecond

// Run measures and gives the verdict.
func (c *poisonCommand) Run(ctx context.Context, p *printer) (err error) {
	w, err := newWorld(ctx, p, setup{processes: 3, env: []string{"LOG_LEVEL=warn"},
		emulator: emulator.Options{Accounts: 20_000, Contacts: -1, Users: people(2)}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.connectAll([]string{"poisoned", "fine"}); err != nil {
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
	if err := drain(w, all); err != nil {
		return err
	}
	poison := small("poisoned", "poison")
	var killed atomic.Int64
	for _, victim := range w.fleet {
		kill := func(subject string) {
			if subject != messages.StateSubject(poison.connection, poison.id) {
				return
			}
			// Who claims the job to end it has done so by then, and nothing kills it.
			if _ = sleep(ctx, dyingAfter); victim.wire.owns(poison) {
				killed.Add(1)
				victim.kill()
				_ = victim.start() // a supervisor; where it fails the run does
			}
		}
		victim.wire.claimed.Store(&kill)
	}
	w.upstream.slow.Store(int64(4 * dyingAfter)) // so that the process is killed while it runs the job
	if err := w.publish(&poison); err != nil {
		return err
	}
	var others []job
	for i := range c.Others {
		j := newJob(accountsSearch, "fine", "fine-"+strconv.Itoa(i), map[string]any{"limit": 1})
		if err := w.publish(&j); err != nil {
			return err
		}
		others = append(others, j)
		_ = sleep(ctx, 500*time.Millisecond)
	}
	p.say("%d processes have died of the job", killed.Load())
	waited, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	end, err := w.awaitEnd(waited, poison)
	if err != nil {
		w.why([]job{poison})
		return err
	}
	code := end.Header.Get(messages.HeaderErrorCode)
	all.keep(code == string(messages.Internal) && killed.Load() >= mostTakeovers && killed.Load() <= mostTakeovers+2,
		"the job ended with %s after it had killed %d processes (%d takeovers)", code, killed.Load(), mostTakeovers)
	_, err = w.last(ctx, messages.DeadStream, messages.DeadSubject(poison.connection, poison.id))
	all.keep(err == nil, "it has a dead letter (%v)", err)
	done := 0
	for _, j := range others {
		if _, err := e.took(waited, j); err != nil {
			return err
		}
		if msg, err := w.awaitEnd(waited, j); err != nil || msg.Header.Get(messages.HeaderErrorCode) != "" {
			all.keep(false, "job %s: %v %s", j.id, err, msg.Header.Get(messages.HeaderErrorCode))
			continue
		}
		done++
	}
	all.keep(done == len(others), "%d of %d other jobs were done", done, len(others))
	return all.verdict("poison")
}

// drain asks the owner of a job to stop, and waits for a page of somebody else's.
func drain(w *world, all *promises) error {
	w.upstream.setDelay(pageDelay)
	defer w.upstream.setDelay(0)
	j := newJob(accountsSearch, "fine", "drained", map[string]any{"page_size": 200, "parallel": false,
		"fields": []string{"id"}})
	pages, err := w.nc.SubscribeSync(j.results())
	if err != nil {
		return err
	}
	defer func() { _ = pages.Unsubscribe() }()
	if err := w.publish(&j); err != nil {
		return err
	}
	page := func() (*nats.Msg, error) {
		msg, err := pages.NextMsg(time.Minute)
		if err != nil {
			return nil, fmt.Errorf("no page of the job that is drained: %w", err)
		}
		return msg, nil
	}
	var worst time.Duration
	const times = 5
	for range times {
		for range 3 { // it runs
			if _, err := page(); err != nil {
				return err
			}
		}
		owner := w.ownerOf(j, nil)
		if owner == nil {
			return errors.New("nobody seems to run the job that is drained")
		}
		begun := time.Now()
		ended := make(chan struct{})
		go func() { owner.end(interrupt); close(ended) }()
		for {
			msg, err := page()
			if err != nil {
				return err
			}
			if took := time.Since(begun); w.ownerOf(j, owner) != nil {
				worst = max(worst, took)
				all.say("page %s comes from a successor %.2f s after SIGTERM", msg.Header.Get(messages.HeaderPage), took.Seconds())
				break
			}
			if msg.Header.Get(messages.HeaderLast) == "true" {
				return errors.New("the job ended before its owner did")
			}
		}
		<-ended
		if err := owner.start(); err != nil {
			return err
		}
		if err := await(w.ctx, time.Minute, owner.name, owner.ready); err != nil {
			return err
		}
	}
	all.keep(worst < 2*time.Second, "a successor published at most %.2f s after SIGTERM, %d times, pages of %.0f ms included (at most 2)",
		worst.Seconds(), times, ms(pageDelay))
	return nil
}

// ownerOf is the process that runs a job, another one than but; nil is none.
func (w *world) ownerOf(j job, but *crmbridge) *crmbridge {
	for _, c := range w.fleet {
		if c != but && c.wire.owns(j) {
			return c
		}
	}
	return nil
}
