package interactive

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A rehearsal is an admission in a bubble's time whose requests end when the test says.
type rehearsal struct {
	a *admission

	mu      sync.Mutex
	ran     []*request
	refused map[*request]messages.Code
	after   map[*request]time.Duration // the refusals
}

func rehearse(bounds admissionBounds) *rehearsal {
	s := &rehearsal{refused: map[*request]messages.Code{}, after: map[*request]time.Duration{}}
	s.a = newAdmission(bounds, func(r *request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ran = append(s.ran, r)
	}, func(r *request, why verdict) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused[r], s.after[r] = why.code, time.Since(r.arrived)
	})
	return s
}

// begun is how many requests have begun.
func (s *rehearsal) begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ran)
}

func (s *rehearsal) push(connection string, bytes int, deadline time.Duration) *request {
	return s.pushFrom("_INBOX.a.b", connection, bytes, deadline)
}

func (s *rehearsal) pushFrom(reply, connection string, bytes int, deadline time.Duration) *request {
	msg := &nats.Msg{Subject: op.ScopedSubject(connection), Reply: reply}
	if deadline != 0 {
		msg.Header = nats.Header{messages.HeaderDeadline: {time.Now().Add(deadline).UTC().Format(time.RFC3339Nano)}}
	}
	r := &request{msg: msg, size: bytes, arrived: time.Now()}
	s.a.push(r, connection)
	return r
}

// sweepFor sweeps as a Consumer does, for a while.
func (s *rehearsal) sweepFor(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(sweepEvery)
		s.a.sweep(time.Now())
	}
}

func TestHowLongASlotIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		deadline, after time.Duration
		want            messages.Code
	}{
		{0, messages.DefaultDeadline / 4, messages.Overloaded},
		{12 * time.Second, 3 * time.Second, messages.Overloaded},
		{2 * time.Second, time.Second, messages.Overloaded}, // a second in any case
		{500 * time.Millisecond, 500 * time.Millisecond, messages.DeadlineExceeded},
		{-time.Second, 0, messages.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := rehearse(admissionBounds{inFlight: 1, perConnection: 1, messages: 40, bytes: 1 << 20})
			s.push("hanging", 10, time.Minute)
			r := s.push("acme", 10, c.deadline)
			s.sweepFor(time.Minute)
			if s.refused[r] != c.want || s.after[r] < c.after || s.after[r] > c.after+2*sweepEvery {
				t.Errorf("deadline %s: %q after %s, want %q after %s", c.deadline, s.refused[r], s.after[r], c.want, c.after)
			}
		})
	}
}

// Who cannot be in time is told at once when that is known from the pace, and as soon as
// it is certain otherwise.
func TestWhoCannotBeInTimeIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 10, perConnection: 1, messages: 40, bytes: 1 << 20})
		pace := s.push("acme", 10, 0)
		time.Sleep(2 * time.Second)
		s.a.leave(pace, true)
		s.push("acme", 10, time.Minute)
		hopeless := s.push("acme", 10, time.Second)
		if s.refused[hopeless] != messages.Overloaded || s.after[hopeless] != 0 {
			t.Errorf("hopeless: %q after %s", s.refused[hopeless], s.after[hopeless])
		}
		patient := s.push("acme", 10, 4*time.Second)
		s.sweepFor(10 * time.Second)
		if after := s.after[patient]; s.refused[patient] != messages.Overloaded || after < 2*time.Second ||
			after > 3*time.Second {
			t.Errorf("patient: %q after %s", s.refused[patient], after)
		}
	})
}

// One connection has a quarter of the bytes that wait, and all together have no more
// than there are.
func TestBytesThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 1, perConnection: 1, messages: 1000, bytes: 40 << 10})
		s.push("hanging", 10, 0)
		for range 10 {
			s.push("acme", 3<<10, 0)
		}
		if n, bytes := s.a.load(); n != 3 || bytes != 9<<10 {
			t.Errorf("%d messages and %d bytes of one connection wait, want 3", n, bytes)
		}
		for i := range 20 {
			s.push(fmt.Sprint("c", i), 9<<10, 0)
			if _, bytes := s.a.load(); bytes > 40<<10 {
				t.Errorf("%d bytes wait", bytes)
			}
		}
		if n, _ := s.a.load(); n < 4 {
			t.Errorf("%d messages wait", n)
		}
	})
}

