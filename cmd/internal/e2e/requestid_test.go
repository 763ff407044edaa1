package e2e

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A request's id reaches Dataverse with every call, as the GUID that the log names
// beside it.
func TestTheRequestIDReachesDataverse(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 50}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Header.Get("X-Ms-Client-Request-Id")]++
			mu.Unlock()
			next.ServeHTTP(rw, r)
		})
	})
	log := &bridgetest.Buffer{}
	w.Bridge(w.Settings(true), log)
	w.Connect("acme")
	_, nc := w.Client()
	const guid = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
	for id, sent := range map[string]string{guid: guid, "campaign-42": dynamics.ClientRequestID("campaign-42")} {
		msg := nats.NewMsg(messages.UsersGet.ScopedSubject("acme"))
		msg.Header.Set(messages.HeaderRequestID, id)
		msg.Data = []byte(`{"email":"` + emulator.DefaultUser + `"}`)
		reply, err := nc.RequestMsg(msg, 30e9)
		if err != nil || reply.Header.Get(messages.HeaderRequestID) != id {
			t.Fatal(err, reply)
		}
		mu.Lock()
		if seen[sent] < 2 {
			t.Errorf("%s: %d calls carry %s: %v", id, seen[sent], sent, seen)
		}
		mu.Unlock()
	}
	bridgetest.Await(t, "the log lines", func() error {
		if text := log.String(); strings.Count(text, "request_id=campaign-42 client_request_id="+dynamics.ClientRequestID("campaign-42")) != 1 ||
			strings.Count(text, "request_id="+guid) != 1 || strings.Contains(text, "client_request_id="+guid) {
			return errors.New("they are not there yet, or not as they should be")
		}
		return nil
	})
}

// A page of a job's results is answered under the asker's id, and its body is the stored one.
func TestResultsHaveTheIDOfTheJobInTheirBodies(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, nc := w.Client()
	ask := func(subject, id, body string) *nats.Msg {
		t.Helper()
		msg := nats.NewMsg(subject)
		msg.Header.Set(messages.HeaderRequestID, id)
		msg.Data = []byte(body)
		reply, err := nc.RequestMsg(msg, 30e9)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	ask("crm.accounts.search.job.acme.j", "maker", "{}")
	for record, err := range client.Jobs().Progress(t.Context(), "acme", "j") {
		if err != nil || record.State.Ended() && record.State != messages.JobDone {
			t.Fatalf("%+v, %v", record, err)
		}
	}
	for page, maker := range map[string]string{"1": "maker", "9": "asker"} {
		reply := ask(messages.JobsResults.ScopedSubject("acme"), "asker", `{"job_id":"j","page":`+page+`}`)
		if id := reply.Header.Get(messages.HeaderRequestID); id != "asker" ||
			!strings.Contains(string(reply.Data), `"request_id":"`+maker+`"`) {
			t.Errorf("page %s: %s: %s", page, id, reply.Data)
		}
	}
}
