package dynamics_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// ask asks for the page of a size, with so much time; 0 means without end.
func ask(t testing.TB, client *dynamics.Client, size int, patience time.Duration) error {
	ctx := t.Context()
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	s, err := client.Open(ctx, "acme")
	if err != nil {
		return err
	}
	q := nameOnly
	q.PageSize = size
	_, err = firstPage(ctx, s, q)
	return err
}

// inThreeSeconds is a slow environment that works.
func inThreeSeconds(r *http.Request) (*http.Response, error) {
	return slowly(r, 3*time.Second, 200, emptyPage)
}

// Requesters with less time than a slow environment needs do not get the others
// refused.
func TestImpatientRequestersBreakNoCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, inThreeSeconds)
		var work sync.WaitGroup
		for i := range 400 {
			work.Go(func() {
				if i%20 == 0 {
					if err := ask(t, client, i+1, 30*time.Second); err != nil {
						t.Errorf("a patient request: %v", err)
					}
				} else if err := ask(t, client, i+1, 2200*time.Millisecond); dynamics.KindOf(err) != dynamics.Cancelled {
					t.Errorf("an impatient one: %v", err)
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		work.Wait()
	})
}

// Calls that hang break the circuit before they end, also where many wait for one
// call; when it answers again, everybody is let through.
func TestHangingCallsBreakTheCircuit(t *testing.T) {
	for name, alike := range map[string]bool{"each its own call": false, "one call for all": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hangs atomic.Bool
				hangs.Store(true)
				var sent atomic.Int64
				client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
					sent.Add(1)
					if hangs.Load() {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return said(200, emptyPage)
				})
				var work sync.WaitGroup
				size := func(i int) int {
					if alike {
						return 1
					}
					return i + 1
				}
				for i := range 10 {
					work.Go(func() {
						if err := ask(t, client, size(i), 30*time.Second); err != nil && dynamics.KindOf(err) != dynamics.Cancelled {
							t.Errorf("who was there before: %v", err)
						}
					})
				}
				time.Sleep(6 * time.Second)
				before := sent.Load()
				for i := range 20 {
					begun := time.Now()
					e := kind(t, ask(t, client, size(i), 30*time.Second), dynamics.Unavailable)
					if e.RetryAfter <= 0 || time.Since(begun) > 0 {
						t.Errorf("retry after %s, refused after %s", e.RetryAfter, time.Since(begun))
					}
				}
				if sent.Load() != before {
					t.Errorf("%d of them were sent", sent.Load()-before)
				}
				// Now and then one finds out.
				for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					work.Go(func() { _ = ask(t, client, size(1), 10*time.Second) })
				}
				if n := sent.Load() - before; n < 2 || n > 5 {
					t.Errorf("%d of 400 were let through in 20 s", n)
				}
				hangs.Store(false)
				time.Sleep(10 * time.Second)
				for i := range 20 {
					if err := ask(t, client, i+1, 30*time.Second); err != nil {
						t.Errorf("when it answers again: %v", err)
					}
				}
				work.Wait()
			})
		})
	}
}

// An environment that is slow and works is not taken for one that hangs, however
// many calls are under way and however the load begins.
func TestASlowEnvironmentIsNotRefused(t *testing.T) {
	for _, takes := range []time.Duration{3 * time.Second, 4900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			client, _ := virtual(t, func(r *http.Request) (*http.Response, error) { return slowly(r, takes, 200, emptyPage) })
			var work sync.WaitGroup
			for i := range 200 {
				if i%40 == 0 {
					time.Sleep(takes / 2)
				}
				work.Go(func() {
					if err := ask(t, client, i+1, 30*time.Second); err != nil {
						t.Errorf("answers take %s: %v", takes, err)
					}
				})
			}
			work.Wait()
		})
	}
	synctest.Test(t, func(t *testing.T) { // slower still, once that is known
		var takes atomic.Int64
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			return slowly(r, time.Duration(takes.Load()), 200, emptyPage)
		})
		for _, d := range []time.Duration{4 * time.Second, 7 * time.Second, 12 * time.Second} {
			takes.Store(int64(d))
			var work sync.WaitGroup
			for i := range 30 {
				time.Sleep(100 * time.Millisecond)
				work.Go(func() {
					if err := ask(t, client, i+1, 30*time.Second); err != nil {
						t.Errorf("answers take %s: %v", d, err)
					}
				})
			}
			work.Wait()
		}
	})
}

