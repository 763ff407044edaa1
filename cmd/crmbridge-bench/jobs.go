package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// A job is one that the bench has published.
type job struct {
	operation      messages.Operation
	connection, id string
	body           []byte
	published      time.Time
}

func newJob(op messages.Operation, connection, id string, body map[string]any) job {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a map of plain values
	}
	return job{operation: op, connection: connection, id: id, body: text}
}

func (j job) subject() string { return j.operation.JobSubject(j.connection, j.id) }
func (j job) results() string { return messages.ResultSubject(j.connection, j.id) }

// publish publishes a job, and again until it is stored: a repetition is refused, or the job
// has ended and runs nothing.
func (w *world) publish(j *job) error {
	return await(w.ctx, time.Minute, "publish a job", func(ctx context.Context) error {
		j.published = time.Now()
		_, err := w.js.Publish(ctx, j.subject(), j.body, jetstream.WithRetryAttempts(0))
		if err == nil {
			return nil
		}
		// The outcome is unknown: what is stored says it.
		if _, look := w.last(ctx, messages.JobsStream, j.subject()); look == nil {
			return nil
		}
		return err
	})
}

// fill publishes many jobs at once, without waiting for each.
func (w *world) fill(n int, make func(i int) job) error {
	const atOnce = 512
	for from := 0; from < n; from += atOnce {
		var waiting []jetstream.PubAckFuture
		for i := from; i < min(from+atOnce, n); i++ {
			j := make(i)
			future, err := w.js.PublishMsgAsync(&nats.Msg{Subject: j.subject(), Data: j.body})
			if err != nil {
				return fmt.Errorf("publish job %d: %w", i, err)
			}
			waiting = append(waiting, future)
		}
		for _, future := range waiting {
			select {
			case <-future.Ok():
			case err := <-future.Err():
				return fmt.Errorf("publish jobs: %w", err)
			case <-time.After(30 * time.Second):
				return errors.New("publish jobs: no acknowledgement within 30 s")
			}
		}
	}
	return nil
}

// awaitEnd waits for the last message of a job's results.
func (w *world) awaitEnd(ctx context.Context, j job) (stored, error) {
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		msg, err := w.last(attempt, messages.ResultsStream, j.results())
		done()
		if err == nil && msg.Header.Get(messages.HeaderLast) == "true" {
			return msg, nil
		}
		select {
		case <-ctx.Done():
			return msg, fmt.Errorf("job %s of %s has not ended; the last page is %q: %w", j.id, j.connection,
				msg.Header.Get(messages.HeaderPage), context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// An ends hears of the ends of jobs at once, by a plain subscription to results: for
// measuring times, not for reading results.
type ends struct {
	mu  sync.Mutex
	at  map[string]time.Time // by subject
	new chan struct{}
	sub *nats.Subscription
}

func (w *world) hearEnds() (*ends, error) {
	e := &ends{at: map[string]time.Time{}, new: make(chan struct{}, 1)}
	var err error
	e.sub, err = w.nc.Subscribe(messages.ResultSubjects, func(m *nats.Msg) {
		if m.Header.Get(messages.HeaderLast) != "true" {
			return
		}
		e.mu.Lock()
		if _, known := e.at[m.Subject]; !known {
			e.at[m.Subject] = time.Now()
		}
		e.mu.Unlock()
		select {
		case e.new <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	w.onStop(func() error { _ = e.sub.Unsubscribe(); return nil })
	return e, errors.Join(e.sub.SetPendingLimits(-1, -1), w.nc.Flush())
}

// took is how long after its publication a job's end was heard.
func (e *ends) took(ctx context.Context, j job) (time.Duration, error) {
	for {
		e.mu.Lock()
		at, ok := e.at[j.results()]
		e.mu.Unlock()
		if ok {
			return at.Sub(j.published), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no end of job %s of %s was heard: %w", j.id, j.connection, context.Cause(ctx))
		case <-e.new:
		case <-time.After(20 * time.Millisecond): // another waiter may have had the signal
		}
	}
}

// count is how many ends have been heard.
func (e *ends) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.at)
}

// accountsSearch is the operation of most jobs here.
var accountsSearch = messages.Accounts.Operation(messages.VerbSearch)

// distinctFields are the id and other fields, another choice for each i below 64: equal pages
// that are read at once are read only once.
func distinctFields(i int) []string {
	fields := []string{"id"}
	for bit, more := range []string{"name", "email", "city", "modified_at", "created_at", "phone"} {
		if i>>bit&1 == 1 {
			fields = append(fields, more)
		}
	}
	return fields
}
