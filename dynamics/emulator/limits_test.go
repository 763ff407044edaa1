package emulator_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func TestLimitOfRequests(t *testing.T) {
	c := newClock()
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Now: c.Now, AccessTokenLifetime: 24 * time.Hour,
		Limits: emulator.Limits{Requests: 3}})
	tok, other := g.signIn("").AccessToken, g.signIn("juergen.weiss@contoso.example").AccessToken
	for i, left := range []string{"2", "1", "0"} {
		r := g.api(tok, "WhoAmI")
		if r.status != 200 || r.header.Get("x-ms-ratelimit-burst-remaining-xrm-requests") != left ||
			r.header.Get("x-ms-ratelimit-time-remaining-xrm-requests") != "1,200.00" {
			t.Errorf("request %d: %d, %s left", i, r.status, r.header.Get("x-ms-ratelimit-burst-remaining-xrm-requests"))
		}
		c.pass(time.Second)
	}
	const body = `{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 3 over time window of 300 seconds."}}`
	r := g.api(tok, "WhoAmI")
	if r.status != 429 || r.body != body || r.header.Get("Retry-After") != "297" {
		t.Errorf("beyond the limit: %d %q %s", r.status, r.header.Get("Retry-After"), r.body)
	}
	if r := g.api(other, "WhoAmI"); r.status != 200 {
		t.Errorf("another user: %d", r.status)
	}
	// Going on makes the wait longer.
	c.pass(10 * time.Second)
	if r := g.api(tok, "WhoAmI"); r.header.Get("Retry-After") != "288" {
		t.Errorf("while limited: %q, want 287 and a second more", r.header.Get("Retry-After"))
	}
	c.pass(287 * time.Second)
	if r := g.api(tok, "WhoAmI"); r.status != 429 {
		t.Errorf("before the time is over: %d", r.status)
	}
	c.pass(2 * time.Second)
	if r := g.api(tok, "WhoAmI"); r.status != 200 {
		t.Errorf("after the time: %d %s", r.status, r.body)
	}
	if n := g.s.Control().Counts().Throttled; n != 3 {
		t.Errorf("%d throttled", n)
	}
}

func TestLimitOfExecutionTime(t *testing.T) {
	c := newClock()
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Now: c.Now, AccessTokenLifetime: 24 * time.Hour,
		Limits: emulator.Limits{Execution: 90 * time.Second}})
	tok := g.signIn("").AccessToken
	// A slow request: the clock moves while it is in hand.
	slow := func(d time.Duration) reply {
		g.s.Control().Fail(emulator.Fault{Delay: 30 * time.Millisecond})
		done := make(chan struct{})
		go func() { defer close(done); time.Sleep(10 * time.Millisecond); c.pass(d) }()
		r := g.api(tok, "WhoAmI")
		<-done
		return r
	}
	for range 2 {
		if r := slow(50 * time.Second); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	r := g.api(tok, "WhoAmI")
	const message = `Combined execution time of incoming requests exceeded limit of 90,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.`
	if r.status != 429 || !strings.Contains(r.body, `"code":"0x80072321","message":"`+message+`"`) ||
		r.header.Get("Retry-After") != "250" ||
		r.header.Get("x-ms-ratelimit-time-remaining-xrm-requests") != "0.00" {
		t.Errorf("%d %q %s", r.status, r.header.Get("Retry-After"), r.body)
	}
}

func TestLimitOfConcurrency(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for slow requests")
	}
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Latency: 2 * time.Second,
		Limits: emulator.Limits{Concurrent: 4}})
	tok := g.signIn("").AccessToken
	var mu sync.Mutex
	codes := map[int]int{}
	var work sync.WaitGroup
	for range 7 {
		work.Go(func() {
			r := g.api(tok, "WhoAmI")
			mu.Lock()
			defer mu.Unlock()
			if codes[r.status]++; r.status == 429 &&
				(!strings.Contains(r.body, `{"code":"0x80072326","message":"Number of concurrent requests exceeded the limit of 4."}`) || r.header.Get("Retry-After") == "") {
				t.Errorf("%q %s", r.header.Get("Retry-After"), r.body)
			}
		})
	}
	work.Wait()
	if codes[200] != 4 || codes[429] != 3 {
		t.Errorf("%v", codes)
	}
}

// Each web server counts by itself; the cookie leads back to one.
func TestLimitsOfSeveralServers(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Limits: emulator.Limits{Requests: 2, Servers: 3}})
	tok := g.signIn("").AccessToken
	r := g.api(tok, "WhoAmI")
	cookie, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "ARRAffinity=") {
		t.Fatalf("cookie %q", cookie)
	}
	if r := g.api(tok, "WhoAmI", "Cookie", cookie); r.status != 200 {
		t.Errorf("the second: %d", r.status)
	}
	if r := g.api(tok, "WhoAmI", "Cookie", cookie); r.status != 429 {
		t.Errorf("the third of one server: %d", r.status)
	}
	ok := 0
	for range 20 {
		if g.api(tok, "WhoAmI").status == 200 {
			ok++
		}
	}
	if ok != 4 {
		t.Errorf("%d requests without a cookie were let through, want the 4 of the other servers", ok)
	}
}

func TestNoLimits(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Limits: emulator.Limits{Requests: -1, Execution: -1,
		Concurrent: -1}})
	tok := g.signIn("").AccessToken
	for range 50 {
		if r := g.api(tok, "WhoAmI"); r.status != 200 {
			t.Fatal(r.status)
		}
	}
	for _, o := range []emulator.Limits{{Window: -1}, {Servers: -1}, {Servers: 65}} {
		if _, err := emulator.New(emulator.Options{Limits: o}); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