// broken is a client whose circuit is broken, and half-open.
func broken(t *testing.T, down *atomic.Bool, network roundTrip, change ...func(*dynamics.Config)) *dynamics.Client {
	down.Store(true)
	client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
		if down.Load() {
			return said(503, "")
		}
		return network(r)
	}, append(change, func(c *dynamics.Config) { c.MaxAttempts = 1 })...)
	for i := range 12 {
		kind(t, ask(t, client, i+1, 0), dynamics.Unavailable)
	}
	down.Store(false)
	time.Sleep(2 * time.Second)
	return client
}

// The call that is to decide is one that has the time for it; where it is cancelled,
// or its goroutine panics, the next one is.
func TestThePermitOfAHalfOpenCircuitComesBack(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			client := broken(t, &down, inThreeSeconds)
			ctx, cancel := context.WithCancel(t.Context())
			var work sync.WaitGroup
			s := opened(t, client)
			work.Go(func() {
				if _, err := firstPage(ctx, s, nameOnly); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			time.Sleep(time.Second)
			kind(t, ask(t, client, 7, 30*time.Second), dynamics.Unavailable) // one at a time
			cancel()
			work.Wait()
			if err := ask(t, client, 7, 30*time.Second); err != nil {
				t.Errorf("the next: %v", err)
			}
		})
	})
	t.Run("panicked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down, panics atomic.Bool
			panics.Store(true)
			client := broken(t, &down, func(*http.Request) (*http.Response, error) {
				if panics.Load() {
					panic("a defect")
				}
				return said(200, emptyPage)
			})
			func() {
				defer func() { _ = recover() }()
				_ = ask(t, client, 1, 0)
				t.Error("no panic")
			}()
			panics.Store(false)
			if err := ask(t, client, 1, 0); err != nil {
				t.Errorf("the next: %v", err)
			}
		})
	})
	t.Run("refused at the gate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			g := &gate{}
			client := broken(t, &down, func(*http.Request) (*http.Response, error) { return said(200, emptyPage) },
				func(c *dynamics.Config) { c.Gate = g })
			g.refuse = &dynamics.Error{Kind: dynamics.Throttled, RetryAfter: time.Minute}
			kind(t, ask(t, client, 1, 0), dynamics.Throttled)
			g.refuse = nil
			if err := ask(t, client, 1, 0); err != nil {
				t.Errorf("the next: %v", err)
			}
		})
	})
	t.Run("failed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			client := broken(t, &down, nil)
			down.Store(true)
			for _, status := range []int{503, 0, 0} { // one is sent
				if e := kind(t, ask(t, client, 1, 0), dynamics.Unavailable); e.Status != status {
					t.Errorf("status %d, want %d: %v", e.Status, status, e)
				}
			}
		})
	})
	t.Run("not sent at all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			var tokens *source
			client := broken(t, &down, nil, func(c *dynamics.Config) { tokens = c.Tokens.(*source) })
			token := func(text string) func(*source) {
				return func(s *source) { s.access.Token = dynamics.NewSecret(text) }
			}
			tokens.set(token("no token"))
			kind(t, ask(t, client, 1, 0), dynamics.Invalid)
			tokens.set(token("a-token"))
			down.Store(true)
			kind(t, ask(t, client, 1, 0), dynamics.Unavailable)
			if e := kind(t, ask(t, client, 1, 0), dynamics.Unavailable); e.Status != 0 {
				t.Errorf("the circuit is closed: %v", e)
			}
		})
	})
	t.Run("an impatient caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			client := broken(t, &down, inThreeSeconds)
			kind(t, ask(t, client, 1, time.Second), dynamics.Unavailable)
			if err := ask(t, client, 1, 30*time.Second); err != nil {
				t.Errorf("a patient one: %v", err)
			}
		})
	})
	t.Run("nobody but impatient callers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			client := broken(t, &down, func(*http.Request) (*http.Response, error) { return said(200, emptyPage) })
			kind(t, ask(t, client, 1, time.Second), dynamics.Unavailable)
			time.Sleep(2 * time.Second)
			if err := ask(t, client, 1, time.Second); err != nil {
				t.Errorf("when no other came: %v", err)
			}
		})
	})
}

