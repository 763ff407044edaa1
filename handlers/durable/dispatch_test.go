package durable

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// quickly ends jobs at once and notes them.
func quickly(seen *runs) executor {
	return func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		_, done, err := turn(ctx)
		if err != nil {
			return giveBack(l, c)
		}
		defer done()
		first := !c.record.State.Ended()
		out := finish(l, c)
		if out.ended && first {
			seen.add(c.key())
		}
		return out
	}
}

// once fails the test where not every job ran once.
func (r *runs) once(t testing.TB, want int) {
	t.Helper()
	times := map[jobKey]int{}
	for _, key := range r.seen() {
		if times[key]++; times[key] > 1 {
			t.Errorf("%v ran %d times", key, times[key])
		}
	}
	if len(times) != want {
		t.Errorf("%d jobs ran, want %d", len(times), want)
	}
}

// Several processes share the jobs: each runs once, and they seldom want the same.
func TestSeveralProcessesShareJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it runs 1,000 jobs")
	}
	t.Parallel()
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	var lanes []*testLane
	for range 3 {
		lanes = append(lanes, startLane(t, s, 8, quickly(&seen), nil))
	}
	const of, each = 10, 100
	var subjects []string
	for i := range of {
		subjects = append(subjects, search(fmt.Sprintf("c%d", i), each)...)
	}
	publishJobs(t, js, subjects...)
	awaitCount(t, "jobs that ran", of*each, func() int { return len(seen.seen()) })
	for i, l := range lanes {
		awaitCount(t, fmt.Sprintf("jobs that are left for %d, negative", i), 0, func() int { return -l.board.count() })
	}
	seen.once(t, of*each)
	if n := messagesIn(t, js, messages.JobsStream); n != 0 {
		t.Errorf("%d messages of jobs are left", n)
	}
}

// More jobs of a connection than memory has room for are read when there is, in every process.
func TestMoreJobsThanMemoryHas(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it runs 900 jobs")
	}
	t.Parallel()
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	small := func(l *Lane) { l.board.memory, l.board.most = 120, 40 }
	a, b := startLane(t, s, 4, quickly(&seen), small), startLane(t, s, 4, quickly(&seen), small)
	publishJobs(t, js, search("a", 600)...)
	publishJobs(t, js, search("b", 300)...)
	awaitCount(t, "jobs that ran", 900, func() int { return len(seen.seen()) })
	for _, l := range []*testLane{a, b} {
		awaitCount(t, "jobs that are left, negative", 0, func() int { return -l.board.count() })
	}
	seen.once(t, 900)
}

// crash leaves a claimed job as a process does that was killed.
func crash(claims chan<- claimed) executor {
	return func(_ *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		claims <- c
		<-ctx.Done()
		return outcome{lost: true}
	}
}

// lease has leases run out soon.
func lease(d time.Duration) func(*Lane) {
	return func(l *Lane) {
		l.board.lease = d
		l.board.jitter = func() time.Duration { return rand.N(d / 4) }
	}
}