// Whatever happens to requests, nothing of them stays counted.
func TestWhatHasEndedIsNotCounted(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			bounds := admissionBounds{inFlight: 6, perConnection: 2, messages: 40, bytes: 64 << 10}
			s := rehearse(bounds)
			all := 0
			ended := 0
			for range 3 { // the queues fill and empty again
				for range 300 {
					deadline := time.Duration(random.IntN(20)) * time.Second
					s.pushFrom(fmt.Sprintf("_INBOX.%d.x", random.IntN(9)), fmt.Sprint("c", random.IntN(5)), random.IntN(6<<10),
						deadline)
					all++
					if random.IntN(3) == 0 && ended < len(s.ran) {
						ended++
						s.a.leave(s.ran[ended-1], random.IntN(2) == 0)
					}
					if random.IntN(10) == 0 {
						s.sweepFor(sweepEvery)
					}
					running := map[string]int{}
					for _, r := range s.ran[ended:] {
						running[r.queue.name]++
						if running[r.queue.name] > bounds.perConnection {
							t.Fatalf("%d of one connection are in flight", running[r.queue.name])
						}
					}
					if n := len(s.ran) - ended; n > bounds.inFlight {
						t.Fatalf("%d are in flight", n)
					}
				}
				for ended < len(s.ran) {
					ended++
					s.a.leave(s.ran[ended-1], true)
				}
			}
			if n, bytes := s.a.load(); n != 0 || bytes != 0 || s.a.inFlight != 0 {
				t.Errorf("%d messages and %d bytes wait, %d are in flight", n, bytes, s.a.inFlight)
			}
			for name, l := range s.a.queues {
				if l.running != 0 || l.requesters.size() != 0 || l.requesters.bytes() != 0 {
					t.Errorf("%s: %d run, %d wait with %d bytes", name, l.running, l.requesters.size(), l.requesters.bytes())
				}
				for of := range l.requesters.all {
					if of.bytes != 0 {
						t.Errorf("%s: a queue has %d bytes", name, of.bytes)
					}
				}
			}
			if len(s.ran)+len(s.refused) != all {
				t.Errorf("%d ran and %d were refused of %d", len(s.ran), len(s.refused), all)
			}
		})
	}
}

// Names that somebody made up take up a bounded number of lines, and none of a
// connection that has something in flight.
func TestInventedConnectionsTakeBoundedQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 10_000, perConnection: 1, messages: 40, bytes: 1 << 20})
		s.push("busy", 10, 0)
		for i := range 3 * maxQueues {
			r := s.push(fmt.Sprint("invented", i), 10, 0)
			if s.refused[r] == "" {
				s.a.leave(r, true)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(s.a.queues); n > maxQueues+1 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(2 * time.Second)
		s.push("newcomer", 10, 0)
		if s.a.queues["newcomer"] == nil {
			t.Error("those that nothing happens on keep a newcomer from a line of its own")
		}
		before := len(s.ran)
		s.push("busy", 10, 0)
		if len(s.ran) != before {
			t.Error("two of one connection are in flight")
		}
		for i := range 3 * maxQueues { // all of them in flight
			s.push(fmt.Sprint("hanging", i), 10, 0)
		}
		if n := len(s.a.queues); n > maxQueues+1 {
			t.Errorf("%d lines are in use", n)
		}
	})
}

// After the end nothing is taken.
func TestAnAbandonedAdmissionTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 1, perConnection: 1, messages: 40, bytes: 1 << 20})
		s.push("acme", 10, 0)
		waiting := s.push("acme", 10, 0)
		s.a.abandon()
		late := s.push("globex", 10, 0)
		if s.refused[waiting] != messages.Unavailable || s.refused[late] != messages.Unavailable || len(s.ran) != 1 {
			t.Errorf("%q and %q, %d ran", s.refused[waiting], s.refused[late], len(s.ran))
		}
	})
}

// Accounts and the inboxes of those without one take turns, and each takes its own in
// the order of arrival.
func TestTurnsOfAccountsAndInboxes(t *testing.T) {
	now := time.Now()
	s := newRequesterQueues()
	add := func(who requester, n int) {
		for range n {
			s.queue(who, now).push(&request{size: 1, msg: &nats.Msg{Reply: who.name}})
		}
	}
	add(requester{"inbox", false}, 4)
	add(requester{"A", true}, 4)
	add(requester{"B", true}, 4)
	counts := map[string]int{}
	for range 6 {
		counts[s.pop().msg.Reply]++
	}
	if counts["inbox"] != 2 || counts["A"] != 2 || counts["B"] != 2 {
		t.Errorf("of the first six: %v", counts)
	}
	for range 6 {
		if s.pop() == nil {
			t.Fatal("one is lost")
		}
	}
	if s.pop() != nil || s.size() != 0 || s.bytes() != 0 {
		t.Errorf("%d and %d bytes are left", s.size(), s.bytes())
	}
}

// What is known of requesters is bounded, and nobody's queue is taken by one who asks no
// more, nor by several within a second.
func TestQueuesAreNotTakenLightly(t *testing.T) {
	now := time.Now()
	g := newGroup(2)
	name := func(n uint64, times int) *requesterQueue {
		var l *requesterQueue
		for range times {
			l = g.queue(n, now)
		}
		return l
	}
	first, second := name(1, 10), name(2, 12)
	if first == g.shared || second == g.shared {
		t.Fatal("the first two have no queue of their own")
	}
	if name(3, 10) != g.shared {
		t.Error("one who asks as much took a queue")
	}
	if name(3, 12) == g.shared || g.own[1] != nil {
		t.Error("one who asks twice as much has no queue")
	}
	if name(4, 60) != g.shared {
		t.Error("a second queue was taken within a second")
	}
	now = now.Add(swapEvery)
	if name(4, 1) == g.shared {
		t.Error("no queue was taken after a second")
	}
	for n := range uint64(1000) {
		name(100+n, 1)
	}
	if len(g.rates) > maxRates {
		t.Errorf("%d rates", len(g.rates))
	}
	// One that is not known takes over the entry of who asks least, with its rate.
	least := g.count(5000, now)
	if least < 2 {
		t.Errorf("a newcomer among %d counts as %.1f", maxRates, least)
	}
}

