package dynamics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

const oneRow = `{"value":[{"accountid":"` + someID + `","name":"Ada"}]}`

// whenWaiting waits until a server has n requests in hand, or all that will come.
func whenWaiting(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen within 10 s")
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
		work.Go(func() {
			s := r.open(t)
			asked.Add(1)
			page, err := s.Accounts(t.Context(), nameOnly)
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
	if _, err := r.open(t).Accounts(t.Context(), nameOnly); err != nil || calls.Load() != 2 {
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
		func() (*dynamics.Page, error) { return r.open(t).Accounts(t.Context(), nameOnly) },
		func() (*dynamics.Page, error) { return r.open(t).Accounts(t.Context(), larger) },
		func() (*dynamics.Page, error) { return r.open(t).Accounts(t.Context(), as("industry", nil)) },
		func() (*dynamics.Page, error) { return r.open(t).Accounts(t.Context(), as("industrycode", nil)) },
		func() (*dynamics.Page, error) {
			return r.open(t).Accounts(t.Context(), as("industry", map[int]string{1: "Accounting"}))
		},
		func() (*dynamics.Page, error) {
			return r.open(t).Accounts(t.Context(), as("industry", map[int]string{1: "Buchhaltung"}))
		},
		func() (*dynamics.Page, error) {
			s, err := r.client.Open(t.Context(), "another")
			if err != nil {
				return nil, err
			}
			return s.Accounts(t.Context(), nameOnly)
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
	work.Go(func() {
		if _, err := r.open(t).Accounts(short, nameOnly); !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
	})
	whenWaiting(t, func() bool { return calls.Load() == 1 })
	var asked atomic.Int64
	for range 10 {
		work.Go(func() {
			s := r.open(t)
			asked.Add(1)
			if page, err := s.Accounts(t.Context(), nameOnly); err != nil || page.Len() != 1 {
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
		if _, err := first.Accounts(short, nameOnly); err == nil {
			t.Error("who gave up got a page")
		}
	})
	whenWaiting(t, func() bool { return calls.Load() == 1 })
	<-waiting
	var asked atomic.Bool
	work.Go(func() {
		asked.Store(true)
		if _, err := s.Accounts(t.Context(), nameOnly); err == nil || err.Error() != "connect again" {
			t.Errorf("who waited got %v", err)
		}
	})
	whenWaiting(t, asked.Load)
	time.Sleep(50 * time.Millisecond) // it is on its way into the call
	cancel()
	work.Wait()
}
