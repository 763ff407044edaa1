package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A job is cancelled over the bus while a page is read: no call begins after the answer, and what
// was stored is ended.
func TestCancelWhilePagesAreRead(t *testing.T) {
	t.Parallel()
	g := newGate()
	defer g.free()
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 1000}, g.wrap)
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	_, nc := w.Client()
	r := newRequester(t, nc)
	g.at.Store(4)
	r.job("accounts.search", "j", `{"fields":["id"],"page_size":100,"parallel":false}`)
	<-g.stands
	_, body := r.ask("crm.jobs.cancel.request.acme", `{"job_id":"j"}`)
	job, _ := body["job"].(map[string]any)
	if job["state"] != "cancelled" || job["pages"] != 4.0 || job["rows"] != 300.0 {
		t.Fatalf("%v", body)
	}
	g.free()
	bridgetest.Await(t, "a job that nobody runs", func() error {
		if _, body := r.ask("crm.jobs.list.request", `{}`); len(body["jobs"].([]any)) > 0 {
			return fmt.Errorf("%v", body)
		}
		return nil
	})
	r.job("users.whoami", "after", `{}`)
	r.ended("after")
	if n := g.begun.Load(); n != 4 {
		t.Errorf("%d calls for rows were begun, the last of them after the job was cancelled", n)
	}
	if reply, _ := r.ask("crm.jobs.results.request.acme", `{"job_id":"j","page":4}`); code(reply) != "cancelled" || reply.Header.Get(messages.HeaderLast) != "true" ||
		reply.Header.Get(messages.HeaderRows) != "300" {
		t.Errorf("%v", reply.Header)
	}
}

// Dataverse throttles one user: the job waits without being counted or asking again, another
// user's job goes on meanwhile, and it runs when the time has come.
func TestAThrottledUsersJobWaits(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "a job waits for 20 s")
	const wait = 20
	var throttled atomic.Bool
	var last, calls atomic.Int64
	throttled.Store(true)
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 500}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/accounts") && strings.Contains(r.URL.RawQuery, "name") {
				last.Store(time.Now().UnixNano())
				if calls.Add(1); throttled.Swap(false) {
					w.Header().Set("Retry-After", fmt.Sprint(wait))
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = w.Write([]byte(`{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}`))
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	s := w.Settings(true)
	s.MaxInFlight = "1" // a job that held a slot would hold up everything
	w.Bridge(s, nil)
	w.Connect("acme")
	client, nc := w.Client()
	if err := signin.Connect(t.Context(), client, "globex", w.EmulatorURL, emulator.GermanUser); err != nil {
		t.Fatal(err)
	}
	r := newRequester(t, nc)
	r.job("accounts.search", "j", `{"fields":["id","name"],"page_size":100,"parallel":false}`)
	var until time.Time
	bridgetest.Await(t, "a job that waits", func() error {
		_, body := r.ask("crm.jobs.get.request.acme", `{"job_id":"j"}`)
		job, _ := body["job"].(map[string]any)
		at, _ := job["retry_at"].(string)
		var err error
		if until, err = time.Parse(time.RFC3339Nano, at); err != nil || job["state"] != "queued" || job["attempts"] != 0.0 {
			return fmt.Errorf("%v", body)
		}
		return nil
	})
	throttledAt, before := last.Load(), calls.Load()
	if _, err := r.js.Publish(t.Context(), "crm.accounts.search.job.globex.k", []byte(`{"fields":["id"],"page_size":100,"parallel":false}`)); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "the other user's job", func() error {
		if _, body := r.ask("crm.jobs.get.request.globex", `{"job_id":"k"}`); body["job"] == nil || body["job"].(map[string]any)["state"] != "done" {
			return fmt.Errorf("%v", body)
		}
		return nil
	})
	if time.Now().Before(until) && calls.Load() != before {
		t.Error("Dataverse was asked again before the time")
	}
	bridgetest.Await(t, "a call in its time", func() error {
		if calls.Load() == before {
			return errors.New("none yet")
		}
		return nil
	})
	began := time.Now()
	if least := time.Unix(0, throttledAt).Add(wait * time.Second); began.Before(least) {
		t.Errorf("it ran %v before the time", least.Sub(began))
	}
	t.Logf("it ran %v after its time", began.Sub(until).Round(time.Millisecond))
	if late := began.Sub(until); late > 30*time.Second {
		t.Errorf("it ran %v after its time", late)
	}
	if job := r.ended("j"); job["state"] != "done" || job["rows"] != 500.0 || job["attempts"] != 0.0 || job["takeovers"] != 0.0 {
		t.Errorf("%v", job)
	}
}