// slowGate keeps the first call waiting.
type slowGate struct {
	first atomic.Bool
	hold  time.Duration
}

func (g *slowGate) Enter(context.Context, dynamics.Principal, string) (func(dynamics.Answer), error) {
	if !g.first.Swap(true) {
		time.Sleep(g.hold)
	}
	return func(dynamics.Answer) {}, nil
}

// A call that waited for its turn while the circuit broke is not sent any more.
func TestWhoWaitedWhileTheCircuitBrokeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		client, _ := virtual(t, func(*http.Request) (*http.Response, error) {
			sent.Add(1)
			return said(503, "")
		}, func(c *dynamics.Config) { c.MaxAttempts, c.Gate = 1, &slowGate{hold: 5 * time.Second} })
		var work sync.WaitGroup
		work.Go(func() {
			if e := kind(t, ask(t, client, 1, 0), dynamics.Unavailable); e.Status != 0 || e.RetryAfter <= 0 {
				t.Errorf("it was sent, or does not say when to come again: %v", e)
			}
		})
		synctest.Wait()
		for i := range 10 {
			kind(t, ask(t, client, i+2, 0), dynamics.Unavailable)
		}
		work.Wait()
		if sent.Load() != 10 {
			t.Errorf("%d calls", sent.Load())
		}
	})
}

// A call that is to decide and hangs keeps the others out for a while only.
func TestAHangingCallDecidesNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down, hangs atomic.Bool
		client := broken(t, &down, func(r *http.Request) (*http.Response, error) {
			if hangs.Swap(false) {
				return slowly(r, time.Hour, 200, emptyPage)
			}
			return said(200, emptyPage)
		})
		hangs.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		s := opened(t, client)
		work.Go(func() { _, _ = firstPage(ctx, s, nameOnly) })
		time.Sleep(6 * time.Second)
		kind(t, ask(t, client, 7, 30*time.Second), dynamics.Unavailable)
		time.Sleep(2 * time.Second)
		if err := ask(t, client, 7, 30*time.Second); err != nil {
			t.Errorf("the next: %v", err)
		}
		cancel()
		work.Wait()
	})
}

// Failures break the circuit where they come in a row: an answer between them says
// that the environment is there.
func TestFailuresBreakTheCircuitInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		client, _ := virtual(t, func(*http.Request) (*http.Response, error) {
			if down.Load() {
				return said(503, "")
			}
			return said(200, emptyPage)
		}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
		for range 3 {
			down.Store(true)
			for i := range 9 {
				kind(t, ask(t, client, i+1, 0), dynamics.Unavailable)
			}
			down.Store(false)
			if err := ask(t, client, 1, 0); err != nil {
				t.Fatalf("9 failures broke it: %v", err)
			}
		}
		down.Store(true)
		for i := range 10 {
			kind(t, ask(t, client, i+1, 0), dynamics.Unavailable)
		}
		down.Store(false)
		kind(t, ask(t, client, 1, 0), dynamics.Unavailable) // after ten
	})
}

