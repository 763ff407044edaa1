package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// connectWith connects with a daily allowance, 0 for a request that names none.
func connectWith(t *testing.T, w *bridgetest.World, connection string, daily int) {
	t.Helper()
	client, _ := w.Client()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	begun, err := client.Authorize(ctx, messages.AuthorizeRequest{Target: messages.Target{Connection: connection},
		EnvironmentURL: w.EmulatorURL, DailyCalls: messages.Count(daily)})
	if err != nil {
		t.Fatal(err)
	}
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := browser.SignIn(ctx, begun.ConnectURL, w.EmulatorURL, emulator.DefaultUser); err != nil {
		t.Fatal(err)
	}
}

// refusedBy is the error that crmbridge answered, nil where there is none.
func refusedBy(err error) *messages.Error {
	fault, _ := errors.AsType[*messages.Error](err)
	return fault
}

// dataCalls counts the calls of Dataverse.
type dataCalls struct{ n atomic.Int64 }

func (c *dataCalls) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Path) > 10 && r.URL.Path[:10] == "/api/data/" {
			c.n.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// What the customer allows a day holds over two processes: the calls of both count, the one
// after the last is throttled until midnight, and so are jobs, which wait.
func TestTheCustomersDailyCalls(t *testing.T) {
	t.Parallel()
	calls := &dataCalls{}
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 10}, calls.wrap)
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	client, nc := w.Client()
	const daily = 9
	connectWith(t, w, "acme", daily)
	limits, err := client.Limits(t.Context(), "acme")
	if err != nil || limits.DailyCalls != daily || limits.Limit != 40 || limits.Breaker != messages.BreakerClosed ||
		limits.BlockedUntil != nil || limits.InFlight != 0 {
		t.Fatalf("%+v (%v)", limits, err)
	}
	// The processes hear of each other's calls within a quarter of a second, so that it is
	// used up for both when none of many calls is sent.
	before, answered, refused := calls.n.Load(), 0, 0
	var refusal *messages.Error
	for refused < 20 {
		_, err := client.WhoAmI(t.Context(), "acme")
		if err == nil {
			answered, refused = answered+1, 0
		} else if refusal = refusedBy(err); refusal == nil || answered > 3*daily {
			t.Fatal(err, answered)
		} else {
			refused++
		}
	}
	if sent := int(calls.n.Load() - before); sent != answered || answered < daily-3 || answered > 2*daily {
		t.Errorf("%d calls were sent, %d answered; %d are allowed", sent, answered, daily)
	}
	if refusal == nil || refusal.Code != messages.Throttled || refusal.RetryAfterMS < 1000 || refusal.RetryAfter() > 24*time.Hour {
		t.Errorf("%+v", refusal)
	}
	r := newRequester(t, nc)
	r.job("users.whoami", "j", `{}`)
	bridgetest.Await(t, "a job that waits", func() error {
		_, body := r.ask("crm.jobs.get.request.acme", `{"job_id":"j"}`)
		job, _ := body["job"].(map[string]any)
		fault, _ := job["error"].(map[string]any)
		if job["state"] != "queued" || fault["code"] != "throttled" || job["retry_at"] == nil {
			return fmt.Errorf("%v", body)
		}
		return nil
	})
	if sent := int(calls.n.Load() - before); sent != answered {
		t.Errorf("%d calls were sent for the job", sent-answered)
	}
	// Made again without an allowance the connection keeps it, and with another one has that.
	connectWith(t, w, "acme", 0)
	if limits, err := client.Limits(t.Context(), "acme"); err != nil || limits.DailyCalls != daily {
		t.Errorf("%+v (%v)", limits, err)
	}
	connectWith(t, w, "acme", 1000)
	bridgetest.Await(t, "an answer", func() error { _, err := client.WhoAmI(t.Context(), "acme"); return err })
}

// A connection whose user Dataverse blocks says until when and why, and one that is not there
// is not found.
func TestLimitsOfABlockedUser(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 120, Times: 1})
	if _, err := client.WhoAmI(t.Context(), "acme"); refusedBy(err) == nil {
		t.Fatal(err)
	}
	limits, err := client.Limits(t.Context(), "acme")
	if err != nil || limits.BlockedBy != messages.BlockedByRequests || limits.BlockedUntil == nil || limits.CallsToday < 1 {
		t.Fatalf("%+v (%v)", limits, err)
	}
	if left := time.Until(*limits.BlockedUntil); left < 90*time.Second || left > 121*time.Second {
		t.Errorf("blocked for %s", left)
	}
	if _, err := client.Limits(t.Context(), "nobody"); refusedBy(err) == nil || refusedBy(err).Code != messages.ConnectionNotFound {
		t.Error(err)
	}
	_, nc := w.Client()
	r := newRequester(t, nc)
	for _, daily := range []string{"0", "-1", "1.5", "2000000000", `"5"`} {
		reply, body := r.ask("crm.connections.authorize.request", `{"connection":"new","environment_url":"`+w.EmulatorURL+`","daily_calls":`+daily+`}`)
		if code(reply) != "invalid_request" {
			t.Errorf("daily_calls %s: %v", daily, body)
		}
	}
}
