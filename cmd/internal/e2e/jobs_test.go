package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A requester of jobs knows what messages/README.md says of subjects and bodies, and nothing
// else.
type requester struct {
	testing.TB
	nc *nats.Conn
	js jetstream.JetStream
}

func newRequester(t testing.TB, nc *nats.Conn) requester {
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return requester{t, nc, js}
}

// job publishes a job of acme.
func (r requester) job(op, id, body string) {
	r.Helper()
	if _, err := r.js.Publish(r.Context(), "crm."+op+".job.acme."+id, []byte(body)); err != nil {
		r.Fatal(err)
	}
}

// ask sends a request to a subject and returns the reply, and its body.
func (r requester) ask(subject, body string) (*nats.Msg, map[string]any) {
	r.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(body)
	msg.Header.Set(messages.HeaderRequestID, "asked-by-test")
	reply, err := r.nc.RequestMsg(msg, 30*time.Second)
	if err != nil {
		r.Fatalf("%s: %v", subject, err)
	}
	if id := reply.Header.Values(messages.HeaderRequestID); len(id) != 1 || id[0] != "asked-by-test" {
		r.Errorf("%s is answered with the request ids %q", subject, id)
	}
	var read map[string]any
	if len(reply.Data) > 0 {
		if err := json.Unmarshal(reply.Data, &read); err != nil {
			r.Fatalf("%s: %s: %v", subject, reply.Data, err)
		}
	}
	return reply, read
}

// ended waits until a job has ended, and returns it.
func (r requester) ended(id string) (job map[string]any) {
	r.Helper()
	bridgetest.Await(r, "the end of job "+id, func() error {
		_, body := r.ask("crm.jobs.get.request.acme", fmt.Sprintf(`{"job_id":%q}`, id))
		job, _ = body["job"].(map[string]any)
		if job["finished_at"] == nil {
			return fmt.Errorf("%v", body)
		}
		return nil
	})
	return job
}

// code is the code of an error reply, "" for none.
func code(reply *nats.Msg) string { return reply.Header.Get(messages.HeaderErrorCode) }

// pages reads all pages of a job's results by their numbers.
func (r requester) pages(id string) (rows []string) {
	r.Helper()
	seen := map[string]bool{}
	for page := 1; ; page++ {
		reply, body := r.ask("crm.jobs.results.request",
			fmt.Sprintf(`{"connection":"acme","job_id":%q,"page":%d}`, id, page))
		if code(reply) != "" || reply.Header.Get(messages.HeaderPage) != strconv.Itoa(page) ||
			reply.Header.Get(messages.HeaderIncarnation) == "" ||
			reply.Header.Get(messages.HeaderCheckpoint) != "" {
			r.Fatalf("page %d of %s: %v %v", page, id, reply.Header, body["error"])
		}
		of, _ := body["accounts"].([]any)
		for _, row := range of {
			key, _ := row.(map[string]any)["id"].(string)
			if key == "" || seen[key] {
				r.Fatalf("page %d of %s has %v, which was there", page, id, row)
			}
			seen[key] = true
			rows = append(rows, key)
		}
		if got := reply.Header.Get(messages.HeaderRows); got != strconv.Itoa(len(rows)) {
			r.Errorf("page %d of %s counts %s rows, and %d came", page, id, got, len(rows))
		}
		if reply.Header.Get(messages.HeaderLast) == "true" {
			return rows
		}
	}
}

// leftOf are the subjects of acme in the streams of jobs.
func (r requester) leftOf() (left []string) {
	r.Helper()
	for name, filter := range map[string]string{messages.JobsStream: "crm.*.*.job.acme.*",
		messages.ResultsStream: "crm.results.acme.*",
		messages.StateStream:   "crm.state.acme.*", messages.DeadStream: "crm.dead.acme.*"} {
		stream, err := r.js.Stream(r.Context(), name)
		if err != nil {
			r.Fatal(err)
		}
		info, err := stream.Info(r.Context(), jetstream.WithSubjectFilter(filter))
		if err != nil {
			r.Fatal(err)
		}
		for subject := range info.State.Subjects {
			left = append(left, subject)
		}
	}
	return left
}