// That a query is too costly is an answer too: calls that began before it do not hang.
func TestACostlyAnswerIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			switch r.Header.Get("Prefer") {
			case "odata.maxpagesize=100":
				return said(429, `{"error":{"code":"0x80048544","message":"x"}}`)
			case "odata.maxpagesize=200":
				return said(200, emptyPage)
			}
			return slowly(r, 20*time.Second, 200, emptyPage)
		}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
		var work sync.WaitGroup
		for i := range 12 {
			work.Go(func() {
				if err := ask(t, client, i+1, 0); err != nil {
					t.Errorf("a slow one: %v", err)
				}
			})
		}
		time.Sleep(4 * time.Second)
		kind(t, ask(t, client, 100, 0), dynamics.Throttled)
		time.Sleep(2 * time.Second)
		if err := ask(t, client, 200, 0); err != nil {
			t.Errorf("after a costly one: %v", err)
		}
		time.Sleep(6 * time.Second)
		if err := ask(t, client, 200, 0); err != nil { // calls that began before an answer wait for something else
			t.Errorf("after another: %v", err)
		}
		work.Wait()
	})
}

// Who has time enough to find out need not wait for a call that has not.
func TestAPatientCallTakesPrecedence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		client := broken(t, &down, inThreeSeconds)
		time.Sleep(2 * time.Second)
		var work sync.WaitGroup
		work.Go(func() { kind(t, ask(t, client, 1, 2*time.Second), dynamics.Cancelled) })
		time.Sleep(time.Second)
		kind(t, ask(t, client, 2, 2*time.Second), dynamics.Unavailable)
		if err := ask(t, client, 3, 30*time.Second); err != nil {
			t.Errorf("a patient one: %v", err)
		}
		work.Wait()
	})
}

// What a call says that was refused because of what its query costs is said of that
// query: the circuit stays closed.
func TestACostlyQueryBreaksNoCircuit(t *testing.T) {
	for _, code := range []string{"0x80048544", "0x80048573", "0x80048574", "0x80048575", "0x80044151"} {
		synctest.Test(t, func(t *testing.T) {
			client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("Prefer") != "" && r.URL.Path != "/api/data/v9.2/WhoAmI" {
					return said(503, `{"error":{"code":"`+code+`","message":"x"}}`)
				}
				return said(200, whoAmI)
			})
			for i := range 30 {
				if err := ask(t, client, i+1, 0); err == nil {
					t.Error("no error")
				}
			}
			if _, err := opened(t, client).WhoAmI(t.Context()); err != nil {
				t.Errorf("%s: %v", code, err)
			}
		})
	}
}

// One slow query, of which nothing is known, gets nobody refused.
func TestOneSlowQueryBreaksNoCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first atomic.Bool
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			if !first.Swap(true) {
				return slowly(r, 55*time.Second, 200, emptyPage)
			}
			return slowly(r, 100*time.Millisecond, 200, emptyPage)
		})
		var work sync.WaitGroup
		work.Go(func() {
			if err := ask(t, client, 1, time.Minute); err != nil {
				t.Errorf("the slow one: %v", err)
			}
		})
		time.Sleep(50 * time.Second)
		for i := range 20 {
			work.Go(func() {
				if err := ask(t, client, i+2, 10*time.Second); err != nil {
					t.Errorf("another: %v", err)
				}
			})
		}
		work.Wait()
	})
}

// Where only a few calls may be under way at once, they break the circuit later; then
// the next one finds out.
func TestFewHangingCallsBreakTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		hangs.Store(true)
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			if hangs.Load() {
				return slowly(r, time.Hour, 200, emptyPage)
			}
			return said(200, emptyPage)
		})
		var work sync.WaitGroup
		for i := range 4 {
			work.Go(func() { _ = ask(t, client, i+1, 50*time.Second) })
		}
		time.Sleep(31 * time.Second)
		work.Go(func() { _ = ask(t, client, 5, 10*time.Second) })
		synctest.Wait()
		kind(t, ask(t, client, 6, 10*time.Second), dynamics.Unavailable)
		hangs.Store(false)
		time.Sleep(11 * time.Second)
		if err := ask(t, client, 7, 10*time.Second); err != nil {
			t.Errorf("when it answers again: %v", err)
		}
		work.Wait()
	})
}

