package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// someSlots are slots that nothing else uses.
type someSlots struct {
	mu    sync.Mutex
	free  int
	freed chan struct{}
}

func newSlots(n int) *someSlots { return &someSlots{free: n, freed: make(chan struct{}, 1)} }

func (s *someSlots) Take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	s.free--
	return true
}

func (s *someSlots) Give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

func (s *someSlots) Freed() <-chan struct{} { return s.freed }

func (s *someSlots) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

type noConnections struct{}

func (noConnections) Incarnation(context.Context, string) (string, error) { return "i1", nil }

type noSealer struct{}

func (noSealer) Seal(plain, _ []byte) ([]byte, error)  { return plain, nil }
func (noSealer) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

// An executor stands in for the execution of a job.
type executor = func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome

// testLane is a lane of one process, and its slots.
type testLane struct {
	*Lane
	slots *someSlots
	stop  func()
}

var testRoutes = map[messages.Operation]route.Route{"accounts.search": {}, "accounts.count": {}}

// startLane starts a lane that runs jobs with an executor. change may change it before.
func startLane(t testing.TB, s *server.Server, slots int, run executor, change func(*Lane)) *testLane {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(nc, Options{Connections: noConnections{}, Sealer: noSealer{}, MaxInFlight: slots})
	if err != nil {
		t.Fatal(err)
	}
	l.execute = func(ctx context.Context, c claimed, turn turnFunc) outcome { return run(l, ctx, c, turn) }
	if change != nil {
		change(l)
	}
	out := &testLane{Lane: l, slots: newSlots(slots)}
	out.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		nc.Close()
		if n := out.slots.left(); n != slots {
			t.Errorf("%d of %d slots are free at the end", n, slots)
		}
	})
	t.Cleanup(out.stop)
	if err := l.Start(t.Context(), testRoutes, out.slots); err != nil {
		t.Fatal(err)
	}
	return out
}

// publishJobs publishes jobs, many at once, and waits for all acknowledgements.
func publishJobs(t testing.TB, js jetstream.JetStream, subjects ...string) {
	t.Helper()
	var acks []jetstream.PubAckFuture
	for _, subject := range subjects {
		ack, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: []byte("{}")},
			jetstream.WithStallWait(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			t.Fatal(err)
		case <-time.After(time.Minute):
			t.Fatal("a job was not acknowledged")
		}
	}
}

// search is the subjects of n jobs of a connection.
func search(connection string, n int) (subjects []string) {
	for i := range n {
		subjects = append(subjects, messages.Operation("accounts.search").JobSubject(connection, fmt.Sprintf("j%06d", i)))
	}
	return subjects
}

// finish ends a job as an execution does: its record, then its message.
func finish(l *Lane, c claimed) outcome {
	if !c.record.State.Ended() {
		c.record.State, c.record.Owner = messages.JobDone, ""
		if _, err := l.ledger.write(context.Background(), c.record, c.revision); err != nil {
			return outcome{lost: true}
		}
	}
	if err := deleteMessage(context.Background(), l.js, messages.JobsStream, c.message.Sequence); err != nil {
		return outcome{lost: true}
	}
	return outcome{ended: true}
}

// giveBack gives a claim back, as an execution does that was cut short.
func giveBack(l *Lane, c claimed) outcome {
	h := l.takeHold(c, func(error) {})
	h.stop()
	if h.write(context.Background(), func(r *messages.JobRecord) { r.State, r.Owner = messages.JobQueued, "" }) != nil {
		return outcome{lost: true}
	}
	return outcome{}
}

// await tries until something holds, much longer than it takes.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come to be: %s", what)
		}
	}
}

// awaitCount waits until as many are there, for as long as more come.
func awaitCount(t testing.TB, what string, want int, have func() int) {
	t.Helper()
	for n, end := -1, time.Now().Add(time.Minute); n < want; time.Sleep(5 * time.Millisecond) {
		now := have()
		if now != n {
			n, end = now, time.Now().Add(time.Minute)
		}
		if time.Now().After(end) {
			t.Fatalf("%s: it stays at %d, want %d", what, n, want)
		}
	}
}