// Jobs are published, run, looked at, read, listed, cancelled and deleted, with two crmbridges
// and a requester that has gone meanwhile; a deleted connection leaves nothing.
func TestJobs(t *testing.T) {
	t.Parallel()
	const accounts = 1234
	var held atomic.Bool
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: accounts}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if held.Load() && strings.Contains(r.URL.Path, "/accounts") {
				select {
				case <-release:
				case <-r.Context().Done():
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	for _, first := range []bool{true, false} {
		w.Bridge(w.Settings(first), nil)
	}
	w.Connect("acme")
	_, gone := w.Client()
	publisher := newRequester(t, gone)
	publisher.job("users.whoami", "who", `{}`)
	publisher.job("accounts.search", "all", `{"fields":["id","name"],"page_size":200}`)
	publisher.job("accounts.search", "wrong", `{"fields":["id"],"page_sise":200}`)
	publisher.job("accounts.search", "of-another", `{"connection":"globex"}`)
	gone.Close()
	_, nc := w.Client()
	r := newRequester(t, nc)

	if job := r.ended("who"); job["state"] != "done" || job["operation"] != "users.whoami" || job["pages"] != 1.0 ||
		job["connection"] != "acme" {
		t.Errorf("%v", job)
	}
	reply, body := r.ask("crm.jobs.results.request.acme", `{"job_id":"who","page":1}`)
	if code(reply) != "" || body["user_id"] == nil || reply.Header.Get(messages.HeaderLast) != "true" {
		t.Errorf("%v %v", reply.Header, body)
	}
	if job := r.ended("all"); job["state"] != "done" || job["rows"] != float64(accounts) || job["attempts"] != 0.0 ||
		job["started_at"] == nil {
		t.Errorf("%v", job)
	}
	if rows := r.pages("all"); len(rows) != accounts {
		t.Errorf("%d of %d rows", len(rows), accounts)
	}
	for id, says := range map[string]string{"wrong": "page_sise", "of-another": "connection"} {
		job := r.ended(id)
		fault, _ := job["error"].(map[string]any)
		if job["state"] != "failed" || fault["code"] != "invalid_request" ||
			!strings.Contains(fmt.Sprint(fault["message"]), says) {
			t.Errorf("%s: %v", id, job)
		}
		// The end that is stored is the answer, as it is.
		reply, body := r.ask("crm.jobs.results.request.acme", fmt.Sprintf(`{"job_id":%q,"page":1}`, id))
		stored, _ := body["error"].(map[string]any)
		if code(reply) != "invalid_request" || stored["message"] != fault["message"] ||
			reply.Header.Get(messages.HeaderPage) != "1" {
			t.Errorf("%s: %v %v", id, reply.Header, body)
		}
	}
	for body, want := range map[string]string{`{"job_id":"all","page":999}`: "not_found",
		`{"job_id":"none","page":1}`: "not_found",
		`{"job_id":"all"}`:           "invalid_request", `{"job_id":"a.b","page":1}`: "invalid_request",
		`{"page":1}`: "invalid_request",
		`{"connection":"globex","job_id":"all","page":1}`: "invalid_request"} {
		if reply, read := r.ask("crm.jobs.results.request.acme", body); code(reply) != want {
			t.Errorf("%s: %v", body, read)
		}
	}
	if reply, body := r.ask("crm.jobs.get.request.globex", `{"job_id":"all"}`); code(reply) != "connection_not_found" {
		t.Errorf("%v", body)
	}

	// One is cancelled while it runs, one is waiting then.
	held.Store(true)
	r.job("accounts.search", "held", `{"fields":["id"]}`)
	bridgetest.Await(t, "a job that runs", func() error {
		_, body := r.ask("crm.jobs.list.request", `{}`)
		if text := fmt.Sprint(body["jobs"]); !strings.Contains(text, "held") || !strings.Contains(text, "running") {
			return errors.New(text)
		}
		return nil
	})
	_, body = r.ask("crm.jobs.delete.request.acme", `{"job_id":"held"}`)
	if !strings.Contains(fmt.Sprint(body["error"]), "cancel it first") {
		t.Errorf("%v", body)
	}
	for range 2 { // the second time it has ended
		if _, body := r.ask("crm.jobs.cancel.request.acme", `{"job_id":"held"}`); body["job"] == nil ||
			body["job"].(map[string]any)["state"] != "cancelled" {
			t.Errorf("%v", body)
		}
	}
	if reply, _ := r.ask("crm.jobs.results.request.acme", `{"job_id":"held","page":1}`); code(reply) != "cancelled" ||
		reply.Header.Get(messages.HeaderLast) != "true" {
		t.Errorf("%v", reply.Header)
	}
	free()

	var listed []string
	for cursor := ""; ; {
		_, body := r.ask("crm.jobs.list.request.acme", fmt.Sprintf(`{"page_size":2,"cursor":%q}`, cursor))
		jobs, _ := body["jobs"].([]any)
		for _, job := range jobs {
			listed = append(listed, job.(map[string]any)["id"].(string))
		}
		if cursor, _ = body["next_cursor"].(string); cursor == "" {
			break
		}
	}
	if got := strings.Join(listed, " "); got != "all held of-another who wrong" {
		t.Errorf("%s are listed", got)
	}

	if _, body := r.ask("crm.jobs.retry.request.acme",
		`{"job_id":"wrong","new_job_id":"again"}`); body["job"] == nil ||
		body["job"].(map[string]any)["retry_of"] != "wrong" {
		t.Errorf("%v", body)
	}
	if job := r.ended("again"); job["state"] != "failed" || job["retry_of"] != "wrong" {
		t.Errorf("%v", job)
	}
	for _, want := range []bool{true, false} {
		if _, body := r.ask("crm.jobs.delete.request.acme", `{"job_id":"all"}`); body["deleted"] != want {
			t.Errorf("%v", body)
		}
	}
	for _, subject := range r.leftOf() {
		if strings.HasSuffix(subject, ".all") {
			t.Errorf("%s is left", subject)
		}
	}

	if _, body := r.ask("crm.connections.delete.request", `{"connection":"acme"}`); body["deleted"] != true {
		t.Errorf("%v", body)
	}
	if left := r.leftOf(); len(left) > 0 {
		t.Errorf("%v are left of a deleted connection", left)
	}
	// What a worker that stood still would store now is not there for the next incarnation.
	stale := nats.NewMsg("crm.results.acme.who")
	stale.Header.Set(messages.HeaderIncarnation, "of-before")
	stale.Header.Set(messages.HeaderPage, "1")
	stale.Header.Set(messages.HeaderRows, "1")
	if _, err := r.js.PublishMsg(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	w.Connect("acme")
	if left := r.leftOf(); len(left) > 0 {
		t.Errorf("%v are left when the connection is made again", left)
	}
	if reply, body := r.ask("crm.jobs.get.request.acme", `{"job_id":"who"}`); code(reply) != "not_found" {
		t.Errorf("%v", body)
	}
	r.job("users.whoami", "who", `{}`)
	if job := r.ended("who"); job["state"] != "done" {
		t.Errorf("%v", job)
	}
}
