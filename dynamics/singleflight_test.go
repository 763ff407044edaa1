package dynamics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

const oneRow = `{"value":[{"accountid":"` + someID + `","name":"Ada"}]}`

// whenWaiting waits until a server has n requests in hand, or all that will come.
func whenWaiting(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen within a minute")
		}
	}
}

// Identical pages asked for at once are one call; its rows are everybody's, and stay
// whole when one of them releases the page.
func TestIdenticalPagesShareOneCall(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		<-release
		_, _ = io.WriteString(w, oneRow)
	})
	var work sync.WaitGroup
	var asked atomic.Int64
	for range 100 {
		s := r.open(t)
		work.Go(func() {
			asked.Add(1)
			page, err := firstPage(t.Context(), s, nameOnly)
			if err != nil {
				t.Error(err)
				return
			}
			if string(page.Row(0)) != `{"name":"Ada"}` {
				t.Errorf("row %s", page.Row(0))
			}
			page.Release()
		})
	}
	whenWaiting(t, func() bool { return asked.Load() == 100 && calls.Load() > 0 })
	time.Sleep(500 * time.Millisecond) // the last of them are on their way into the call
	close(release)
	work.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
	if _, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil || calls.Load() != 2 {
		t.Errorf("afterwards: %v, %d calls: an answer must not be kept", err, calls.Load())
	}
}

// What differs in anything is asked for by itself.
func TestDifferentPagesAreDifferentCalls(t *testing.T) {
	release := make(chan struct{})
	var calls atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		<-release
		_, _ = io.WriteString(w, `{"value":[]}`)
	})
	as := func(name string, labels map[int]string) dynamics.Query {
		o := output("industrycode", dynamics.Choice)
		o.As, o.Labels = name, labels
		return dynamics.Query{Select: []dynamics.Output{o}, PageSize: 2}
	}
	larger := nameOnly
	larger.PageSize = 3
	asks := []func() (*dynamics.Page, error){
		func() (*dynamics.Page, error) { return firstPage(t.Context(), r.open(t), nameOnly) },
		func() (*dynamics.Page, error) { return firstPage(t.Context(), r.open(t), larger) },
		func() (*dynamics.Page, error) { return firstPage(t.Context(), r.open(t), as("industry", nil)) },
		func() (*dynamics.Page, error) { return firstPage(t.Context(), r.open(t), as("industrycode", nil)) },
		func() (*dynamics.Page, error) {
			return firstPage(t.Context(), r.open(t), as("industry", map[int]string{1: "Accounting"}))
		},
		func() (*dynamics.Page, error) {
			return firstPage(t.Context(), r.open(t), as("industry", map[int]string{1: "Buchhaltung"}))
		},
		func() (*dynamics.Page, error) {
			s, err := r.client.Open(t.Context(), "another")
			if err != nil {
				return nil, err
			}
			return firstPage(t.Context(), s, nameOnly)
		},
	}
	var work sync.WaitGroup
	for _, ask := range asks {
		work.Go(func() {
			if _, err := ask(); err != nil {
				t.Error(err)
			}
		})
	}
	whenWaiting(t, func() bool { return calls.Load() == int64(len(asks)) })
	close(release)
	work.Wait()
}

// Nor do those share a call whose sessions are for different grants of one connection:
// the rows are those that the old user may see.
func TestGrantsShareNoCall(t *testing.T) {
	for name, change := range map[string]func(*source){
		"another incarnation": func(s *source) { s.access.Incarnation = "2" },
		"another user":        func(s *source) { s.access.Principal.User = otherID },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64
				client, tokens := virtual(t, func(r *http.Request) (*http.Response, error) {
					sent.Add(1)
					return slowly(r, 50*time.Millisecond, 200, oneRow) // what Open found is still good then
				})
				var work sync.WaitGroup
				for range 2 {
					s := opened(t, client)
					work.Go(func() {
						if _, err := firstPage(t.Context(), s, nameOnly); err != nil {
							t.Error(err)
						}
					})
					tokens.set(change)
				}
				work.Wait()
				if sent.Load() != 2 {
					t.Errorf("%d calls", sent.Load())
				}
			})
		})
	}
}

// Whoever made the call and gave up takes nobody along.
func TestWhoGivesUpTakesNobodyAlong(t *testing.T) {
	var calls atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if calls.Add(1) == 1 {
			<-req.Context().Done()
			return
		}
		_, _ = io.WriteString(w, oneRow)
	})
	short, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	first := r.open(t)
	work.Go(func() {
		if _, err := firstPage(short, first, nameOnly); !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
	})
	whenWaiting(t, func() bool { return calls.Load() == 1 })
	var asked atomic.Int64
	for range 10 {
		s := r.open(t)
		work.Go(func() {
			asked.Add(1)
			if page, err := firstPage(t.Context(), s, nameOnly); err != nil || page.Len() != 1 {
				t.Error(err)
			}
		})
	}
	whenWaiting(t, func() bool { return asked.Load() == 10 })
	cancel()
	work.Wait()
}