// Jobs of a process that has died are taken over, once, and the records count it; those of a
// process whose heartbeat goes on are not.
func TestTakeovers(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for leases to run out")
	}
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	const dead, alive = 6, 6
	claims := make(chan claimed, dead+alive)
	first := startLane(t, s, 16, crash(claims), nil)
	publishJobs(t, js, append(search("dead", dead), search("alive", alive)...)...)
	beating, stop := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	var owned []claimed
	for range dead + alive {
		c := <-claims
		if c.record.Connection == "dead" {
			continue
		}
		owned = append(owned, c)
	}
	var refused atomic.Int32
	for _, c := range owned {
		beats.Go(func() {
			for record, at := c.record, c.revision; beating.Err() == nil; time.Sleep(100 * time.Millisecond) {
				record.Beat++
				next, err := ledger{js: js}.write(t.Context(), record, at)
				if errors.Is(err, errConflict) {
					refused.Add(1)
					return
				}
				if err == nil {
					at = next
				}
			}
		})
	}
	var seen runs
	var takeovers atomic.Int64
	run := func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		if c.record.State.Ended() {
			return finish(l, c) // its message is deleted in this moment
		}
		if c.record.Takeovers != 1 || c.record.Owner != l.name || c.record.Digest == "" {
			t.Errorf("the record is %+v", c.record)
		}
		takeovers.Add(1)
		return quickly(&seen)(l, ctx, c, turn)
	}
	second, third := startLane(t, s, 2, run, lease(2*time.Second)), startLane(t, s, 2, run, lease(2*time.Second))
	await(t, "the dead one's jobs have run", func() bool { return len(seen.seen()) >= dead })
	seen.once(t, dead)
	for _, key := range seen.seen() {
		if key.connection != "dead" {
			t.Errorf("%v was taken over", key)
		}
	}
	if n := refused.Load(); n != 0 {
		t.Errorf("%d owners that live lost their jobs", n)
	}
	stop()
	beats.Wait()
	await(t, "the others have run", func() bool { return len(seen.seen()) >= dead+alive })
	seen.once(t, dead+alive)
	first.stop()
	for _, l := range []*testLane{second, third} {
		awaitCount(t, "jobs that are left, negative", 0, func() int { return -l.board.count() })
	}
}

// An owner that was paused finds out that its job is another's, by what it hears.
func TestALostJobIsHeardOf(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	claims, causes := make(chan claimed, 1), make(chan error, 1)
	startLane(t, s, 4, func(_ *Lane, ctx context.Context, c claimed, _ turnFunc) outcome {
		claims <- c
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return outcome{lost: true}
	}, nil)
	publishJobs(t, js, search("a", 1)...)
	c := <-claims
	other := c.record
	other.Owner = "other"
	// What is refused is heard as well: it changes nothing.
	if _, err := (ledger{js: js}).write(t.Context(), other, c.revision+100); !errors.Is(err, errConflict) {
		t.Fatal(err)
	}
	select {
	case cause := <-causes:
		t.Fatalf("it ended: %v", cause)
	case <-time.After(300 * time.Millisecond):
	}
	if _, err := (ledger{js: js}).write(t.Context(), other, c.revision); err != nil {
		t.Fatal(err)
	}
	if cause := <-causes; !errors.Is(cause, errNotOurs) {
		t.Errorf("the cause is %v", cause)
	}
}

// The follower is made again where its consumer is deleted, where the streams are, and where
// the server is started again; nothing is run twice or forgotten.
func TestTheFollowerIsMadeAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for a server to start again")
	}
	t.Parallel()
	dir := t.TempDir()
	s := streamstest.Server(t, func(o *server.Options) { o.StoreDir = dir })
	_, js := streamstest.Connect(t, s, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	var seen runs
	startLane(t, s, 4, quickly(&seen), func(l *Lane) { l.pullWait = time.Second })
	publishJobs(t, js, search("a", 10)...)
	await(t, "the first have run", func() bool { return len(seen.seen()) == 10 })

	stream, err := js.Stream(t.Context(), messages.JobsStream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	publishJobs(t, js, search("b", 10)...)
	await(t, "those after the consumer was deleted", func() bool { return len(seen.seen()) == 20 })

	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	streamstest.Server(t, func(o *server.Options) { o.StoreDir, o.Port = dir, port })
	await(t, "a publisher reconnects", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: search("c", 1)[0], Data: []byte("{}")})
		return err == nil || len(seen.seen()) == 21
	})
	await(t, "one after the server was started again", func() bool { return len(seen.seen()) >= 21 })

	if err := js.DeleteStream(t.Context(), messages.JobsStream); err != nil {
		t.Fatal(err)
	}
	await(t, "the stream is made again", func() bool {
		_, err := js.Stream(t.Context(), messages.JobsStream)
		return err == nil
	})
	publishJobs(t, js, search("d", 10)...)
	await(t, "those after the stream was made again", func() bool { return len(seen.seen()) >= 31 })
	seen.once(t, 31)
}

