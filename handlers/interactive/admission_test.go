package interactive

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// ask publishes a request about a connection and returns where its answer comes.
func ask(t *testing.T, nc *nats.Conn, connection, inbox string, header nats.Header) {
	t.Helper()
	if err := nc.PublishMsg(&nats.Msg{Subject: op.ScopedSubject(connection), Reply: inbox, Header: header}); err != nil {
		t.Fatal(err)
	}
}

func subscribe(t *testing.T, nc *nats.Conn, inbox string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(inbox + ".*")
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// arrives waits for what must come, and fails the test where it does not: a test of
// something that is broken ends too.
func arrives[T any](t *testing.T, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(time.Minute):
		t.Fatal("it did not come")
	}
	return got
}

func next(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	msg, err := sub.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// A connection whose requests hang and pile up takes nothing away from another: its
// own are refused beyond its part, with the time to wait.
func TestAFloodOfOneConnectionLeavesRoomForAnother(t *testing.T) {
	release := make(chan struct{})
	_, nc := run(t, Options{MaxInFlight: 40, PerConnection: 4, BacklogMessages: 40},
		answering(func(ctx context.Context, c route.Call) (string, error) {
			if c.Connection == "flooded" {
				<-release
			}
			return "fine", nil
		}))
	flood, other := nc.NewInbox(), nc.NewInbox()
	floods, others := subscribe(t, nc, flood), subscribe(t, nc, other)
	const requests, inFlight, waiting = 500, 4, 10 // a quarter of the backlog is one connection's
	for i := range requests {
		ask(t, nc, "flooded", fmt.Sprintf("%s.%d", flood, i), nil)
	}
	refused := 0
	for ; refused < requests-inFlight-waiting; refused++ {
		msg := next(t, floods)
		if code := codeIn(t, msg); code != messages.Overloaded {
			t.Fatalf("code %q", code)
		}
	}
	for i := range 20 {
		ask(t, nc, "other", fmt.Sprintf("%s.%d", other, i), nil)
		if code := codeIn(t, next(t, others)); code != "" {
			t.Errorf("the other connection got %q", code)
		}
	}
	close(release)
	answered := map[messages.Code]int{}
	for range inFlight + waiting {
		answered[codeIn(t, next(t, floods))]++
	}
	if answered[""] < inFlight || answered[""]+answered[messages.Overloaded] != inFlight+waiting {
		t.Errorf("those in flight and in the backlog got %v", answered)
	}
}

// Of one connection only so many run at once, and its requesters take turns.
func TestRequestersOfAConnectionTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 100, perConnection: 2, messages: 2048, bytes: 1 << 20})
		for range 20 {
			s.pushFrom("_INBOX.greedy.1", "acme", 10, 0)
		}
		modest := s.pushFrom("_INBOX.modest.1", "acme", 10, 0)
		if len(s.ran) != 2 {
			t.Fatalf("%d requests run at once", len(s.ran))
		}
		for ended := range 21 {
			s.a.leave(s.ran[ended], true)
		}
		if at := slices.Index(s.ran, modest); at < 0 || at > 5 {
			t.Errorf("the modest requester came as number %d", at)
		}
		if len(s.ran) != 21 || len(s.refused) != 0 {
			t.Errorf("%d ran and %d were refused", len(s.ran), len(s.refused))
		}
	})
}

// A request that cannot be in time is refused at once, and one that waits as soon as
// that is certain: an answer at the deadline would find nobody.
func TestDeadlinesOfWaitingRequests(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for deadlines")
	}
	release := make(chan struct{})
	slow := make(chan struct{}, 100)
	_, nc := run(t, Options{MaxInFlight: 100, PerConnection: 1},
		answering(func(ctx context.Context, c route.Call) (string, error) {
			if c.RequestID == "pace" {
				time.Sleep(2 * time.Second)
				return "fine", nil
			}
			slow <- struct{}{}
			<-release
			return "fine", nil
		}))
	inbox := nc.NewInbox()
	sub := subscribe(t, nc, inbox)
	deadline := func(in time.Duration) nats.Header {
		return nats.Header{messages.HeaderDeadline: {time.Now().Add(in).UTC().Format(time.RFC3339Nano)}}
	}
	// It tells the connection's pace.
	ask(t, nc, "acme", inbox+".pace", nats.Header{messages.HeaderRequestID: {"pace"}})
	next(t, sub)
	ask(t, nc, "acme", inbox+".slow", nil)
	arrives(t, slow)
	ask(t, nc, "acme", inbox+".hopeless", deadline(time.Second))
	msg := next(t, sub)
	if code := codeIn(t, msg); code != messages.Overloaded || msg.Subject != inbox+".hopeless" {
		t.Errorf("%s got %q", msg.Subject, code)
	}
	ask(t, nc, "acme", inbox+".patient", deadline(4*time.Second))
	msg = next(t, sub)
	if code := codeIn(t, msg); code != messages.Overloaded || msg.Subject != inbox+".patient" {
		t.Errorf("%s got %q", msg.Subject, code)
	}
	close(release)
	if code := codeIn(t, next(t, sub)); code != "" {
		t.Errorf("the slow request got %q", code)
	}
}

// More is asked of a connection than it gives: the queue does not grow until every
// answer is late, and who is refused is told how long to wait.
func TestAQueueThatStandsIsKeptShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused []verdict
		var a *admission
		a = newAdmission(admissionBounds{inFlight: 100, perConnection: 2, messages: 2048, bytes: 1 << 20}, func(r *request) {
			go func() {
				time.Sleep(300 * time.Millisecond)
				a.leave(r, true)
			}()
		}, func(_ *request, why verdict) { refused = append(refused, why) })
		push := func() {
			msg := &nats.Msg{Subject: op.ScopedSubject("acme"), Reply: "_INBOX.a.b"}
			a.push(&request{msg: msg, size: msg.Size(), arrived: time.Now()}, "acme")
		}
		push() // it tells the connection's pace
		time.Sleep(time.Second)
		for range 50 {
			push()
		}
		const running, waiting = 2, 3 // a fourth would wait for more than one round
		if len(refused) != 50-running-waiting {
			t.Errorf("%d of 50 are refused", len(refused))
		}
		for _, why := range refused {
			if why.code != messages.Overloaded || why.retryAfter < 250*time.Millisecond || why.retryAfter > time.Second {
				t.Errorf("%+v", why)
			}
		}
		time.Sleep(5 * time.Second)
		if n, bytes := a.load(); n != 0 || bytes != 0 {
			t.Errorf("%d messages and %d bytes wait", n, bytes)
		}
	})
}
