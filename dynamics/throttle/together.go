package throttle

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A process that is at work asks for each of its users every renewEvery, though nobody waits
// for the answer. Those questions come due at the same moments, and go to Redis in one
// pipeline: for one user alone the way to Redis and back costs several times what the
// question does.

const (
	// gatherFor is how long the first of these questions waits for the others.
	gatherFor = time.Millisecond
	// mostTogether bounds a pipeline: who is in it waits for all of its answers.
	mostTogether = 64
)

// A question is one user's, in a batch.
type question struct {
	key, name string
	ask       ask
	got       lease
	err       error
	answered  chan struct{} // of capacity 1
}

// batch gathers questions. The zero value has none.
type batch struct {
	mu   sync.Mutex
	open *[]*question // of those that wait for the first one to ask, nil where there is none
}

// join adds a question to those that are gathered. first is where it has to ask for all.
func (b *batch) join(q *question) (first *[]*question) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil && len(*b.open) < mostTogether {
		*b.open = append(*b.open, q)
		return nil
	}
	b.open = &[]*question{q}
	return b.open
}

// end is what has been gathered; no more is added.
func (b *batch) end(of *[]*question) []*question {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == of {
		b.open = nil
	}
	return *of
}

// due is how long it is until questions come due that nobody waits for: renewEvery at most.
func (t *Throttle) due(now time.Time) time.Duration { return renewEvery - now.Sub(t.since)%renewEvery }

// leaseTogether is lease for a question that nobody waits for.
func (t *Throttle) leaseTogether(ctx context.Context, q *question) (lease, error) {
	of := t.batch.join(q)
	if of == nil {
		<-q.answered
		return q.got, q.err
	}
	timer := time.NewTimer(gatherFor)
	select {
	case <-timer.C:
	case <-ctx.Done():
		timer.Stop()
	}
	all := t.batch.end(of)
	t.askAll(ctx, all)
	for _, other := range all[1:] {
		other.answered <- struct{}{}
	}
	return q.got, q.err
}

// askAll asks Redis all questions, within redisWait: a Redis that has been started anew knows no
// script, and may then not answer those who ask one after the other.
func (t *Throttle) askAll(ctx context.Context, all []*question) {
	if len(all) == 1 {
		all[0].got, all[0].err = t.lease(ctx, all[0].key, all[0].name, all[0].ask)
		return
	}
	bounded, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	pipe := t.config.Redis.Pipeline()
	answers := make([]*redis.Cmd, len(all))
	for i, q := range all {
		answers[i] = leaseScript.EvalSha(bounded, pipe, keysOf(q.key), t.leaseArgs(q.name, q.ask)...)
	}
	_, _ = pipe.Exec(bounded) // each answer has its own error
	for i, q := range all {
		if q.got, q.err = t.leaseOf(answers[i]); redis.HasErrorPrefix(q.err, "NOSCRIPT") {
			q.got, q.err = t.lease(bounded, q.key, q.name, q.ask)
		}
	}
}