// What the follower has missed is found by the count of the stream's messages.
func TestMissedJobsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for the messages to be counted")
	}
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	l := startLane(t, s, 4, quickly(&seen), func(l *Lane) {
		l.pullWait, l.recountEvery = 300*time.Millisecond, 100*time.Millisecond
		run := l.execute
		l.execute = func(ctx context.Context, c claimed, turn turnFunc) outcome {
			if c.record.Connection == "forgotten" && len(seen.seen()) == 0 {
				seen.add(c.key())
				_ = giveBack(l, c)
				return outcome{ended: true} // it is not, and nobody hears otherwise
			}
			return run(ctx, c, turn)
		}
	})
	publishJobs(t, js, search("forgotten", 1)...)
	await(t, "it is found", func() bool { return len(seen.seen()) == 2 })
	await(t, "nothing is left", func() bool {
		return l.board.count() == 0 &&
			messagesIn(t, js, messages.JobsStream) == 0
	})
}

// A job runs once however often it is published, also after it has ended; and another job
// under its id is dropped, of whatever operation.
func TestAnIDRunsOnce(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	var ended atomic.Int32
	l := startLane(t, s, 4, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		if c.record.State.Ended() {
			ended.Add(1)
			return finish(l, c)
		}
		c.record.Incarnation = "i1"
		return quickly(&seen)(l, ctx, c, turn)
	}, nil)
	drained := func() bool { return messagesIn(t, js, messages.JobsStream) == 0 && l.board.count() == 0 }
	subject := search("a", 1)[0]
	publishJobs(t, js, subject)
	await(t, "it has run", drained)
	publishJobs(t, js, subject)
	await(t, "it is gone again", drained)
	if ended.Load() != 1 {
		t.Errorf("its end was finished %d times", ended.Load())
	}
	for _, other := range []*nats.Msg{
		{Subject: subject, Data: []byte(`{"limit":1}`)},
		{Subject: strings.Replace(subject, "accounts.search", "accounts.count", 1), Data: []byte("{}")},
	} {
		if _, err := js.PublishMsg(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		await(t, "it is gone", drained)
	}
	seen.once(t, 1)
	if ended.Load() != 1 {
		t.Error("another job's end was finished")
	}

	// A record of a connection that is gone says nothing about the one that was made again.
	record, at, err := ledger{js: js}.read(t.Context(), "a", "j000000")
	if err != nil {
		t.Fatal(err)
	}
	record.Incarnation = "i0"
	if _, err := (ledger{js: js}).write(t.Context(), record, at); err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(`{"limit":2}`)}); err != nil {
		t.Fatal(err)
	}
	await(t, "it has run", func() bool { return len(seen.seen()) == 2 })
}

// Two jobs of one id and different operations that wait at the same time: one runs.
func TestTwoJobsOfOneIDAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for a lease")
	}
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	release := make(chan struct{})
	var seen runs
	l := startLane(t, s, 4, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		<-release
		return quickly(&seen)(l, ctx, c, turn)
	}, lease(time.Second))
	publishJobs(t, js, "crm.accounts.search.job.a.one", "crm.accounts.count.job.a.one")
	await(t, "both are known", func() bool { return l.board.count() == 2 })
	close(release)
	await(t, "nothing is left", func() bool {
		return len(seen.seen()) >= 1 && l.board.count() == 0 && messagesIn(t, js, messages.JobsStream) == 0
	})
	seen.once(t, 1)
}

// A job whose message is gone when it is claimed leaves no record, and one that is given back
// with a time runs after it.
func TestJobsThatAreGoneAndThatWait(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for a job's time")
	}
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	var tries atomic.Int32
	var again time.Time
	var waits jobKey
	l := startLane(t, s, 1, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		if tries.Add(1) == 1 {
			waits, again = c.key(), time.Now().Add(1500*time.Millisecond)
			at := again.UTC()
			c.record.State, c.record.Owner, c.record.RetryAt = messages.JobQueued, "", &at
			if _, err := l.ledger.write(context.Background(), c.record, c.revision); err != nil {
				t.Error(err)
			}
			return outcome{again: again}
		}
		if c.key() == waits && time.Now().Before(again) {
			t.Error("the job ran before its time")
		}
		return quickly(&seen)(l, ctx, c, turn)
	}, nil)
	slot := l.slots.Take() // so that nothing is claimed
	if !slot {
		t.Fatal("no slot")
	}
	publishJobs(t, js, search("a", 3)...)
	await(t, "they are known", func() bool { return l.board.count() == 3 })
	if err := deleteMessage(t.Context(), js, messages.JobsStream, 2); err != nil {
		t.Fatal(err)
	}
	// Another process hears of it too, and does not try it before its time.
	startLane(t, s, 1, quickly(&seen), nil)
	l.slots.Give()
	await(t, "nothing is left", func() bool {
		return len(seen.seen()) >= 2 && messagesIn(t, js, messages.JobsStream) == 0 && l.board.count() == 0
	})
	seen.once(t, 2)
	if n := messagesIn(t, js, messages.StateStream); n != 2 {
		t.Errorf("there are %d records", n)
	}
}

