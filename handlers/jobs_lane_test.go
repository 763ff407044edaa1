package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A testLane runs one operation as a job and stores what it gets: parts up to a place
// together. It may crash anywhere; then it goes on at the last place that is stored.
type testLane struct {
	operation messages.Operation
	serve     func(context.Context, route.Call, []byte) route.Answer
	body      []byte
	call      route.Call
	memory    *budget.Budget

	counts     bool    // parts are only counted
	rows       int     // that were stored
	stored     []reply // in their order
	groups     int     // pages of Dataverse among them
	place      []byte
	ended      bool
	turns      atomic.Int64 // open
	most       atomic.Int64 // that were open at once
	taken      atomic.Int64
	executions int
	widest     int                   // the longest place
	between    func()                // runs after each page that was stored
	wait       func(context.Context) // runs before a turn is given
	settle     time.Duration         // before an execution is cancelled, for what was begun to come
}

// reply is what is read of a part.
type reply struct {
	Accounts   []messages.Row `json:"accounts"`
	Deleted    []string       `json:"deleted"`
	NextCursor string         `json:"next_cursor"`
	HasMore    bool           `json:"has_more"`
	Total      *int64         `json:"total"`
	bytes      int
	total      *int64
}

func newLane(t testing.TB, o *Operations, op messages.Operation, in any) *testLane {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	session, err := o.Dynamics.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := budget.New(budget.Bounds{Bytes: 1 << 30, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	l := &testLane{operation: op, serve: routesOf(t, o)[op].Serve, body: body, memory: memory}
	l.call = route.Call{Operation: op, RequestID: "x", Scope: "acme", Connection: "acme",
		Deadline: time.Now().Add(time.Hour),
		Budget:   1 << 20, Job: &route.Job{ID: "job", Incarnation: session.Incarnation(), MaxParts: 900, Turn: l.turn}}
	return l
}

// turn counts the turns that are open, and gives each page memory of its own.
func (l *testLane) turn(ctx context.Context) (context.Context, func(), error) {
	if l.wait != nil {
		l.wait(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	account, err := l.memory.Open(0)
	if err != nil {
		return nil, nil, err
	}
	l.taken.Add(1)
	n := l.turns.Add(1)
	for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
	}
	var over atomic.Bool
	return budget.With(ctx, account), func() {
		if over.Swap(true) {
			panic("a turn was given back twice")
		}
		account.Close()
		l.turns.Add(-1)
	}, nil
}

// A crash ends an execution: before the parts of a page are stored, after it, or in the
// midst of them.
type crash int

const (
	never crash = iota
	beforeStoring
	afterStoring
	between
	cancelled
)

// execute runs the operation once from the last place, and crashes in or behind the nth
// page of this execution.
func (l *testLane) execute(t testing.TB, how crash, nth int) error {
	t.Helper()
	l.executions++
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	call := l.call
	job := *call.Job
	job.From = slices.Clone(l.place)
	call.Job = &job
	var group []route.Part
	pages := 0
	defer func() {
		if n := l.turns.Load(); n != 0 {
			t.Errorf("%d turns are open after an execution", n)
		}
		if use := l.memory.Usage(); use.Used != 0 {
			t.Errorf("memory is held after an execution: %+v", use)
		}
	}()
	for part, err := range l.serve(ctx, call, l.body).Parts {
		if err != nil {
			return err
		}
		if len(part.Body) > l.call.Budget {
			t.Fatalf("a part has %d bytes of %d", len(part.Body), l.call.Budget)
		}
		group = append(group, part)
		if how == between && pages == nth {
			return nil
		}
		if part.Place == nil && !part.Last {
			continue
		}
		if part.Place != nil && part.Last {
			t.Fatal("the last part has a place")
		}
		if how == beforeStoring && pages == nth {
			return nil
		}
		if how == cancelled && pages == nth {
			time.Sleep(l.settle)
			cancel()
			how = never
		}
		if len(group) > job.MaxParts && job.MaxParts > 0 {
			t.Fatalf("%d parts are to be stored together", len(group))
		}
		bodies := 0
		for _, one := range group { // as they are now: bodies must have stayed
			l.store(t, one)
			bodies += len(one.Body)
		}
		if use := l.memory.Usage(); use.Used < int64(bodies) {
			t.Fatalf("%d bytes are counted for bodies of %d", use.Used, bodies)
		}
		l.groups++
		if group = nil; part.Last {
			l.ended = true
			return nil
		}
		if l.place, err = part.Place(); err != nil {
			t.Fatal(err)
		}
		l.widest = max(l.widest, len(l.place))
		if l.between != nil {
			l.between()
		}
		if pages++; how == afterStoring && pages > nth {
			return nil
		}
	}
	if !l.ended {
		t.Fatal("the answer has no end")
	}
	return nil
}

func (l *testLane) store(t testing.TB, part route.Part) {
	t.Helper()
	if l.rows += part.Rows; l.counts {
		return
	}
	body := part.Body
	if part.Encoded {
		reader, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if body, err = reader.DecodeAll(body, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := reply{bytes: len(part.Body), total: part.Total}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
	if part.Rows != len(r.Accounts)+len(r.Deleted) {
		t.Fatalf("%d rows and %d deletions in a part of %d", len(r.Accounts), len(r.Deleted), part.Rows)
	}
	l.stored = append(l.stored, r)
}

// finish runs the job to its end, with crashes at random.
func (l *testLane) finish(t testing.TB, random *rand.Rand) {
	t.Helper()
	for range 2000 {
		how, nth := crash(random.IntN(5)), random.IntN(3)
		if err := l.execute(t, how, nth); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if l.ended {
			return
		}
	}
	t.Fatal("the job has no end")
}

// once runs the job to its end without a crash.
func (l *testLane) once(t testing.TB) {
	t.Helper()
	if err := l.execute(t, never, 0); err != nil {
		t.Fatal(err)
	}
}

// ids are those of the stored rows, in their order.
func (l *testLane) ids(t testing.TB) (ids []string) {
	t.Helper()
	for _, r := range l.stored {
		for _, row := range r.Accounts {
			ids = append(ids, row.Text("id"))
		}
	}
	return ids
}

// encoder compresses as jobs ask for.
func encoder(t testing.TB) func([]byte) ([]byte, error) {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(4))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return func(body []byte) ([]byte, error) { return w.EncodeAll(body, nil), nil }
}

// sameRows fails the test unless got has each of want once, and nothing else.
func sameRows(t testing.TB, got, want []string) {
	t.Helper()
	times := map[string]int{}
	for _, id := range got {
		times[id]++
	}
	for _, id := range want {
		if times[id] != 1 {
			t.Errorf("row %s came %d times", id, times[id])
		}
		delete(times, id)
	}
	if len(times) > 0 {
		t.Errorf("%d rows that are none: %v", len(times), slices.Collect(maps.Keys(times))[:1])
	}
	if t.Failed() {
		t.FailNow()
	}
}

// codeOf is the code that requesters see.
func codeOf(t testing.TB, err error) messages.Code {
	t.Helper()
	return route.Classify(t.Context(), false, err).Code
}

func isChanged(err error) bool { return errors.Is(err, dynamics.ErrConnectionChanged) }
