package interactive

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A stage is an admission in a bubble's time, whose requests take what their connection
// takes, or hang.
type stage struct {
	a     *admission
	takes map[string]time.Duration // by connection; 0 hangs until the deadline

	mu   sync.Mutex
	ends map[string][]end // by who asked
}

type end struct {
	code  messages.Code // "" for one that ran to its end
	after time.Duration
}

func newStage(t *testing.T, bounds admissionBounds, takes map[string]time.Duration) *stage {
	t.Helper()
	s := &stage{takes: takes, ends: map[string][]end{}}
	s.a = newAdmission(bounds, func(r *request) {
		go func() {
			if took := s.takes[r.queue.name]; took > 0 && took < r.deadlineFor(time.Now()) {
				time.Sleep(took)
				s.end(r, "")
				s.a.leave(r, true)
				return
			}
			time.Sleep(r.deadlineFor(time.Now()))
			s.end(r, messages.DeadlineExceeded)
			s.a.leave(r, false)
		}()
	}, func(r *request, why verdict) { s.end(r, why.code) })
	return s
}

func (r *request) deadlineFor(now time.Time) time.Duration {
	return deadlineOf(r.msg, r.arrived).Sub(now)
}

func (s *stage) end(r *request, code messages.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := r.msg.Header.Get("Who")
	s.ends[who] = append(s.ends[who], end{code, time.Since(r.arrived)})
}

// asks pushes a request of who, which reply and info make out, every so often for a while.
func (s *stage) asks(wait *sync.WaitGroup, who, connection string, rate int, during time.Duration,
	names func(i int) (reply, account string)) {
	wait.Go(func() {
		for i := range int(during.Seconds() * float64(rate)) {
			reply, account := names(i)
			msg := &nats.Msg{Subject: "crm.tests.run.request." + connection, Reply: reply, Header: nats.Header{"Who": {who}}}
			if account != "" {
				msg.Header[infoHeader] = []string{fmt.Sprintf(`{"acc":%q,"rtt":1}`, account)}
			}
			s.a.push(&request{msg: msg, size: msg.Size(), arrived: time.Now()}, connection)
			time.Sleep(time.Second / time.Duration(rate))
		}
	})
}

// tended runs act while the admission is swept as by a Consumer.
func (s *stage) tended(act func(*sync.WaitGroup)) {
	done := make(chan struct{})
	var tending, acting sync.WaitGroup
	tending.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(sweepEvery):
				s.a.sweep(time.Now())
			}
		}
	})
	act(&acting)
	acting.Wait()
	time.Sleep(messages.DefaultDeadline + time.Second) // all have ended
	close(done)
	tending.Wait()
}

// ok is which part of who's requests ran to their end, and the median time.
func (s *stage) ok(who string) (part float64, median time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var took []time.Duration
	for _, e := range s.ends[who] {
		if e.code == "" {
			took = append(took, e.after)
		}
	}
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return float64(len(took)) / float64(len(s.ends[who])), took[len(took)/2]
}

var usualBounds = admissionBounds{inFlight: DefaultMaxInFlight, perConnection: DefaultPerConnection,
	messages: DefaultBacklogMessages, bytes: DefaultBacklogBytes}