// A record that cannot be read, or is of a newer form, stops nobody who need not stop.
func TestForeignRecords(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	l := startLane(t, s, 1, quickly(&seen), nil)
	if !l.slots.Take() {
		t.Fatal("no slot")
	}
	for id, record := range map[string]string{"broken": `{"form":`,
		"long":  `"` + strings.Repeat("x", messages.MaxJobRecord) + `"`,
		"newer": fmt.Sprintf(`{"form":%d,"state":"paused"}`, messages.JobForm+1)} {
		if _, err := js.Publish(t.Context(), messages.StateSubject("a", id), []byte(record)); err != nil {
			t.Fatal(err)
		}
		publishJobs(t, js, messages.Operation("accounts.search").JobSubject("a", id))
	}
	l.slots.Give()
	await(t, "two have run", func() bool { return len(seen.seen()) == 2 })
	await(t, "one is left", func() bool { return l.board.count() == 1 })
	if jobs := l.known(jobKey{}, 10); len(jobs) != 1 || jobs[0].ID != "newer" {
		t.Errorf("%+v", jobs)
	}
}

// A turn carries an account of the memory budget and says that nobody waits for it; without
// memory the job gives its slot to others meanwhile.
func TestTurns(t *testing.T) {
	memory, err := budget.New(budget.Bounds{Bytes: 1 << 20, Reserve: 1 << 18, Intake: 1 << 18})
	if err != nil {
		t.Fatal(err)
	}
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	l := startLane(t, s, 1, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		for range 3 {
			page, done, err := turn(ctx)
			if err != nil {
				t.Error(err)
				return giveBack(l, c)
			}
			if budget.From(page) == nil || !dynamics.Background(page) || memory.Usage().Accounts != 1 {
				t.Error("the turn has no account, or is not a job's")
			}
			done()
			done() // twice is once
		}
		seen.add(c.key())
		return finish(l, c)
	}, func(l *Lane) { l.options.Memory = memory })
	full, err := memory.Open(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	publishJobs(t, js, search("a", 2)...)
	await(t, "a turn finds no memory", func() bool { return memory.Usage().Refused > 0 })
	await(t, "its slot is free", func() bool { return l.slots.left() == 1 })
	full.Close()
	await(t, "they have run", func() bool { return len(seen.seen()) == 2 && l.board.count() == 0 })
	if use := memory.Usage(); use.Used != 0 {
		t.Errorf("%+v", use)
	}
}

// Without JetStream requests work and jobs do not: why is said, and when there is one jobs are
// run without a restart.
func TestJetStreamThatComesLater(t *testing.T) {
	dir := t.TempDir()
	s := streamstest.Server(t, func(o *server.Options) { o.JetStream = false })
	var seen runs
	l := startLane(t, s, 4, quickly(&seen), nil)
	if l.Trouble() == "" || l.missing() == "" || !strings.Contains(l.missing(), "JetStream") {
		t.Errorf("%q, %q", l.Trouble(), l.missing())
	}
	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	s = streamstest.Server(t, func(o *server.Options) { o.StoreDir, o.Port = dir, port })
	await(t, "there is a lane", func() bool { return l.missing() == "" && l.Trouble() == "" })
	_, js := streamstest.Connect(t, s)
	publishJobs(t, js, search("a", 5)...)
	await(t, "they have run", func() bool { return len(seen.seen()) == 5 })
}