// messagesIn is how many messages a stream has.
func messagesIn(t testing.TB, js jetstream.JetStream, stream string) int {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}

// A runs counts executions by job.
type runs struct {
	mu    sync.Mutex
	order []jobKey
}

func (r *runs) add(key jobKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, key)
}

func (r *runs) seen() []jobKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]jobKey(nil), r.order...)
}

// Jobs that are there when a process starts, and those that come later, run once each and
// leave nothing behind; a connection that comes behind thousands of jobs of another is not
// behind them.
func TestJobsRunAndTakeTurns(t *testing.T) {
	t.Parallel()
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	type claimOf struct {
		connection string
		at         time.Time
	}
	var mu sync.Mutex
	var claims []claimOf
	var seen runs
	hold := make(chan struct{})
	l := startLane(t, s, 4, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		<-hold
		_, done, err := turn(ctx)
		if err != nil {
			t.Error(err)
			return giveBack(l, c)
		}
		defer done()
		mu.Lock()
		claims = append(claims, claimOf{c.record.Connection, *c.record.StartedAt})
		mu.Unlock()
		seen.add(c.key())
		return finish(l, c)
	}, nil)
	many := 3_000
	if raced { // it takes several times as long for each
		many = 500
	}
	publishJobs(t, js, search("a", many)...)
	awaitCount(t, "known", many, l.board.count)
	publishJobs(t, js, search("b", 1)...)
	await(t, "b is known", func() bool { return l.board.count() == many+1 })
	close(hold)
	awaitCount(t, "jobs that ran", many+1, func() int { return len(seen.seen()) })
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(claims, func(a, b claimOf) int { return a.at.Compare(b.at) })
	for i, c := range claims {
		if c.connection == "b" && i > 8 { // four were open before, and as many may be claimed at once
			t.Errorf("b was claimed as number %d", i)
		}
	}
	await(t, "nothing waits", func() bool { return l.board.count() == 0 })
	if n := messagesIn(t, js, messages.JobsStream); n != 0 {
		t.Errorf("%d messages of jobs are left", n)
	}
	once := map[jobKey]int{}
	for _, key := range seen.seen() {
		once[key]++
	}
	if len(once) != many+1 || len(seen.seen()) != many+1 {
		t.Errorf("%d jobs ran %d times", len(once), len(seen.seen()))
	}
}

// Shutdown gives back what is in hand, and another process goes on with it.
func TestShutdownGivesBack(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	running := make(chan jobKey, 10)
	l := startLane(t, s, 4, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		if _, done, err := turn(ctx); err == nil {
			defer done()
		}
		running <- c.key()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errStopping) {
			t.Errorf("the cause is %v", context.Cause(ctx))
		}
		return giveBack(l, c)
	}, nil)
	publishJobs(t, js, search("a", 2)...)
	publishJobs(t, js, search("b", 2)...)
	for range 4 {
		<-running
	}
	l.stop()
	for _, connection := range []string{"a", "b"} {
		for _, id := range []string{"j000000", "j000001"} {
			record, _, err := ledger{js: js}.read(t.Context(), connection, id)
			if err != nil || record.State != messages.JobQueued || record.Owner != "" {
				t.Errorf("%s of %s: %+v, %v", id, connection, record, err)
			}
		}
	}
	second := make(chan claimed, 8)
	next := func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		second <- c
		<-ctx.Done()
		return giveBack(l, c)
	}
	// The lease is so long that no machine stands still for it: nothing is taken over.
	long := func(l *Lane) {
		l.options.Lease = 10 * time.Minute
		l.board.lease = l.options.Lease
	}
	other := startLane(t, s, 8, next, long)
	successor := startLane(t, s, 8, next, long)
	owners := map[string]int{}
	for range 4 {
		c := <-second
		owners[c.record.Owner]++
	}
	other.stop() // while the other hears of it
	for range owners[other.name] {
		if c := <-second; c.record.Owner != successor.name || c.record.Takeovers != 0 {
			t.Errorf("%+v", c.record)
		}
	}
}
