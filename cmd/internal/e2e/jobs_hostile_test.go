package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// hostileJobs are bodies that a tenant may send.
var hostileJobs = []string{
	``, `null`, `[]`, `5`, `"x"`, `{`, `{}{}`, "{\"fields\":[\"\xff\"]}", "\xff\xfe", "{\x00}",
	strings.Repeat("[", 200_000), `{"where":` + strings.Repeat(`{"not":`, 5000) + `{}` + strings.Repeat(`}`, 5000) + `}`,
	strings.Repeat(" ", 900_000) + `{"nonsense":1}`, `{"fields":["id"],"fields":["name"]}`, `{"encoding":"zstd","encoding":"zstd"}`,
	`{"encoding":5}`, `{"encoding":"gzip"}`, `{"parallel":"no"}`, `{"parallel":1,"encoding":[]}`, `{"encoding":{"a":` + strings.Repeat(`[`, 5000),
	`{"connection":"globex"}`, `{"connection":"acme","connection":"globex"}`, `{"connection":null,"nonsense":1}`, `{"cursor":"abc"}`, `{"mode":"banana"}`, `{"page_size":-1}`,
	`{"page_size":1e99}`, `{"page_size":"x"}`, `{"limit":-1}`, `{"limit":99999999999999999999}`, `{"order_by":["nonsense"]}`,
	`{"where":{"field":"nonsense","op":"eq","value":1}}`, `{"where":{"and":[` + strings.Repeat(`{"field":"name","op":"eq","value":"a"},`, 9000) + `{}]}}`,
	`{"` + strings.Repeat("k", 500_000) + `":1}`, `{` + strings.Repeat(`"a":1,`, 50_000) + `"b":2}`,
}

