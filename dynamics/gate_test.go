package dynamics_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// gate is a Gate that writes down what it sees.
type gate struct {
	mu      sync.Mutex
	entered []dynamics.Principal
	queues  []string
	answers []dynamics.Answer
	refuse  error
	hold    time.Duration

	refusals []error // of the first calls
}

func (g *gate) Enter(_ context.Context, p dynamics.Principal, queue string) (func(dynamics.Answer), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	time.Sleep(g.hold)
	if len(g.refusals) > 0 {
		refusal := g.refusals[0]
		g.refusals = g.refusals[1:]
		time.Sleep(time.Second)
		return nil, refusal
	}
	if g.refuse != nil {
		return nil, g.refuse
	}
	g.entered, g.queues = append(g.entered, p), append(g.queues, queue)
	return func(a dynamics.Answer) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.answers = append(g.answers, a)
	}, nil
}

var ada = dynamics.Principal{Organization: "org", User: "ada"}

func gated(t *testing.T, g *gate, handler http.HandlerFunc) *rig {
	t.Helper()
	r := newRig(t, handler, func(c *dynamics.Config) { c.Gate = g })
	r.tokens.set(func(a *dynamics.Access) { a.Principal = ada })
	return r
}

func TestEveryAttemptPassesTheGateAndTellsItsAnswer(t *testing.T) {
	limit := func(code string) string { return `{"error":{"code":"` + code + `","message":"Number of …"}}` }
	for _, c := range []struct {
		name   string
		status int
		body   string
		after  string
		want   dynamics.Answer
	}{
		{"requests", 429, limit("0x80072322"), "60", dynamics.Answer{Limit: dynamics.LimitRequests, RetryAfter: time.Minute}},
		{"time", 429, limit("0x80072321"), "60", dynamics.Answer{Limit: dynamics.LimitTime, RetryAfter: time.Minute}},
		{"concurrency", 429, limit("0x80072326"), "60", dynamics.Answer{Limit: dynamics.LimitConcurrency, RetryAfter: time.Minute}},
		{"a proxy's", 429, "<html>", "60", dynamics.Answer{Limit: dynamics.LimitUnknown, RetryAfter: time.Minute}},
		{"an expensive query", 429, limit("0x80048544"), "60", dynamics.Answer{Answered: true}},
		{"a gateway", 503, "<html>", "60", dynamics.Answer{}},
		{"another refusal", 403, limit("0x80040220"), "", dynamics.Answer{Answered: true}},
		{"success", 200, emptyPage, "", dynamics.Answer{Answered: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &gate{}
			r := gated(t, g, func(w http.ResponseWriter, _ *http.Request) {
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := firstPage(t.Context(), r.open(t), nameOnly)
			if (err == nil) != (c.status == 200) {
				t.Fatal(err)
			}
			c.want.Sent = true
			if !slices.Equal(g.entered, []dynamics.Principal{{Environment: r.URL, Organization: "org", User: "ada"}}) ||
				!slices.Equal(g.queues, []string{"acme"}) || !slices.Equal(g.answers, []dynamics.Answer{c.want}) {
				t.Errorf("entered %v on %v, answers %v", g.entered, g.queues, g.answers)
			}
		})
	}
	g := &gate{}
	var asked atomic.Int64
	r := gated(t, g, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, emptyPage)
	})
	if _, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil || len(g.entered) != 3 || len(g.answers) != 3 {
		t.Errorf("%v; entered %d times, %d answers", err, len(g.entered), len(g.answers))
	}
}

func TestAClosedGateSendsNothing(t *testing.T) {
	g := &gate{refuse: &dynamics.Error{Kind: dynamics.Throttled, RetryAfter: time.Minute, Message: "wait"}}
	r := gated(t, g, answer(200, emptyPage))
	_, err := firstPage(t.Context(), r.open(t), nameOnly)
	if e := kind(t, err, dynamics.Throttled); e.Op != "accounts.page" || e.RetryAfter != time.Minute ||
		len(r.uris()) != 0 {
		t.Errorf("%+v, asked %v", e, r.uris())
	}
}

func TestWhatIsLeftOfTheLimits(t *testing.T) {
	for burst, want := range map[string]float64{"7999": 7999, "1,200.00": 1200, "": -1, "x": -1, "-3": -1, "NaN": -1, "1e999": -1} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ms-ratelimit-burst-remaining-xrm-requests", burst)
			w.Header().Set("x-ms-ratelimit-time-remaining-xrm-requests", burst)
			_, _ = io.WriteString(w, emptyPage)
		})
		if _, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil {
			t.Fatal(err)
		}
		if c := r.calls[0]; c.BurstRemaining != want || c.TimeRemaining != want {
			t.Errorf("%q: %v and %v, want %v", burst, c.BurstRemaining, c.TimeRemaining, want)
		}
	}
}

// An environment that is down is not asked by every request; another connection's is,
// and it is tried again after a while.
func TestTheCircuitOfOneConnectionBreaks(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for a circuit to close")
	}
	var down atomic.Bool
	down.Store(true)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, emptyPage)
	}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
	ask := func(connection string) error {
		s, err := r.client.Open(t.Context(), connection)
		if err == nil {
			_, err = firstPage(t.Context(), s, nameOnly)
		}
		return err
	}
	for range 30 {
		kind(t, ask("acme"), dynamics.Unavailable)
	}
	if n := len(r.uris()); n < 10 || n > 12 { // every two seconds one is let through, on a machine that is that slow
		t.Errorf("asked %d times, want 10", n)
	}
	if e := kind(t, ask("acme"), dynamics.Unavailable); e.RetryAfter <= 0 || e.RetryAfter > 2*time.Second {
		t.Errorf("retry after %s", e.RetryAfter)
	}
	down.Store(false)
	if err := ask("other"); err != nil {
		t.Errorf("another connection: %v", err)
	}
	whenWaiting(t, func() bool { return ask("acme") == nil })
	for range 3 {
		if err := ask("acme"); err != nil {
			t.Errorf("after it came back: %v", err)
		}
	}
}

// A connection that is made again for another environment finds the circuit closed.
func TestTheCircuitIsOneOfAnEnvironment(t *testing.T) {
	r := newRig(t, answer(http.StatusServiceUnavailable, ""), func(c *dynamics.Config) {
		c.MaxAttempts = 1
		hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", []string{"*.crm4.dynamics.com"}, false)
		if err != nil {
			t.Fatal(err)
		}
		c.Hosts, c.Transport = hosts, down("old.crm4.dynamics.com")
	})
	ask := func(host string) error {
		r.tokens.set(func(a *dynamics.Access) { a.Environment, a.Incarnation = "https://"+host, host })
		s, err := r.client.Open(t.Context(), "acme")
		if err == nil {
			_, err = firstPage(t.Context(), s, nameOnly)
		}
		return err
	}
	for range 11 {
		kind(t, ask("old.crm4.dynamics.com"), dynamics.Unavailable)
	}
	if err := ask("new.crm4.dynamics.com"); err != nil {
		t.Errorf("the new environment: %v", err)
	}
}

// down is the host that answers 503; others have no accounts.
type down string

func (d down) RoundTrip(r *http.Request) (*http.Response, error) {
	out := &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(emptyPage))}
	if r.URL.Host == string(d) {
		out.StatusCode = http.StatusServiceUnavailable
	}
	return out, nil
}
