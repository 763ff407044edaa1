package throttle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

// pipelines counts what goes to Redis by itself and together.
type pipelines struct{ alone, together, most atomic.Int64 }

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook { return next }
func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			p.alone.Add(1)
		}
		return next(ctx, cmd)
	}
}
func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.together.Add(1)
		p.most.Store(max(p.most.Load(), int64(len(cmds))))
		return next(ctx, cmds)
	}
}

func questions(n int) []*question {
	all := make([]*question, n)
	for i := range all {
		all[i] = &question{key: keyOf(dynamics.Principal{Environment: grace.Environment, User: fmt.Sprint(i)}), name: "one",
			ask: ask{wanted: 1 + i%3}, answered: make(chan struct{}, 1)}
	}
	return all
}

// Questions that are asked together get the answers that they would get alone: each its
// own, also from a Redis that does not know the script, and none from one that is away.
func TestQuestionsThatAreAskedTogether(t *testing.T) {
	s := newShared(t)
	count := &pipelines{}
	s.rdb.AddHook(count)
	p := s.process("one", 8)
	check := func(when string) {
		t.Helper()
		all := questions(8)
		s.try(func() error {
			p.askAll(t.Context(), all)
			var errs []error
			for _, q := range all {
				errs = append(errs, q.err)
			}
			return errors.Join(errs...)
		})
		for i, q := range all {
			if q.got.slots != 1+i%3 || q.got.all != 8 {
				t.Errorf("%s: question %d gets %+v", when, i, q.got)
			}
		}
	}
	check("a new Redis")
	alone := count.alone.Load()
	check("a Redis that knows the script")
	if count.alone.Load() != alone || count.together.Load() < 2 {
		t.Errorf("%d questions went alone, %d pipelines", count.alone.Load()-alone, count.together.Load())
	}
	s.m.Close()
	all := questions(3)
	p.askAll(t.Context(), all)
	for i, q := range all {
		if q.err == nil || q.got != (lease{}) {
			t.Errorf("without Redis question %d gets %+v, %v", i, q.got, q.err)
		}
	}
}

// restarted is a Redis that knows no script, and after saying so answers nothing more. It notes
// until when is waited for it.
type restarted struct {
	mu    sync.Mutex
	until []time.Time
}

type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT No matching script" }
func (noScript) RedisError()   {}

func (r *restarted) waits(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, _ := ctx.Deadline()
	r.until = append(r.until, end)
}
func (r *restarted) DialHook(next redis.DialHook) redis.DialHook { return next }
func (r *restarted) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, _ redis.Cmder) error {
		r.waits(ctx)
		return context.DeadlineExceeded
	}
}
func (r *restarted) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		r.waits(ctx)
		for _, cmd := range cmds {
			cmd.SetErr(noScript{})
		}
		return noScript{}
	}
}

// Many questions take no longer than one where Redis goes away between them.
func TestQuestionsToARedisThatGoesAwayShareItsTime(t *testing.T) {
	s := newShared(t)
	r := &restarted{}
	s.rdb.AddHook(r)
	all := questions(5)
	s.process("one", 8).askAll(t.Context(), all)
	if len(r.until) != 1+len(all) {
		t.Fatalf("Redis was asked %d times", len(r.until))
	}
	for i, end := range r.until {
		if end.IsZero() || end.After(r.until[0]) {
			t.Errorf("exchange %d ends %s after the first one's end", i, end.Sub(r.until[0]))
		}
	}
	for i, q := range all {
		if q.err == nil {
			t.Errorf("question %d gets %+v", i, q.got)
		}
	}
}

// The first question asks for those that come until it does, up to a bound.
func TestWhoAsksForTheOthers(t *testing.T) {
	var b batch
	all := questions(mostTogether + 2)
	first := b.join(all[0])
	if first == nil {
		t.Fatal("nobody asks")
	}
	for _, q := range all[1:mostTogether] {
		if b.join(q) != nil {
			t.Fatal("two ask")
		}
	}
	second := b.join(all[mostTogether])
	if second == nil || b.join(all[mostTogether+1]) != nil {
		t.Fatal("a batch has no bound")
	}
	if n := len(b.end(first)); n != mostTogether {
		t.Errorf("the first asks %d questions", n)
	}
	if n := len(b.end(second)); n != 2 {
		t.Errorf("the second asks %d questions", n)
	}
	if b.join(all[0]) == nil {
		t.Error("a batch that has been asked takes one more")
	}
}

// A process renews the slots of its users together while their calls are in flight, and
// they keep them.
func TestUsersAreRenewedTogether(t *testing.T) {
	s := newShared(t)
	count := &pipelines{}
	s.rdb.AddHook(count)
	limits, err := New(Config{Redis: s.rdb, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer limits.Close()
	for i := range 8 {
		leave, err := limits.Enter(t.Context(), dynamics.Principal{User: fmt.Sprint(i)}, "acme")
		if err != nil {
			t.Fatal(err)
		}
		defer leave(dynamics.Answer{})
	}
	for end := time.Now().Add(30 * time.Second); count.most.Load() < 4; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("at most %d of 8 users are renewed together", count.most.Load())
		}
	}
	other := s.process("other", 1)
	s.key = keyOf(dynamics.Principal{User: "3"})
	s.slots(other, 1, 0, "a slot that is in use")
}

// The moments at which renewals come due are the same for all, and none is further ahead
// than renewEvery.
func TestWhenRenewalsComeDue(t *testing.T) {
	limits := &Throttle{since: time.Now()}
	for _, at := range []time.Duration{0, time.Millisecond, renewEvery - 1, renewEvery, 7*renewEvery + 3} {
		now := limits.since.Add(at)
		due := limits.due(now)
		if due <= 0 || due > renewEvery || now.Add(due).Sub(limits.since)%renewEvery != 0 {
			t.Errorf("%s after the beginning: due in %s", at, due)
		}
	}
}
