package interactive

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// moments at which a request's deadline passes, it ends, and the process gives up; zero is
// never.
type moments struct{ deadline, over, abandoned time.Duration }

// A request's context is what the package context would have made, and so is what is made
// from it: when it ends, with what error and cause, and in what order that is seen.
func TestARequestsContextIsLikeAnyOther(t *testing.T) {
	for _, m := range []moments{
		{time.Second, 0, 0}, {time.Second, 500 * time.Millisecond, 0}, {time.Second, 0, 500 * time.Millisecond},
		{time.Second, 2 * time.Second, 3 * time.Second}, {3 * time.Second, 2 * time.Second, time.Second},
		{-time.Second, time.Second, 0}, {-time.Second, 0, -1}, {time.Second, 0, -1}, {0, 0, 0}, {30 * time.Second, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			working, abandon := context.WithCancel(t.Context())
			want := seen(t, m, working, abandon, func(at time.Time) (context.Context, func()) {
				ctx, cancel := context.WithDeadline(working, at)
				return ctx, cancel
			})
			working, abandon = context.WithCancel(t.Context())
			var a alarm
			defer a.off()
			got := seen(t, m, working, func() { abandon(); a.abandon() }, func(at time.Time) (context.Context, func()) {
				ctx := &requestContext{values: valuesOf(t.Context()), deadline: at}
				a.watch(ctx, working)
				return ctx, func() { a.let(ctx) }
			})
			if got != want {
				t.Errorf("%+v:\n%s\nwant\n%s", m, got, want)
			}
		})
	}
}

// seen tells what is seen of a context and of what is made from it.
func seen(t *testing.T, m moments, working context.Context, abandon func(),
	begin func(deadline time.Time) (context.Context, func())) string {
	var log strings.Builder
	start := time.Now()
	if m.abandoned < 0 {
		abandon()
	}
	ctx, over := begin(start.Add(m.deadline))
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	longer, cancelLonger := context.WithTimeout(ctx, time.Hour)
	defer cancelLonger()
	shorter, cancelShorter := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancelShorter()
	innermost, cancelInnermost := context.WithCancel(longer)
	defer cancelInnermost()
	apart := context.WithoutCancel(ctx)
	if ctx.Err() == nil {
		stop := context.AfterFunc(ctx, func() { t.Error("what was stopped is called") })
		fmt.Fprintln(&log, "stopped:", stop(), stop())
	}
	after := make(chan time.Duration, 1)
	context.AfterFunc(ctx, func() { after <- time.Since(start) })
	all := map[string]context.Context{"itself": ctx, "inner": inner, "longer": longer, "shorter": shorter,
		"innermost": innermost, "apart": apart}
	look := func(when string) {
		synctest.Wait()
		for name, c := range all {
			deadline, bounded := c.Deadline()
			done := false
			select {
			case <-c.Done():
				done = true
			default:
			}
			all := fmt.Sprintf("%s %s: %v %v, done %v, deadline %v %v", when, name, c.Err(), context.Cause(c), done,
				deadline.Sub(start), bounded)
			fmt.Fprintln(&log, all)
		}
		select {
		case at := <-after:
			fmt.Fprintln(&log, when, "called at", at)
		default:
		}
	}
	look("at first")
	for range 8 {
		time.Sleep(500*time.Millisecond - time.Nanosecond)
		look(fmt.Sprint("before ", time.Since(start)))
		time.Sleep(time.Nanosecond)
		now := time.Since(start)
		look(fmt.Sprint("at ", now))
		if now == m.over {
			over()
			fmt.Fprintln(&log, "at once:", ctx.Err(), inner.Err(), innermost.Err())
		}
		if now == m.abandoned {
			abandon()
			fmt.Fprintln(&log, "at once:", ctx.Err(), inner.Err(), innermost.Err())
		}
		look(fmt.Sprint("after ", now))
	}
	over()
	look("in the end")
	lines := strings.Split(log.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// One timer serves requests whose deadlines come in any order: each context ends at its own
// moment, and none at another's.
func TestAnAlarmServesManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a alarm
		defer a.off()
		var before []*requestContext
		for i, m := range []moments{
			{deadline: 30 * time.Second, over: time.Second}, {deadline: time.Second},
			{deadline: time.Second, over: 500 * time.Millisecond}, {deadline: 30 * time.Second},
			{deadline: time.Minute, over: 59 * time.Second}, {deadline: 100 * time.Millisecond},
			{deadline: time.Second, over: time.Second - 1}, {deadline: time.Second, over: time.Second - 1},
			{deadline: 2 * time.Second}, {deadline: -1}, {deadline: time.Hour, over: time.Millisecond},
			{deadline: 2 * time.Hour},
		} {
			begun := time.Now()
			deadline := begun.Add(m.deadline)
			if i%2 == 1 {
				deadline = deadline.Round(0) // as one that was sent: without the monotonic clock
			}
			ctx := &requestContext{values: t.Context(), deadline: deadline}
			a.watch(ctx, t.Context())
			want := context.DeadlineExceeded
			if m.over > 0 {
				want = context.Canceled
				time.AfterFunc(m.over, func() { a.let(ctx) })
			}
			<-ctx.Done()
			ends := max(m.deadline, 0)
			if m.over > 0 {
				ends = m.over
			}
			if took := time.Since(begun); took != ends || ctx.Err() != want {
				t.Errorf("%d: %+v: %v after %v", i, m, ctx.Err(), took)
			}
			synctest.Wait()
			a.let(ctx)
			if ctx.Err() != want {
				t.Errorf("%d: another end: %v", i, ctx.Err())
			}
			before = append(before, ctx)
		}
		time.Sleep(3 * time.Hour) // whatever rings, rings for nobody
		for i, ctx := range before {
			if ctx.Err() == nil || len(ctx.endings) > 0 {
				t.Errorf("%d: %v, %d", i, ctx.Err(), len(ctx.endings))
			}
		}
	})
}

// Whatever was taken back, or has been called, is not kept.
func TestEndingsAreNotKept(t *testing.T) {
	ctx := &requestContext{values: t.Context(), deadline: time.Now().Add(time.Hour)}
	var stops []func() bool
	called := 0
	for range 10 {
		stops = append(stops, ctx.AfterFunc(func() { called++ }))
	}
	for i, stop := range stops {
		if i%3 == 0 && (!stop() || stop()) {
			t.Error(i, "is stopped never, or twice")
		}
	}
	ctx.end(context.Canceled)
	ctx.end(context.DeadlineExceeded)
	if called != 6 || ctx.endings != nil || ctx.Err() != context.Canceled {
		t.Error(called, ctx.endings, ctx.Err())
	}
	for i, stop := range stops {
		if stop() {
			t.Error(i, "is stopped though it was called")
		}
	}
}

// A request's context is asked for values by net/http, five times for each call.
func TestAskingForAValueTakesNoMemory(t *testing.T) {
	type key struct{}
	parent, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "there"))
	ctx := &requestContext{values: valuesOf(parent), deadline: time.Now().Add(time.Hour)}
	stop()
	if got := ctx.Value(key{}); got != "there" {
		t.Errorf("a value of the process is %v", got)
	}
	if err := context.Cause(ctx); err != nil || ctx.values.Done() != nil {
		t.Errorf("it ended with the process: %v", err)
	}
	type other struct{}
	var asked any = other{}
	if n := testing.AllocsPerRun(100, func() { ctx.Value(asked) }); n != 0 {
		t.Errorf("asking for a value takes %v allocations", n)
	}
}
