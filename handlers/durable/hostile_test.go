package durable

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Records that somebody else may have written who may publish there. None of them keeps its job
// from its end.
var hostileRecords = []string{
	``, `null`, `[]`, `"x"`, `{`, `{"form":-1}`, `{"form":"x"}`, strings.Repeat("[", 100_000),
	`{"form":1,"owner":"` + "\xff\xfe" + `"}`,
	`{"form":1,"owner":"` + strings.Repeat("o", 1<<19) + `"}`,
	`{"form":1,"operation":"` + strings.Repeat("o", 3000) + `"}`,
	`{"form":1,"state":"done"}`,
	`{"form":1,"state":"failed","error":{"code":"nonsense"}}`,
	`{"form":1,"state":"failed","error":null,"digest":"zz"}`,
	`{"form":1,"state":"banana","operation":"connections.delete","connection":"globex","id":"other"}`,
	`{"form":1,"state":"running","owner":"x"}`,
	`{"form":1,"state":"running","owner":"x","beat":9223372036854775807,"attempts":9223372036854775807,` +
		`"takeovers":9223372036854775807}`,
	`{"form":1,"state":"queued","beat":9223372036854775807,"takeovers":9223372036854775806,"pages":-9223372036854775808,` +
		`"rows":-1,"bytes":9223372036854775807,"total":-5}`,
	`{"form":1,"state":"queued","retry_at":"0001-01-01T00:00:00Z"}`,
	`{"form":1,"state":"queued","incarnation":"\r\nNats-Rollup: all"}`,
	`{"form":1,"queued_at":"9999-12-31T23:59:59Z","started_at":"9999-12-31T23:59:59Z"}`,
	`{"form":1,"pages":1000000}`,
}

// Whatever is stored or published as records: nothing panics, nothing is written again and again,
// every job ends or is dropped, and other connections' jobs are run.
func TestRecordsOfStrangers(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	t.Parallel()
	r := bareRig(t, nil)
	r.connections.set("globex", "inc-9")
	log := &lines{}
	l, _ := r.process(only(counter{rows: 25}.route()), 16, func(l *Lane) {
		l.log, l.recountEvery, l.pullWait = slog.New(slog.NewTextHandler(log, nil)), time.Second, time.Second
	})
	publish := func(subject, body string) {
		t.Helper()
		if _, err := r.js.Publish(t.Context(), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for i, record := range hostileRecords {
		publish(messages.StateSubject("acme", fmt.Sprint("before-", i)), record)
		publish(someOp.JobSubject("acme", fmt.Sprint("before-", i)), `{}`)
		publish(someOp.JobSubject("acme", fmt.Sprint("meanwhile-", i)), `{}`)
		for range 10 {
			if err := r.nc.Publish(messages.StateSubject("acme", fmt.Sprint("meanwhile-", i)), []byte(record)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(someOp.JobSubject("globex", "g"), `{}`)
	for i := range hostileRecords {
		for _, id := range []string{fmt.Sprint("before-", i), fmt.Sprint("meanwhile-", i)} {
			for until := time.Now().Add(time.Minute); r.waits(id); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("%s waits: %.100q", id, hostileRecords[i])
				}
			}
		}
	}
	if record, _, err := l.ledger.read(t.Context(), "globex", "g"); err != nil || record.State != messages.JobDone {
		t.Errorf("the other connection's job: %+v, %v", record, err)
	}
	if text := log.String(); strings.Contains(text, "panic") {
		t.Error(text)
	}
}

// A record that says it waits, or that its connection is throttled, for years: no longer than
// crmbridge itself ever waits.
func TestARecordThatWaitsForYears(t *testing.T) {
	r := newRig(t)
	routes := map[messages.Operation]route.Route{someOp: {}} // which is known, and never run
	l, _ := r.process(routes, 4, func(l *Lane) { l.board.paused = never })
	body := `{"form":1,"state":"queued","retry_at":"2999-12-31T23:59:59Z","error":{"code":"throttled","message":"m"}}`
	r.publish(someOp, "j", `{}`)
	subject := messages.StateSubject("acme", "j")
	if _, err := r.js.Publish(t.Context(), subject, []byte(body)); err != nil {
		t.Fatal(err)
	}
	l.board.follow(followed{seq: 1, op: someOp, connection: "acme", id: "j", at: time.Now(), expires: never}, l.now())
	l.hear(subject, []byte(body))
	q, blocked, w := l.board.waitingFor("acme", "j")
	if most := l.now().after(longestRetry); blocked > most || w.after > most || blocked == 0 {
		t.Errorf("blocked until %v, waits until %v, at most %v", blocked, w.after, most)
	}
	if got := l.claim(t.Context(), &openJob{waiting: w, queue: q}); got.verdict != claimLater ||
		time.Until(got.again) > longestRetry {
		t.Errorf("%+v", got)
	}
}

// waitingFor is a queue, until when it is blocked, and one of its jobs: it is kept apart as soon as
// it is known that its time is far away.
func (b *board) waitingFor(connection, id string) (*queue, instant, waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[connection]
	if at := q.indexOf(id); at >= 0 {
		return q, q.blocked, q.jobs[at]
	}
	return q, q.blocked, q.delayed[id]
}

// Somebody else's messages among the results end a job, and the dead letter of somebody else is
// not sent again.
func TestResultsOfStrangers(t *testing.T) {
	r := bareRig(t, nil)
	l, _ := r.process(only(counter{rows: 25}.route()), 4, nil)
	for name, header := range map[string]nats.Header{
		"none":        {},
		"overflow":    {"Crm-Page": {"99999999999999999999"}, "Crm-Rows": {"1"}},
		"checkpoint":  {"Crm-Page": {"2147483648"}, "Crm-Rows": {"1"}, "Crm-Incarnation": {"inc-1"}, "Crm-Checkpoint": {"AAAA"}},
		"code":        {"Crm-Page": {"3"}, "Crm-Rows": {"1"}, "Crm-Incarnation": {"inc-1"}, "Crm-Last": {"true"}, "Crm-Error-Code": {"x"}},
		"incarnation": {"Crm-Page": {"1"}, "Crm-Rows": {"-5"}, "Crm-Incarnation": {"inc-0"}},
	} {
		msg := nats.NewMsg(messages.ResultSubject("acme", name))
		msg.Header, msg.Data = header, []byte("{")
		if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		letter := nats.NewMsg(messages.DeadSubject("acme", name))
		letter.Header = nats.Header{"Crm-Operation": {"connections.delete"}, "Crm-Incarnation": {"inc-1"}}
		if _, err := r.js.PublishMsg(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
		r.publish(someOp, name, `{}`)
		r.ended(name)
		_, err := l.Retry(t.Context(), "acme", name, "again")
		fails(t, err, messages.Internal, "somebody else")
	}
}

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