// A connection that gives 133 requests a second is asked for 280 by a greedy requester
// and for 20 by a polite one, for 30 s of a bubble's time.
func TestTurnsWithinAConnection(t *testing.T) {
	inbox := func(name string) func(int) (string, string) {
		return func(i int) (string, string) { return fmt.Sprintf("_INBOX.%s.%d", name, i), "" }
	}
	account := func(name string) func(int) (string, string) {
		return func(i int) (string, string) { return fmt.Sprintf("_R_.%s%d.%d", name, i%7, i), name }
	}
	invented := func(i int) (string, string) { return fmt.Sprintf("_INBOX.made-up-%d.%d", i%1000, i), "" }
	for _, c := range []struct {
		name           string
		polite, greedy func(int) (string, string)
		late           time.Duration // by how much the polite one comes after the greedy one
		least          float64       // part of the polite one's requests that is answered
		most           time.Duration // its median time; a request takes 300 ms
	}{
		{"two accounts", account("A"), account("B"), time.Second, .99, 500 * time.Millisecond},
		{"two accounts, one with invented inboxes", account("A"), func(i int) (string, string) { return fmt.Sprintf("_R_.%d.%d", i, i), "B" }, time.Second, .99, 500 * time.Millisecond},
		{"two inboxes", inbox("polite"), inbox("greedy"), time.Second, .99, 500 * time.Millisecond},
		{"a thousand invented inboxes", inbox("polite"), invented, 0, .95, 500 * time.Millisecond},
		// It takes some seconds until it is seen that the polite one asks more than each.
		{"a thousand invented inboxes that were there first", inbox("polite"), invented, 5 * time.Second, .8, 500 * time.Millisecond},
		// Nothing tells the two apart: the polite one gets its part of what is asked.
		{"the polite one's inbox borrowed", inbox("polite"), inbox("polite"), time.Second, .3, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, usualBounds, map[string]time.Duration{"acme": 300 * time.Millisecond})
				s.tended(func(wait *sync.WaitGroup) {
					s.asks(wait, "greedy", "acme", 280, 30*time.Second, c.greedy)
					time.Sleep(c.late)
					s.asks(wait, "polite", "acme", 20, 20*time.Second, c.polite)
				})
				part, median := s.ok("polite")
				others, _ := s.ok("greedy")
				t.Logf("polite: %.0f %% at a median of %s; greedy: %.0f %%", 100*part, median, 100*others)
				if part < c.least || median > c.most {
					t.Errorf("the polite one got %.2f at %s, want at least %.2f at %s", part, median, c.least, c.most)
				}
				if got := len(s.ends["polite"]); got != 400 {
					t.Errorf("%d of 400 requests ended", got)
				}
			})
		})
	}
}

// Environments that hang use up nobody's room: others are refused nothing, whether
// they were there before or come later.
func TestHangingConnectionsLeaveRoom(t *testing.T) {
	for _, hanging := range []int{2, 6, 12} {
		t.Run(fmt.Sprint(hanging), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				takes := map[string]time.Duration{}
				for i := range 8 {
					takes[fmt.Sprintf("healthy%d", i)] = 50 * time.Millisecond
				}
				s := newStage(t, usualBounds, takes)
				names := func(i int) (string, string) { return fmt.Sprintf("_INBOX.one.%d", i), "" }
				s.tended(func(wait *sync.WaitGroup) {
					for i := range hanging {
						s.asks(wait, "hanging", fmt.Sprintf("hanging%d", i), 20, 60*time.Second, names)
					}
					time.Sleep(15 * time.Second) // when all that they may have is taken
					for i := range 8 {
						s.asks(wait, "healthy", fmt.Sprintf("healthy%d", i), 20, 40*time.Second, names)
					}
				})
				if part, median := s.ok("healthy"); part < 1 || median > 60*time.Millisecond {
					t.Errorf("of the healthy connections' requests %.3f were answered, at a median of %s", part, median)
				}
				for _, e := range s.ends["hanging"] {
					if e.code != messages.Overloaded && e.code != messages.DeadlineExceeded {
						t.Fatalf("a hanging request got %q", e.code)
					}
				}
			})
		})
	}
}

// The backlog is bounded by messages and bytes, for all and for each, and who has most
// in it gives way.
func TestTheBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bounds := admissionBounds{inFlight: 1, perConnection: 1, messages: 40, bytes: 40 << 10}
		s := newStage(t, bounds, nil)
		push := func(connection string, bytes int) {
			msg := &nats.Msg{Subject: "crm.tests.run.request." + connection, Reply: "_INBOX.a.b", Data: make([]byte, bytes),
				Header: nats.Header{"Who": {connection}}}
			s.a.push(&request{msg: msg, size: msg.Size(), arrived: time.Now()}, connection)
		}
		for range 100 {
			push("acme", 10)
		}
		if n, _ := s.a.load(); n != 10 {
			t.Errorf("%d messages of one connection wait, want a quarter of 40", n)
		}
		for i := range 10 {
			for range 100 {
				push(fmt.Sprint("c", i), 10)
			}
		}
		if n, bytes := s.a.load(); n != 40 || bytes > bounds.bytes {
			t.Errorf("%d messages and %d bytes wait", n, bytes)
		}
		push("newcomer", 10)
		if len(s.ends["newcomer"]) != 0 {
			t.Error("one that has nothing waiting was refused")
		}
		push("large", 30<<10)
		if n, bytes := s.a.load(); bytes > bounds.bytes {
			t.Errorf("%d messages and %d bytes wait", n, bytes)
		}
		s.a.abandon()
		if n, bytes := s.a.load(); n != 0 || bytes != 0 {
			t.Errorf("%d messages and %d bytes wait after the end", n, bytes)
		}
		time.Sleep(time.Minute)
	})
}