// It is the same where what ended first was the wait for the token.
func TestWhoGivesUpOverATokenTakesNobodyAlong(t *testing.T) {
	var calls atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	})
	var renewals atomic.Int64
	short, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{})
	r.tokens.renewed = func(a dynamics.Access) (dynamics.Access, error) {
		if renewals.Add(1) == 1 {
			close(waiting)
			<-short.Done()
			return dynamics.Access{}, errors.New("the requester's deadline passed")
		}
		return dynamics.Access{}, errors.New("connect again")
	}
	first, s := r.open(t), r.open(t)
	var work sync.WaitGroup
	work.Go(func() {
		if _, err := firstPage(short, first, nameOnly); err == nil {
			t.Error("who gave up got a page")
		}
	})
	whenWaiting(t, func() bool { return calls.Load() == 1 })
	<-waiting
	var asked atomic.Bool
	work.Go(func() {
		asked.Store(true)
		if _, err := firstPage(t.Context(), s, nameOnly); err == nil || err.Error() != "connect again" {
			t.Errorf("who waited got %v", err)
		}
	})
	whenWaiting(t, asked.Load)
	time.Sleep(50 * time.Millisecond) // it is on its way into the call
	cancel()
	work.Wait()
}

// What somebody gets only because of having little time is not what the others get:
// they wait as long as the environment wants, and ask again.
func TestImpatienceIsNotShared(t *testing.T) {
	for name, c := range map[string]struct {
		gate    *gate
		network func(asked int64) (*http.Response, error)
		leader  dynamics.Kind // what who had little time gets
	}{
		"the wait before the next attempt does not fit": {network: func(asked int64) (*http.Response, error) {
			if asked == 1 {
				return said(503, "", "Retry-After", "2")
			}
			return said(200, oneRow)
		}, leader: dynamics.Unavailable},
		"throttled": {network: func(asked int64) (*http.Response, error) {
			if asked == 1 {
				return said(429, "", "Retry-After", "2")
			}
			return said(200, oneRow)
		}, leader: dynamics.Throttled},
		"the gate's wait does not fit": {
			gate:    &gate{refusals: []error{&dynamics.Error{Kind: dynamics.Throttled, RetryAfter: 2 * time.Second}}},
			network: func(int64) (*http.Response, error) { return said(200, oneRow) }, leader: dynamics.Throttled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				var second time.Time
				client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
					n := asked.Add(1)
					if n == 2 {
						second = time.Now()
					}
					time.Sleep(time.Second)
					return c.network(n)
				}, func(config *dynamics.Config) {
					if c.gate != nil {
						config.Gate = c.gate
					}
				})
				begun := time.Now()
				var work sync.WaitGroup
				work.Go(func() {
					if err := ask(t, client, 1, 2500*time.Millisecond); dynamics.KindOf(err) != c.leader {
						t.Errorf("who has little time: %v", err)
					}
				})
				time.Sleep(10 * time.Millisecond)
				for range 5 {
					work.Go(func() {
						if err := ask(t, client, 1, 30*time.Second); err != nil {
							t.Errorf("who has time: %v", err)
						}
					})
				}
				work.Wait()
				if asked.Load() > 2 {
					t.Errorf("%d calls", asked.Load())
				}
				if c.gate == nil && second.Sub(begun) < 3*time.Second {
					t.Errorf("asked again after %s, one of them for the call", second.Sub(begun))
				}
			})
		})
	}
}

// What a caller without a deadline would get as well, everybody gets.
func TestFaultsAreShared(t *testing.T) {
	for name, c := range map[string]struct {
		answer   func() (*http.Response, error)
		attempts int
	}{
		"refused":                  {func() (*http.Response, error) { return said(403, "") }, 3},
		"a wait that nobody makes": {func() (*http.Response, error) { return said(503, "", "Retry-After", "300") }, 3},
		"the last attempt":         {func() (*http.Response, error) { return said(503, "", "Retry-After", "2") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				client, _ := virtual(t, func(*http.Request) (*http.Response, error) {
					asked.Add(1)
					time.Sleep(time.Second)
					return c.answer()
				}, func(config *dynamics.Config) { config.MaxAttempts = c.attempts })
				var work sync.WaitGroup
				for i := range 5 {
					patience := 2 * time.Second
					if i > 0 { // who made the call has the least time
						patience = 30 * time.Second
					}
					work.Go(func() {
						if err := ask(t, client, 1, patience); err == nil {
							t.Error("no error")
						}
					})
					time.Sleep(time.Millisecond)
				}
				work.Wait()
				if asked.Load() != 1 {
					t.Errorf("%d calls", asked.Load())
				}
			})
		})
	}
}