// Two connections have three jobs each of more than half a share of the stream of results: all
// end, neither holds more than twice its share, and nothing that is stored is lost.
func TestSharesOfTheStreamOfResults(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "jobs wait for room where the machine is slow")
	w := bridgetest.New(t, emulator.Options{Accounts: 20_000})
	s := w.Settings(true)
	const bound = 1 << 20
	s.ResultsMaxBytes = fmt.Sprint(bound)
	w.Bridge(s, nil)
	_, nc := w.Client()
	r := newRequester(t, nc)
	connections := []string{"acme", "globex"}
	for _, connection := range connections {
		w.Connect(connection)
	}
	r.job("accounts.search", "sample", `{"fields":["id","name"],"page_size":100,"limit":1000,"parallel":false}`)
	sample := r.ended("sample")
	if sample["state"] != "done" || sample["rows"] != 1000.0 || sample["bytes"] == nil || sample["bytes"].(float64) <= 0 {
		t.Fatalf("%v", sample)
	}
	each := sample["bytes"].(float64) / 1000
	if _, body := r.ask("crm.jobs.delete.request.acme", `{"job_id":"sample"}`); body["deleted"] != true {
		t.Fatalf("%v", body)
	}
	rows := int(bound / 4 * 0.6 / each)
	body := fmt.Sprintf(`{"fields":["id","name"],"page_size":100,"limit":%d,"parallel":false}`, rows)
	waiting := map[string]bool{}
	for n := range 3 { // together less than twice a share
		for _, connection := range connections {
			if _, err := r.js.Publish(t.Context(), fmt.Sprintf("crm.accounts.search.job.%s.j%d", connection, n), []byte(body)); err != nil {
				t.Fatal(err)
			}
			waiting[fmt.Sprintf("%s.j%d", connection, n)] = true
		}
	}
	held := func(connection string) (bytes float64, ended []string, pages float64) {
		_, body := r.ask("crm.jobs.list.request."+connection, `{}`)
		for _, job := range body["jobs"].([]any) {
			job := job.(map[string]any)
			n, _ := job["pages"].(float64)
			size, _ := job["bytes"].(float64)
			if bytes, pages = bytes+size, pages+n; job["attempts"] != 0.0 || job["state"] == "failed" {
				t.Fatalf("%v", job)
			}
			if job["state"] == "done" {
				ended = append(ended, job["id"].(string))
			}
		}
		return bytes, ended, pages
	}
	for _, connection := range connections {
		bridgetest.Await(t, "three jobs of "+connection, func() error {
			if bytes, ended, _ := held(connection); len(ended) < 3 {
				return fmt.Errorf("%v have ended, %v bytes are held", ended, bytes)
			}
			return nil
		})
	}
	for len(waiting) > 0 {
		for _, connection := range connections {
			bytes, ended, _ := held(connection)
			if bytes > bound/2+bound/8 {
				t.Errorf("%s holds %v of %d bytes", connection, bytes, bound)
			}
			if len(ended) == 0 {
				continue
			}
			// What it has is whole, whatever became of the others; then it makes room.
			got := 0
			for page := 1; ; page++ {
				reply, body := r.ask("crm.jobs.results.request."+connection, fmt.Sprintf(`{"job_id":%q,"page":%d}`, ended[0], page))
				if code(reply) != "" || reply.Header.Get(messages.HeaderPage) != fmt.Sprint(page) {
					t.Fatalf("page %d of %s: %v", page, ended[0], body)
				}
				if got += len(body["accounts"].([]any)); reply.Header.Get(messages.HeaderLast) == "true" {
					break
				}
			}
			if got != rows {
				t.Errorf("%d of %d rows", got, rows)
			}
			if _, body := r.ask("crm.jobs.delete.request."+connection, fmt.Sprintf(`{"job_id":%q}`, ended[0])); body["deleted"] != true {
				t.Fatalf("%v", body)
			}
			delete(waiting, connection+"."+ended[0])
		}
		time.Sleep(50 * time.Millisecond)
	}
	stream, err := r.js.Stream(t.Context(), messages.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("crm.results.>")); err != nil || info.State.Msgs != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}
