package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A rollout of three processes under 200 requests a second: each gets SIGTERM in the middle of
// its work, and another takes its place once it has ended. Every request is answered once and
// well; a process is not ready while it still has requests in hand, and ends well within its
// grace.
func TestARolloutUnderLoadIsNotNoticed(t *testing.T) {
	bridgetest.Long(t, "three processes are replaced under load")
	t.Parallel()
	// Dataverse's limits are another matter.
	var dataverse shutter
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 200, Latency: 50 * time.Millisecond,
		Limits: emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}}, dataverse.before)
	var fleet []*bridgetest.Process
	var settings []bridge.Settings
	for i := range 3 {
		s := w.Settings(i == 0)
		s.ShutdownGrace = "1m"
		settings = append(settings, s)
		fleet = append(fleet, bridgetest.Serve(t, s))
	}
	w.Connect("acme")
	w.Connect("globex")
	_, nc := w.Client()
	load := startSteady(t, nc, 200, "acme", "globex")
	for i, leaving := range fleet {
		load.awaitMore(t, 200)
		open := dataverse.shut() // until it was seen that it is not ready and has work
		awaitWork(t, settings[i], &dataverse)
		seen := watchLeaving(settings[i], open)
		if err := leaving.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := leaving.Wait(); err != nil {
			t.Errorf("process %d: %v; log: %s", i, err, leaving.Log)
		}
		if said := leaving.Log.String(); strings.Contains(said, "the grace is over") {
			t.Errorf("process %d did not end within its grace: %s", i, said)
		}
		(<-seen).check(t, i)
		fleet[i] = bridgetest.Serve(t, settings[i])
	}
	load.awaitMore(t, 200)
	load.end(t)
	for i := range fleet {
		nothingLost(t, metricsOf(t, settings[i]), i)
	}
}

// A shutter stands before Dataverse, and holds what comes while it is shut.
type shutter struct {
	mu      sync.Mutex
	held    chan struct{} // closed when it opens; nil while it is open
	passing int           // requests that went through and are not answered
}

func (s *shutter) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		held := s.held
		if held == nil {
			s.passing++
		}
		s.mu.Unlock()
		if held == nil {
			defer func() { s.mu.Lock(); s.passing--; s.mu.Unlock() }()
		} else if strings.HasPrefix(r.URL.Path, "/api/data/") {
			<-held
		}
		next.ServeHTTP(w, r)
	})
}

// empty reports whether everything that went through is answered.
func (s *shutter) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passing == 0
}

func (s *shutter) shut() (open func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.held = nil
		s.mu.Unlock()
		close(held)
	})
}