// Whose time does not fit the wait that the environment wants hears at once what the
// one who had as little time hears.
func TestAWaitOfAllThatDoesNotFitIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return said(503, "", "Retry-After", "8")
		})
		begun := time.Now()
		var work sync.WaitGroup
		for _, patience := range []time.Duration{2 * time.Second, 5 * time.Second} {
			work.Go(func() {
				kind(t, ask(t, client, 1, patience), dynamics.Unavailable)
				if took := time.Since(begun); took > 1100*time.Millisecond {
					t.Errorf("who has %s hears it after %s", patience, took)
				}
			})
			time.Sleep(time.Millisecond)
		}
		work.Wait()
	})
}

// That one of them had no memory left for the answer is nothing to the others.
func TestLackOfMemoryIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) { return said(200, oneRow) })
		b := budgetOf(t, 1<<20)
		full, err := b.Open(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		var work sync.WaitGroup
		counted, _ := accountIn(t, b)
		s := opened(t, client)
		work.Go(func() {
			ctx, cancel := context.WithTimeout(counted, 5*time.Second)
			defer cancel()
			_, err := firstPage(ctx, s, nameOnly)
			kind(t, err, dynamics.Overloaded)
		})
		time.Sleep(time.Second)
		q := nameOnly
		page, err := firstPage(t.Context(), opened(t, client), q)
		if err != nil || page.Len() != 1 {
			t.Errorf("who has memory: %v", err)
		}
		work.Wait()
	})
}

// A page that several have stays whole when one of them has released it, whatever is
// read afterwards.
func TestASharedPageStaysWhole(t *testing.T) {
	rows := func(name string) string {
		row := `{"accountid":"` + someID + `","name":"` + name + `"}`
		return `{"value":[` + strings.Repeat(row+",", 99) + row + `]}`
	}
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			if sent.Add(1)%2 == 1 {
				return slowly(r, time.Second, 200, rows("Ada"))
			}
			return said(200, rows("Grace Hopper"))
		})
		for range 20 {
			first := make(chan *dynamics.Page, 2)
			for range 2 {
				s := opened(t, client)
				go func() {
					page, err := firstPage(t.Context(), s, nameOnly)
					if err != nil {
						t.Error(err)
					}
					first <- page
				}()
			}
			one, other := <-first, <-first
			one.Release()
			if _, err := firstPage(t.Context(), opened(t, client), nameOnly); err != nil {
				t.Error(err)
			}
			for i := range other.Len() {
				if got := string(other.Row(i)); other.Len() != 100 || got != `{"name":"Ada"}` {
					t.Fatalf("%d rows, row %d is %s", other.Len(), i, got)
				}
			}
		}
	})
}

// A call that somebody waits for is not one that a job makes, which gives way to others;
// a job shares what is under way, and jobs share among themselves.
func TestNobodyWaitsForAJobsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs, others := make(chan struct{}), make(chan struct{})
		var sent [2]atomic.Int64
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
			if dynamics.Background(r.Context()) { // as a gate would hold it back
				sent[1].Add(1)
				<-jobs
			} else {
				sent[0].Add(1)
				<-others
			}
			return said(200, oneRow)
		})
		var work sync.WaitGroup
		var done [2]atomic.Int64
		ask := func(ctx context.Context, kind int) {
			s := opened(t, client)
			work.Go(func() {
				page, err := firstPage(ctx, s, nameOnly)
				if err != nil || page.Len() != 1 {
					t.Errorf("kind %d: %v", kind, err)
				}
				done[kind].Add(1)
			})
			synctest.Wait()
		}
		count := func(when string, want ...int64) {
			t.Helper()
			got := []int64{sent[0].Load(), sent[1].Load(), done[0].Load(), done[1].Load()}
			if !slices.Equal(got, want) {
				t.Errorf("%s: calls and jobs' calls sent, and done: %v, want %v", when, got, want)
			}
		}
		job := dynamics.WithBackground(t.Context())
		ask(job, 1)
		ask(job, 1)
		count("two jobs", 0, 1, 0, 0)
		ask(t.Context(), 0)
		ask(t.Context(), 0)
		count("two others come", 1, 1, 0, 0)
		ask(job, 1)
		count("a job that comes now shares the sooner one", 1, 1, 0, 0)
		close(others)
		synctest.Wait()
		count("the others have their answer", 1, 1, 2, 1)
		close(jobs)
		work.Wait()
		count("jobs have theirs", 1, 1, 2, 3)
	})
}