// hostileHeaders are what a tenant may send with a job; the server refuses some.
var hostileHeaders = []nats.Header{
	{"Crm-Deadline": {"2001-01-01T00:00:00Z"}}, {"Crm-Deadline": {"9999-12-31T23:59:59Z"}}, {"Crm-Deadline": {"soon"}}, {"Crm-Deadline": {""}},
	{"Crm-Request-Id": {"a b"}}, {"Crm-Request-Id": {strings.Repeat("x", 10_000)}}, {"Crm-Request-Id": {"ok", "two"}},
	{"Crm-Incarnation": {"x"}, "Crm-Last": {"true"}, "Crm-Page": {"7"}, "Crm-Checkpoint": {"AAAA"}, "Crm-Rows": {"5"}, "Crm-Error-Code": {"internal"}},
	{"Nats-Rollup": {"all"}}, {"Nats-Rollup": {"sub"}}, {"Nats-TTL": {"1s"}}, {"Nats-Schedule": {"@at 2030-01-01T00:00:00Z"}, "Nats-Schedule-Target": {"crm.results.globex.x"}},
	{"Nats-Expected-Stream": {"CRM_RESULTS"}}, {"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}}, {"Nats-Incr": {"+1"}},
	{"Traceparent": {strings.Repeat("x", 50_000)}}, {"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Tracestate": {strings.Repeat("a=b,", 10_000)}},
	{"Crm-Retry-Of": {"../../x"}}, {"Content-Encoding": {"zstd"}}, {"X": {strings.Repeat("x", 60_000)}},
}

// What a tenant may publish as jobs ends, and not with a defect of crmbridge's; what there is of
// it in logs, records and dead letters' headers holds no secret and no value of a filter.
func TestHostileJobs(t *testing.T) {
	bridgetest.Long(t, "it runs many jobs")
	t.Parallel()
	const value = "canary filter value 4711"
	tap := bridgetest.NewWiretap()
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 200}, tap.Between)
	log := &bridgetest.Buffer{}
	settings := w.Settings(true)
	settings.LogLevel = "debug"
	w.Bridge(settings, log)
	w.Connect("acme")
	tap.Keep("client secret", emulator.DefaultClientSecret, url.QueryEscape(emulator.DefaultClientSecret))
	tap.Keep("filter value", value)
	tap.Keep("key", bridgetest.KeyMaterial(t, w.Keyset))
	_, nc := w.Client()
	r := newRequester(t, nc)

	var ids []string
	put := func(op, id, body string, header nats.Header) {
		msg := &nats.Msg{Subject: "crm." + op + ".job.acme." + id, Data: []byte(body), Header: header}
		if _, err := r.js.PublishMsg(t.Context(), msg); err == nil {
			ids = append(ids, id)
		}
	}
	// Errors of Dataverse that quote what they were asked, for good and for a while.
	for i, status := range []int{400, 403, 413, 500} {
		w.Emulator.Control().Fail(emulator.Fault{Status: status, Times: 100, Header: map[string]string{"Content-Type": "application/json"},
			Body: `{"error":{"code":"0x80060888","message":"near '` + value + `'"}}`})
		id := fmt.Sprint("quoted-", i)
		put("accounts.search", id, `{"where":{"field":"name","op":"contains","value":"`+value+`"}}`, nil)
		bridgetest.Await(t, "the failure of "+id, func() error {
			_, body := r.ask("crm.jobs.get.request.acme", fmt.Sprintf(`{"job_id":%q}`, id))
			if job, _ := body["job"].(map[string]any); job["error"] == nil {
				return fmt.Errorf("%v", body)
			}
			return nil
		})
		w.Emulator.Control().Clear()
	}
	put("accounts.search", "unknown", `{"where":{"field":"name","op":"eq","value":"`+value+`"},"nonsense":"`+value+`"}`, nil)
	for i, body := range hostileJobs {
		for _, op := range []string{"accounts.search", "accounts.changes", "accounts.count", "accounts.get", "users.whoami"} {
			put(op, fmt.Sprint(strings.Replace(op, ".", "_", 1), "-", i), body, nil)
		}
	}
	for i, header := range hostileHeaders {
		put("accounts.search", fmt.Sprint("header-", i), `{"fields":["id"]}`, header)
	}
	put("accounts.search", strings.Repeat("a", 64), `{"fields":["id"]}`, nil)
	valid := len(ids)
	for _, id := range []string{strings.Repeat("b", 65), "é", "a$b", "%00", strings.Repeat("c", 255)} {
		put("accounts.search", id, `{"fields":["id"]}`, nil)
	}
	put("accounts.banana", "other-version", `{}`, nil)
	bridgetest.Await(t, "the end of all jobs but one", func() error {
		var left []string
		for _, subject := range r.leftOf() {
			if strings.Contains(subject, ".job.") && !strings.HasSuffix(subject, ".other-version") && !strings.HasSuffix(subject, ".quoted-3") {
				left = append(left, subject)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("%.300q", left)
		}
		return nil
	})
	for _, id := range ids[:valid] {
		_, body := r.ask("crm.jobs.get.request.acme", fmt.Sprintf(`{"job_id":%q}`, id))
		job, _ := body["job"].(map[string]any)
		if fault, _ := job["error"].(map[string]any); job["state"] == nil || fault["code"] == "internal" {
			t.Errorf("%s: %v", id, body)
		}
	}
	for _, id := range ids[valid : len(ids)-1] {
		msg := r.last(messages.ResultsStream, "crm.results.acme."+id)
		if code := msg.Header.Get(messages.HeaderErrorCode); code != "invalid_request" {
			t.Errorf("%.80s ended with %q", id, code)
		}
	}
	for _, stream := range []string{messages.StateStream, messages.DeadStream} {
		for _, msg := range r.all(stream) {
			text := fmt.Sprint(msg.Headers())
			if stream == messages.StateStream { // a dead letter's body is the request
				text += string(msg.Data())
			}
			for _, what := range tap.In(text) {
				t.Errorf("%s holds a %s in clear: %.300s", msg.Subject(), what, text)
			}
		}
	}
	for _, what := range tap.In(log.String()) {
		t.Errorf("the log holds a %s in clear", what)
	}
	if strings.Contains(log.String(), "panic") {
		t.Error("something panicked")
	}
}

// last is the last message of a subject.
func (r requester) last(name, subject string) *jetstream.RawStreamMsg {
	r.Helper()
	stream, err := r.js.Stream(r.Context(), name)
	if err != nil {
		r.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(r.Context(), subject)
	if err != nil {
		r.Fatalf("%.100s: %v", subject, err)
	}
	return msg
}

// all are the messages of a stream.
func (r requester) all(name string) (all []jetstream.Msg) {
	r.Helper()
	stream, err := r.js.Stream(r.Context(), name)
	if err != nil {
		r.Fatal(err)
	}
	c, err := stream.OrderedConsumer(r.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		r.Fatal(err)
	}
	for range stream.CachedInfo().State.Msgs {
		msg, err := c.Next()
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}