// awaitWork waits until a process has requests in hand that the shutter holds.
func awaitWork(t testing.TB, settings bridge.Settings, before *shutter) {
	t.Helper()
	bridgetest.Await(t, "requests in flight", func() error {
		if n := inHand(metricsOf(t, settings)); n < 10 || !before.empty() {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

// inHand reads how many requests a process has in hand; -1 where that is not there.
func inHand(page string) int {
	n := -1
	if _, rest, found := strings.Cut(page, "\ncrmbridge_requests_in_flight "); found {
		_, _ = fmt.Sscan(rest, &n)
	}
	return n
}

// nothingLost checks that a process has dropped and turned away nothing.
func nothingLost(t testing.TB, page string, process int) {
	t.Helper()
	for _, sample := range []string{"nats_dropped_messages_total 0", "unanswered_requests_total 0",
		`requests_refused_total{reason="unavailable"} 0`, `requests_refused_total{reason="overloaded"} 0`} {
		if !strings.Contains(page, "\ncrmbridge_"+sample+"\n") {
			t.Errorf("process %d: there is no %s", process, sample)
		}
	}
}

// A leaving is what a process showed from before its signal until it was gone.
type leaving struct {
	before, unready int  // how often /readyz said 200, and then 503
	back            bool // it said 200 after it had said 503
	working         int  // how often it had requests in flight while it was not ready
	gauge           bool // crmbridge_ready{check="draining"} was 0 then
	last            string
}

// watchLeaving looks until the process is gone, and calls working once it was seen to have
// work and not to be ready, or is gone.
func watchLeaving(settings bridge.Settings, working func()) <-chan leaving {
	out := make(chan leaving, 1)
	go func() {
		var seen leaving
		defer func() { working(); out <- seen }()
		for {
			status, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz")
			switch {
			case err != nil:
				return
			case status == http.StatusOK:
				seen.before++
				seen.back = seen.back || seen.unready > 0
				continue
			case text != "shutting down\n":
				continue
			}
			seen.unready++
			_, page, err := bridgetest.AdminPage(settings.AdminAddr, "/metrics")
			if err != nil {
				return
			}
			seen.last = page
			seen.gauge = seen.gauge || strings.Contains(page, "\ncrmbridge_ready{check=\"draining\"} 0\n")
			if inHand(page) > 0 {
				seen.working++
				working()
			}
		}
	}()
	return out
}

func (seen leaving) check(t testing.TB, process int) {
	t.Helper()
	if seen.unready == 0 || seen.back || seen.working == 0 || !seen.gauge {
		t.Errorf("process %d: /readyz was 503 %d times, %d times of them with requests in flight; ready again: %v; gauge: %v",
			process, seen.unready, seen.working, seen.back, seen.gauge)
	}
	nothingLost(t, seen.last, process)
}

// A steady load publishes requests at a rate, each with an id and a question of its own, and
// counts what becomes of each. It lags where many are not answered: the machine is slow then.
type steady struct {
	nc   *nats.Conn
	sub  *nats.Subscription
	stop func()
	open chan struct{} // one for each request without an answer

	mu      sync.Mutex
	sent    int
	answers map[string][]string // codes by request id
}

const mostOpen = 400

func startSteady(t testing.TB, nc *nats.Conn, rate int, connections ...string) *steady {
	t.Helper()
	s := &steady{nc: nc, open: make(chan struct{}, mostOpen), answers: map[string][]string{}}
	inbox := nc.NewInbox()
	var err error
	if s.sub, err = nc.Subscribe(inbox, s.answered); err != nil {
		t.Fatal(err)
	}
	if err := s.sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	ending, ended := make(chan struct{}), make(chan struct{})
	s.stop = sync.OnceFunc(func() { close(ending); <-ended })
	t.Cleanup(s.stop)
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ending:
				return
			case <-tick.C:
			}
			select {
			case <-ending:
				return
			case s.open <- struct{}{}:
			}
			if err := s.ask(inbox, i, connections[i%len(connections)]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return s
}

// ask publishes one request: every third who a connection is, the others a search.
func (s *steady) ask(inbox string, i int, connection string) error {
	op, body := messages.Accounts.Operation(messages.VerbSearch), fmt.Sprintf(`{"page_size":%d}`, 1+i%199)
	if i%3 == 0 {
		op, body = messages.UsersWhoAmI, "{}"
	}
	msg := nats.NewMsg(op.ScopedSubject(connection))
	msg.Reply, msg.Data = inbox, []byte(body)
	msg.Header.Set(messages.HeaderRequestID, fmt.Sprintf("request-%d", i))
	msg.Header.Set(messages.HeaderDeadline, time.Now().Add(messages.MaxDeadline).Format(time.RFC3339))
	s.mu.Lock()
	s.sent++
	s.mu.Unlock()
	return s.nc.PublishMsg(msg)
}

func (s *steady) answered(msg *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	code, id := msg.Header.Get(messages.HeaderErrorCode), msg.Header.Get(messages.HeaderRequestID)
	if code == "" && msg.Header.Get("Status") != "" {
		code = "status " + msg.Header.Get("Status") // no responders
	}
	if s.answers[id] = append(s.answers[id], code); len(s.answers[id]) == 1 {
		<-s.open
	}
}

// awaitMore waits until more requests have been sent, and most of them answered.
func (s *steady) awaitMore(t testing.TB, more int) {
	t.Helper()
	s.mu.Lock()
	want := s.sent + more
	s.mu.Unlock()
	bridgetest.Await(t, "requests", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sent < want || len(s.answers) < want-mostOpen {
			return fmt.Errorf("%d of %d are sent and %d answered", s.sent, want, len(s.answers))
		}
		return nil
	})
}

// end stops asking, and checks that each request got one answer that is no error.
func (s *steady) end(t testing.TB) {
	t.Helper()
	s.stop()
	bridgetest.Await(t, "all answers", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.answers) < s.sent {
			return fmt.Errorf("%d of %d", len(s.answers), s.sent)
		}
		return nil
	})
	// An answer too many would come from a process that has not noticed yet: a few more round
	// trips through each of them, and nothing is left to come.
	for range 20 {
		if _, err := s.nc.Request(messages.UsersWhoAmI.ScopedSubject("acme"), nil, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.sub.Drain(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%d requests", s.sent)
	for i := range s.sent {
		id := fmt.Sprintf("request-%d", i)
		if got := s.answers[id]; len(got) != 1 || got[0] != "" {
			t.Errorf("%s: %q", id, got)
		}
		delete(s.answers, id)
	}
	for id, got := range s.answers {
		t.Errorf("%q was answered, %q, and never asked", id, got)
	}
}