// Who waits for what another asks counts as one whose call hangs.
func TestWaitingForAHangingCallBreaksTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) { return slowly(r, time.Hour, 200, whoAmI) })
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		s := opened(t, client)
		work.Go(func() { _, _ = s.WhoAmI(ctx) })
		var ends []func()
		for range 9 {
			done, ok := opened(t, client).Await()
			if ends = append(ends, done); !ok {
				t.Error("there is something to wait for")
			}
		}
		time.Sleep(6 * time.Second)
		if _, ok := opened(t, client).Await(); ok {
			t.Error("there is nothing to wait for")
		}
		for _, end := range ends {
			end()
		}
		cancel()
		work.Wait()
	})
}

// Who has waited for another's call counts no longer when it is over.
func TestWhoHasWaitedCountsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			switch r.Header.Get("Prefer") {
			case "odata.maxpagesize=1":
				return slowly(r, time.Second, 503, "")
			case "odata.maxpagesize=2":
				return slowly(r, 7*time.Second, 200, emptyPage)
			}
			return said(200, emptyPage)
		}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
		var work sync.WaitGroup
		for range 12 {
			work.Go(func() { kind(t, ask(t, client, 1, 0), dynamics.Unavailable) })
		}
		work.Wait()
		work.Go(func() {
			if err := ask(t, client, 2, 0); err != nil {
				t.Errorf("a slow one: %v", err)
			}
		})
		time.Sleep(6 * time.Second)
		if err := ask(t, client, 3, 0); err != nil {
			t.Errorf("another: %v", err)
		}
		work.Wait()
	})
}

// An environment may take twice as long as it did of late before it is taken for one
// that hangs, and what it once took is forgotten when it is quick again.
func TestPatienceFollowsTheAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		once, takes time.Duration
		quick       int
		refused     bool
	}{
		"somewhat slower":    {once: 4 * time.Second, takes: 7 * time.Second},
		"as slow as it was":  {once: 14 * time.Second, takes: 14 * time.Second},
		"long ago":           {once: 14 * time.Second, takes: 14 * time.Second, quick: 50, refused: true},
		"never slow, so far": {once: time.Second, takes: 7 * time.Second, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var takes atomic.Int64
				client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
					return slowly(r, time.Duration(takes.Load()), 200, emptyPage)
				})
				answered := func(d time.Duration) {
					takes.Store(int64(d))
					if err := ask(t, client, 1, 0); err != nil {
						t.Fatal(err)
					}
				}
				answered(c.once)
				for range c.quick {
					answered(10 * time.Millisecond)
				}
				takes.Store(int64(c.takes))
				time.Sleep(time.Millisecond)
				var work sync.WaitGroup
				for i := range 12 {
					work.Go(func() {
						if err := ask(t, client, i+1, 0); err != nil {
							t.Errorf("one of them: %v", err)
						}
					})
				}
				time.Sleep(6 * time.Second)
				if err := ask(t, client, 100, 0); (dynamics.KindOf(err) == dynamics.Unavailable) != c.refused {
					t.Errorf("after 6 s: %v", err)
				}
				work.Wait()
			})
		})
	}
}

// A circuit counts as open while calls are refused, also where the environment hangs; no more
// once it answers, and once nobody has asked for long.
func TestOpenCircuits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			if away.Load() {
				return nil, errors.New("connection refused")
			}
			return slowly(r, time.Millisecond, 200, emptyPage)
		})
		count := func(when string, want int) {
			t.Helper()
			if n := client.OpenCircuits(); n != want {
				t.Errorf("%s: %d circuits are open, want %d", when, n, want)
			}
		}
		breaks := func() {
			t.Helper()
			away.Store(true)
			for i := range 10 {
				if err := ask(t, client, i+1, 0); err == nil {
					t.Fatal("no error")
				}
			}
			away.Store(false)
		}
		count("before", 0)
		breaks()
		count("after failures", 1)
		time.Sleep(10 * time.Second)
		count("while nobody asks", 1)
		if err := ask(t, client, 1, 0); err != nil {
			t.Fatal(err)
		}
		count("after an answer", 0)
		breaks()
		time.Sleep(time.Hour)
		count("long after the last call", 0)
	})
}