// What a long message fills counts as several.
func TestWeights(t *testing.T) {
	g := newGroup(4)
	l := g.queue(1, time.Now())
	l.push(&request{size: 40 << 10})
	if l.weight() != 11 {
		t.Errorf("a message of 40 KiB weighs %d", l.weight())
	}
	l.remove(0)
	if l.weight() != 0 || g.bytes != 0 || g.size != 0 {
		t.Errorf("without it %d", l.weight())
	}
}

func TestRetryAfter(t *testing.T) {
	b := admissionBounds{perConnection: 2}
	for _, c := range []struct {
		took, need, want time.Duration
		running          int
	}{
		{0, 0, minRetryAfter, 0},
		{time.Second, 0, time.Second, 1},
		{time.Second, 0, 2 * time.Second, 2},
		{time.Second, 0, 3 * time.Second, 4},
		{time.Second, 5 * time.Second, 5 * time.Second, 1},
		{time.Second, time.Hour, maxRetryAfter, 1},
		{time.Minute, 0, maxRetryAfter, 1},
	} {
		q := &connQueue{took: c.took, running: c.running, requesters: newRequesterQueues()}
		if got := q.retryAfter(c.need, b); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A line hangs when nothing came back for five seconds and four times its pace, of which
// no more than four seconds count.
func TestWhenAConnectionHangs(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		took, silent time.Duration
		running      int
		want         bool
	}{
		{0, 4 * time.Second, 1, false},
		{0, 6 * time.Second, 1, true},
		{0, 6 * time.Second, 0, false},
		{3 * time.Second, 11 * time.Second, 1, false},
		{3 * time.Second, 13 * time.Second, 1, true},
		{time.Minute, 15 * time.Second, 1, false},
		{time.Minute, 17 * time.Second, 1, true},
	} {
		q := &connQueue{took: c.took, alive: now.Add(-c.silent), running: c.running}
		if q.hangs(now) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

// A short burst waits for its turn in any case; beyond it a queue is kept short.
func TestABurstIsTaken(t *testing.T) {
	now := time.Now()
	q := &connQueue{took: 10 * time.Millisecond, running: 1, alive: now, requesters: newRequesterQueues()}
	of := q.requesters.queue(requester{name: "a"}, now)
	for range 10 {
		of.push(&request{})
	}
	if q.standing(now) {
		t.Error("a burst of 100 ms is refused")
	}
	of.push(&request{})
	if !q.standing(now) {
		t.Error("a queue of more than 100 ms stands")
	}
	q.took, q.alive = 0, now.Add(-time.Minute)
	if q.pace(now) != time.Minute {
		t.Errorf("the pace of what hangs is %s", q.pace(now))
	}
}

// Of the slots a quarter is kept for connections that hold few, and one that hangs gets
// few once half of them are taken.
func TestWhoGetsASlot(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		taken, running int
		hangs, want    bool
	}{
		{0, 10, false, true}, {31, 10, true, true}, {32, 10, false, true},
		{32, 2, true, false}, {32, 1, true, true}, {32, 10, true, false},
		{47, 10, false, true}, {48, 10, false, false}, {48, 4, false, false}, {48, 3, false, true},
		{63, 1, false, false}, {63, 0, false, true}, {64, 0, false, false}, {0, 20, false, false},
	} {
		a := newAdmission(admissionBounds{inFlight: 64, perConnection: 20}, nil, nil)
		a.inFlight = c.taken
		q := &connQueue{running: c.running, alive: now}
		if c.hangs {
			q.alive = now.Add(-time.Minute)
		}
		if got := a.mayRun(q, now); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Only an answer is a sign of life.
func TestSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 10, perConnection: 10, messages: 40, bytes: 1 << 20})
		for range 3 {
			s.push("acme", 10, 0)
		}
		began := time.Now()
		time.Sleep(20 * time.Second)
		s.a.leave(s.ran[0], false)
		if q := s.a.queues["acme"]; !q.alive.Equal(began) || !q.hangs(time.Now()) {
			t.Errorf("alive %s after its beginning", q.alive.Sub(began))
		}
		s.a.leave(s.ran[1], true)
		if q := s.a.queues["acme"]; !q.alive.Equal(time.Now()) || q.hangs(time.Now()) {
			t.Error("an answer is no sign of life")
		}
	})
}
