package messages_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// What the client asks about jobs, and what it makes of the answers.
func TestClientJobs(t *testing.T) {
	const answer = `{"request_id":"r","job":{"id":"j","operation":"accounts.search","connection":"acme","state":"running","pages":2,"rows":10,"total":50,"incarnation":"i"}}`
	b := newBus(t)
	asked := ""
	for op, reply := range map[messages.Operation]string{
		messages.JobsGet: answer, messages.JobsCancel: answer, messages.JobsRetry: answer,
		messages.JobsDelete: `{"request_id":"r","deleted":true}`,
	} {
		b.answer(op.ScopedSubject("acme"),
			func(msg *nats.Msg) { asked = msg.Subject + " " + string(msg.Data); b.reply(msg, reply) })
	}
	jobs := b.client.Jobs()
	get := func(job *messages.Job, err error) error {
		if err == nil && (job.ID != "j" || job.State != messages.JobRunning || job.Rows != 10 || *job.Total != 50 ||
			job.Incarnation != "i") {
			t.Errorf("%+v", job)
		}
		return err
	}
	remove := func(deleted bool, err error) error {
		if err == nil && !deleted {
			t.Error("nothing was deleted")
		}
		return err
	}
	for want, call := range map[string]func(id string) error{
		`crm.jobs.get.request.acme {"connection":"acme","job_id":"j"}`:    func(id string) error { return get(jobs.Get(t.Context(), "acme", id)) },
		`crm.jobs.cancel.request.acme {"connection":"acme","job_id":"j"}`: func(id string) error { return get(jobs.Cancel(t.Context(), "acme", id)) },
		`crm.jobs.delete.request.acme {"connection":"acme","job_id":"j"}`: func(id string) error { return remove(jobs.Delete(t.Context(), "acme", id)) },
		`crm.jobs.retry.request.acme {"connection":"acme","job_id":"j","new_job_id":"k"}`: func(id string) error {
			return get(jobs.Retry(t.Context(), messages.JobRetryRequest{Target: acme, JobID: id, NewJobID: "k"}))
		},
	} {
		if err := call("j"); err != nil || asked != want {
			t.Errorf("asked %s, want %s; %v", asked, want, err)
		}
		asked = ""
		for _, id := range []string{"", "a.b", "*", strings.Repeat("x", 65)} {
			if err := call(id); codeOf(err) != messages.InvalidRequest || asked != "" {
				t.Errorf("%s: %v, asked %s", want, err, asked)
			}
		}
	}
}

// All follows the cursors of a list, and does not follow them in circles.
func TestClientListsJobs(t *testing.T) {
	b := newBus(t)
	b.answer("crm.jobs.list.request", func(msg *nats.Msg) {
		switch body := string(msg.Data); {
		case strings.Contains(body, `"cursor":"c1"`):
			b.reply(msg, `{"request_id":"r","jobs":[{"id":"c"}]}`)
		case strings.Contains(body, `"cursor":"circle"`):
			b.reply(msg, `{"request_id":"r","jobs":[{"id":"x"}],"next_cursor":"circle"}`)
		case strings.Contains(body, `"cursor":"bad"`):
			b.reply(msg, `{"error":{"code":"invalid_request","message":"no"}}`, messages.HeaderErrorCode,
				"invalid_request")
		default:
			b.reply(msg, `{"request_id":"r","jobs":[{"id":"a"},{"id":"b"}],"next_cursor":"c1"}`)
		}
	})
	for cursor, want := range map[string]struct {
		ids  string
		code messages.Code
	}{"": {"abc", ""}, "circle": {"x", messages.Internal}, "bad": {"", messages.InvalidRequest}} {
		ids := ""
		var fault error
		for job, err := range b.client.Jobs().All(t.Context(), messages.JobsListRequest{Cursor: cursor}) {
			if fault = err; err == nil {
				ids += job.ID
			}
		}
		if ids != want.ids || codeOf(fault) != want.code {
			t.Errorf("from %q: %s, %v", cursor, ids, fault)
		}
	}
	for range b.client.Jobs().All(t.Context(), messages.JobsListRequest{}) {
		break // asks for no more
	}
}

// Progress begins with what the job is, yields what is written, and ends with the job.
func TestClientProgress(t *testing.T) {
	lane, client, nc := laneClient(t, true)
	lane.Record(job("j", messages.JobRunning))
	var states []string
	for record, err := range client.Jobs().Progress(t.Context(), "acme", "j") {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, string(record.State)+record.Owner)
		next := job("j", messages.JobRunning)
		next.Owner = "p1"
		if len(states) == 2 {
			next = job("j", messages.JobDone)
		}
		if len(states) < 3 {
			lane.Record(next)
		}
	}
	if got := strings.Join(states, " "); got != "running runningp1 done" {
		t.Errorf("%s", got)
	}
	rounds := 0
	for _, err := range client.Jobs().Progress(t.Context(), "acme", "none") {
		if rounds++; codeOf(err) != messages.NotFound {
			t.Error(err)
		}
	}
	for record, err := range client.Jobs().Progress(t.Context(), "acme", "j") { // ended before
		if rounds++; err != nil || record.State != messages.JobDone {
			t.Errorf("%+v, %v", record, err)
		}
	}
	if rounds != 2 {
		t.Errorf("%d rounds", rounds)
	}
	watch, err := client.Jobs().Watch("acme", "j")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := watch.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	watch.Close()
	if _, err := client.Jobs().Watch("acme", "*"); codeOf(err) != messages.InvalidRequest {
		t.Error(err)
	}
	if n := nc.NumSubscriptions(); n > 1 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// A stream that captures requests answers them with its acknowledgement. That is no answer.
func TestAnAcknowledgementIsNoAnswer(t *testing.T) {
	lane, client, _ := laneClient(t, false)
	if _, err := lane.JS.CreateStream(t.Context(),
		jetstream.StreamConfig{Name: "GREEDY", Subjects: []string{"crm.*.*.request.*"}}); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Accounts().Count(t.Context(),
		messages.CountRequest{Target: acme}); codeOf(err) != messages.ConfigurationError ||
		!strings.Contains(err.Error(), "GREEDY") {
		t.Errorf("%d, %v", n, err)
	}
	for _, err := range client.Accounts().Stream(t.Context(), search()) {
		if err == nil {
			t.Error("a stream of an acknowledgement")
		}
	}
	if _, err := client.Jobs().Page(t.Context(), "acme", "j", 1); codeOf(err) != messages.ConfigurationError {
		t.Errorf("%v", err)
	}
}
