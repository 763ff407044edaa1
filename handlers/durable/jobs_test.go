package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// fails checks the code of an error and that it says something.
func fails(t testing.TB, err error, code messages.Code, says string) *messages.Error {
	t.Helper()
	fault, ok := errors.AsType[*messages.Error](err)
	if !ok || fault.Code != code || !strings.Contains(fault.Message, says) {
		t.Errorf("%v, want %s with %q", err, code, says)
		return &messages.Error{}
	}
	return fault
}

// put stores a record as somebody else would.
func (r *rig) putRecord(record messages.JobRecord) {
	r.Helper()
	_, at, err := ledger{js: r.js}.read(r.Context(), record.Connection, record.ID)
	if err == nil {
		_, err = ledger{js: r.js}.write(r.Context(), record, at)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// putResult stores a message of results as it is.
func (r *rig) putResult(id string, page int, body string, header ...string) {
	r.Helper()
	msg := nats.NewMsg(messages.ResultSubject("acme", id))
	msg.Data = []byte(body)
	msg.Header.Set(messages.HeaderPage, strconv.Itoa(page))
	msg.Header.Set(messages.HeaderRows, strconv.Itoa(10*page))
	msg.Header.Set(messages.HeaderIncarnation, "inc-1")
	for i := 0; i < len(header); i += 2 {
		msg.Header.Set(header[i], header[i+1])
	}
	if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
		r.Fatal(err)
	}
}

// purgeTo removes messages of a subject but the last ones.
func (r *rig) purgeTo(stream, subject string, keep uint64) {
	r.Helper()
	ask, _ := json.Marshal(map[string]any{"filter": subject, "keep": keep})
	if _, err := r.nc.Request("$JS.API.STREAM.PURGE."+stream, ask, 5*time.Second); err != nil {
		r.Fatal(err)
	}
}

func TestAJobIsDescribedFromItsBeginningToItsEnd(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 25}.route()), nil)
	_, err := l.Get(t.Context(), "acme", "j")
	fails(t, err, messages.NotFound, "no job")
	_, err = l.Get(t.Context(), "nobody", "j")
	if err == nil {
		t.Error("a connection that is not there has jobs")
	}
	message := r.publish(someOp, "j", `{}`, messages.HeaderRetryOf, "i")
	job, err := l.Get(t.Context(), "acme", "j")
	if err != nil || job.State != messages.JobQueued || job.Operation != someOp ||
		!job.QueuedAt.Equal(message.Time) || job.RetryOf != "i" ||
		job.StartedAt != nil || job.ID != "j" || job.Connection != "acme" {
		t.Errorf("waiting: %+v, %v", job, err)
	}
	_, ok := r.claim(l, "j")
	if job, err = l.Get(t.Context(), "acme", "j"); !ok || err != nil || job.State != messages.JobRunning ||
		job.Pages != 0 {
		t.Errorf("running: %+v, %v", job, err)
	}
	// The record follows the results; what is stored counts.
	r.putResult("j", 1, "{}", messages.HeaderTotal, "25")
	if job, err = l.Get(t.Context(), "acme", "j"); err != nil || job.State != messages.JobRunning || job.Pages != 1 ||
		job.Rows != 10 || *job.Total != 25 {
		t.Errorf("after a page: %+v, %v", job, err)
	}
	r.putResult("j", 2, "{}", messages.HeaderLast, "true", messages.HeaderErrorCode, "too_large")
	if job, err = l.Get(t.Context(), "acme", "j"); err != nil || job.State != messages.JobFailed || job.Pages != 2 ||
		job.FinishedAt == nil ||
		job.Error == nil || job.Error.Code != messages.TooLarge {
		t.Errorf("ended, and the record does not say so yet: %+v, %v", job, err)
	}
	r.publish(someOp, "k", `{}`)
	if out := r.execute(l, "k"); !out.ended {
		t.Fatalf("%+v", out)
	}
	if job, err = l.Get(t.Context(), "acme", "k"); err != nil || job.State != messages.JobDone || job.Pages != 3 ||
		job.Rows != 25 || job.Incarnation != "inc-1" {
		t.Errorf("done: %+v, %v", job, err)
	}
}

func TestResultsThatAreGoneAreToldFromThoseThatWereLost(t *testing.T) {
	r := newRig(t)
	results, err := r.js.Stream(t.Context(), messages.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := results.CachedInfo().Config
	config.MaxAge = 48 * time.Hour
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	l := r.lane("one", r.js, nil, nil)
	now := time.Now()
	put := func(id string, finished time.Time) {
		r.putRecord(messages.JobRecord{Job: messages.Job{ID: id, Connection: "acme", Operation: someOp,
			State: messages.JobDone, Pages: 3, Rows: 30,
			FinishedAt: &finished, Incarnation: "inc-1"}})
	}
	put("old", now.Add(-50*time.Hour))
	if job, err := l.Get(t.Context(), "acme", "old"); err != nil || job.State != messages.JobDone || job.Pages != 3 {
		t.Errorf("too old: %+v, %v", job, err)
	}
	_, err = l.Page(t.Context(), "acme", "old", 2)
	fails(t, err, messages.NotFound, "not stored any more")
	put("lost", now.Add(-time.Hour))
	job, err := l.Get(t.Context(), "acme", "lost")
	if err != nil || job.State != messages.JobFailed || job.Error == nil || job.Error.Code != messages.Internal ||
		!strings.Contains(job.Error.Message, "results were lost") || job.Pages != 0 {
		t.Errorf("lost: %+v, %v", job, err)
	}
	_, err = l.Page(t.Context(), "acme", "lost", 2)
	fails(t, err, messages.NotFound, "results were lost")
	put("part", now.Add(-time.Hour))
	r.putResult("part", 1, "{}")
	if job, err := l.Get(t.Context(), "acme", "part"); err != nil || job.State != messages.JobFailed ||
		job.Pages != 1 || !strings.Contains(job.Error.Message, "1 of 3") {
		t.Errorf("lost in part: %+v, %v", job, err)
	}
}

// What carries another incarnation than the connection's is not there.
func TestOperationsIgnoreOtherIncarnations(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 5}.route()), nil)
	finished := time.Now()
	r.putRecord(messages.JobRecord{Job: messages.Job{ID: "j", Connection: "acme", Operation: someOp,
		State: messages.JobDone, Pages: 1, FinishedAt: &finished, Incarnation: "inc-0"}})
	r.putResult("j", 1, `{"rows":[1]}`, messages.HeaderIncarnation, "inc-0", messages.HeaderLast, "true")
	put(t, r.js, messages.DeadSubject("acme", "j"), "inc-0")
	_, err := l.Get(t.Context(), "acme", "j")
	fails(t, err, messages.NotFound, "no job")
	_, err = l.Page(t.Context(), "acme", "j", 1)
	fails(t, err, messages.NotFound, "no job")
	_, err = l.Retry(t.Context(), "acme", "j", "")
	fails(t, err, messages.NotFound, "no dead letter")
	if there, err := l.Delete(t.Context(), "acme", "j"); err != nil || there {
		t.Errorf("%v, %v", there, err)
	}
	list, err := l.List(t.Context(), messages.JobsListRequest{Target: messages.Target{Connection: "acme"},
		PageSize: 10}, 1<<20)
	if err != nil || len(list.Jobs) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	// One of the id that waits now is there.
	r.publish(someOp, "j", `{}`)
	if job, err := l.Get(t.Context(), "acme", "j"); err != nil || job.State != messages.JobQueued || job.Pages != 0 {
		t.Errorf("%+v, %v", job, err)
	}
	list, err = l.List(t.Context(), messages.JobsListRequest{Target: messages.Target{Connection: "acme"},
		PageSize: 10}, 1<<20)
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].State != messages.JobQueued {
		t.Errorf("%+v, %v", list, err)
	}
	job, err := l.Cancel(t.Context(), "acme", "j")
	if err != nil || job.State != messages.JobCancelled || job.Incarnation != "inc-1" {
		t.Errorf("%+v, %v", job, err)
	}
}

// The latest are those whose ids come last, whether they wait or have a record.
func TestLatestJobs(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, nil)
	for i := range 25 {
		id := fmt.Sprintf("j%02d", i)
		if i%2 == 0 {
			r.publish(someOp, id, `{}`)
			continue
		}
		r.putRecord(messages.JobRecord{Job: messages.Job{ID: id, Connection: "acme", Operation: someOp,
			State: messages.JobDone, Incarnation: "inc-1"}})
	}
	for most, want := range map[int]string{3: "j22 j23 j24", 1: "j24", 100: "j00"} {
		jobs, err := l.Latest(t.Context(), "acme", most)
		var ids []string
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		if got := strings.Join(ids, " "); err != nil || !strings.HasPrefix(got, want) || len(ids) != min(most, 25) {
			t.Errorf("%d: %s, %v", most, got, err)
		}
	}
}

func TestJobsAreListedPageByPage(t *testing.T) {
	r := newRig(t)
	r.connections.set("other", "inc-2")
	l := r.lane("one", r.js, nil, nil)
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("j%02d", i)
		want = append(want, id)
		if i%3 == 0 {
			r.publish(someOp, id, `{}`)
		}
		if i%3 != 0 || i%2 == 0 {
			r.putRecord(messages.JobRecord{Job: messages.Job{ID: id, Connection: "acme", Operation: someOp,
				State: messages.JobDone}})
		}
	}
	r.putRecord(messages.JobRecord{Job: messages.Job{ID: "j07", Connection: "other", State: messages.JobDone}})
	for _, c := range []struct{ size, budget, pages int }{{100, 1 << 20, 1}, {25, 1 << 20, 1}, {24, 1 << 20, 2},
		{10, 1 << 20, 3}, {1, 1 << 20, 25}, {100, 1500, 0}} {
		var got []string
		in := messages.JobsListRequest{Target: messages.Target{Connection: "acme"}, PageSize: messages.Count(c.size)}
		pages := 0
		for {
			reply, err := l.List(t.Context(), in, c.budget)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, job := range reply.Jobs {
				got = append(got, job.ID)
				if job.Connection != "acme" || job.State == "" {
					t.Errorf("%+v", job)
				}
			}
			if text, _ := json.Marshal(reply); len(text) > c.budget {
				t.Errorf("a reply of %d bytes, and %d are left", len(text), c.budget)
			}
			if in.Cursor = reply.NextCursor; in.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) || c.pages != 0 && pages != c.pages || c.pages == 0 && pages < 3 {
			t.Errorf("%+v: %d pages, %v", c, pages, got)
		}
	}
	for _, cursor := range []string{"!", "", "YSBi", listCursor(strings.Repeat("x", 65)), listCursor("acme.j01")} {
		_, err := l.List(t.Context(), messages.JobsListRequest{Target: messages.Target{Connection: "acme"},
			PageSize: 1, Cursor: cursor}, 1<<20)
		if cursor != "" {
			fails(t, err, messages.InvalidRequest, "next_cursor")
		}
	}
}

// Without a connection the jobs that wait and run are listed, and no connection is asked for.
func TestWaitingJobsOfAllConnectionsAreListed(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	hold := make(chan struct{})
	l := startLane(t, s, 4, func(_ *Lane, ctx context.Context, c claimed, _ turnFunc) outcome {
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return outcome{lost: true}
	}, nil)
	defer close(hold)
	var subjects []string
	for _, connection := range []string{"a", "b", "c"} {
		subjects = append(subjects, search(connection, 40)...)
	}
	publishJobs(t, js, subjects...)
	var keys []string
	in := messages.JobsListRequest{PageSize: 50}
	deadline := time.Now().Add(time.Minute)
	for {
		reply, err := l.List(t.Context(), in, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range reply.Jobs {
			keys = append(keys, job.Connection+"."+job.ID)
		}
		if in.Cursor = reply.NextCursor; in.Cursor != "" {
			continue
		}
		if len(keys) == 120 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs are known", len(keys))
		}
		keys = nil // they are still being read
		time.Sleep(10 * time.Millisecond)
	}
	if !slices.IsSorted(keys) {
		t.Errorf("%v", keys)
	}
	_, err := l.List(t.Context(), messages.JobsListRequest{PageSize: 1, Cursor: listCursor("a")}, 1<<20)
	fails(t, err, messages.InvalidRequest, "next_cursor")
}

// Every page is found, in order, in any order, and from the middle; what is not there is told
// apart: too old, missing, still to come, after the end.
func TestPagesAreFoundWithoutAConsumer(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, nil)
	const pages = 60
	r.publish(someOp, "j", `{}`)
	_, err := l.Page(t.Context(), "acme", "j", 1)
	if fault := fails(t, err, messages.NotFound, "not stored yet"); !fault.Retryable || fault.RetryAfterMS == 0 {
		t.Errorf("%+v", fault)
	}
	_, err = l.Page(t.Context(), "acme", "k", 1)
	if fault := fails(t, err, messages.NotFound, "no job"); fault.Retryable {
		t.Errorf("%+v", fault)
	}
	for page := 1; page <= pages; page++ {
		// Others' messages in between, more and more of them: pages do not lie evenly.
		for range page % 7 * page % 11 {
			put(t, r.js, messages.ResultSubject("other", "x"), "inc-2")
		}
		r.putResult("j", page, fmt.Sprintf(`{"page":%d}`, page), messages.HeaderCheckpoint, "sealed",
			messages.HeaderRequestID, "r", "Nats-Expected-Stream", messages.ResultsStream, "Status", "404",
			"Nats-Sequence", "1")
	}
	check := func(page int) {
		t.Helper()
		part, err := l.Page(t.Context(), "acme", "j", page)
		if err != nil || string(part.Body) != fmt.Sprintf(`{"page":%d}`, page) || !part.Last {
			t.Errorf("page %d: %s, %v", page, part.Body, err)
		}
		for _, name := range []string{messages.HeaderCheckpoint, messages.HeaderRequestID, "Nats-Expected-Stream",
			"Status", "Nats-Sequence", "Nats-Stream"} {
			if part.Header[name] != nil {
				t.Errorf("page %d has the header %s", page, name)
			}
		}
		if nats.Header(part.Header).Get(messages.HeaderPage) != strconv.Itoa(page) ||
			nats.Header(part.Header).Get(messages.HeaderIncarnation) != "inc-1" {
			t.Errorf("page %d has the headers %v", page, part.Header)
		}
	}
	for page := 1; page <= pages; page++ {
		check(page)
	}
	for page := pages; page >= 1; page-- { // from the last page to the first
		check(page)
	}
	for _, page := range []int{30, 2, 59, 31, 33, 1, 60} {
		l.places = places{}
		check(page)
	}
	_, err = l.Page(t.Context(), "acme", "j", pages+1)
	fails(t, err, messages.NotFound, "not stored yet")
	r.putResult("j", pages+1, "", messages.HeaderLast, "true", messages.HeaderErrorCode, "cancelled")
	part, err := l.Page(t.Context(), "acme", "j", pages+1)
	if err != nil || nats.Header(part.Header).Get(messages.HeaderErrorCode) != "cancelled" {
		t.Errorf("%+v, %v", part, err)
	}
	_, err = l.Page(t.Context(), "acme", "j", pages+2)
	if fault := fails(t, err, messages.NotFound, "ended with page 61"); fault.Retryable {
		t.Errorf("%+v", fault)
	}
	r.purgeTo(messages.ResultsStream, messages.ResultSubject("acme", "j"), 20)
	_, err = l.Page(t.Context(), "acme", "j", 12)
	fails(t, err, messages.NotFound, "the first one that is has number 42")
	check(42)
	// A page in the middle is gone.
	gone, err := storedMessage(t.Context(), r.js, messages.ResultsStream,
		map[string]any{"next_by_subj": messages.ResultSubject("acme", "j"), "seq": 1})
	if err != nil || gone == nil {
		t.Fatal(err)
	}
	at, _ := l.places.of(jobKey{"acme", "j"}, "inc-1")
	if next, err := direct(t.Context(), r.js, messages.ResultsStream,
		directAsk{NextBySubject: messages.ResultSubject("acme", "j"), Sequence: at.sequence + 1}); err != nil ||
		deleteMessage(t.Context(), r.js, messages.ResultsStream, next.Sequence) != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = l.Page(t.Context(), "acme", "j", 43)
		fails(t, err, messages.NotFound, "page 43 is missing")
		l.places = places{}
	}
	check(44)
}

// A message that crmbridge did not write is no page, and leads nobody astray.
func TestForeignMessagesAreNoPages(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, nil)
	put(t, r.js, messages.ResultSubject("acme", "j"), "")
	put(t, r.js, messages.ResultSubject("acme", "j"), "inc-0")
	r.putResult("j", 1, "{}", messages.HeaderPage, "-7")
	_, err := l.Page(t.Context(), "acme", "j", 1)
	fails(t, err, messages.NotFound, "no job")
	r.putResult("j", 1, `{"page":1}`)
	if part, err := l.Page(t.Context(), "acme", "j", 1); err != nil || string(part.Body) != `{"page":1}` {
		t.Errorf("%s, %v", part.Body, err)
	}
	for _, body := range []string{`{"form":1,"state":7}`, `[]`, `no json`} {
		if _, err := r.js.Publish(t.Context(), messages.StateSubject("acme", "k"), []byte(body)); err != nil {
			t.Fatal(err)
		}
		_, err := l.Get(t.Context(), "acme", "k")
		fails(t, err, messages.Internal, "cannot be read")
		if list, err := l.List(t.Context(), messages.JobsListRequest{Target: messages.Target{Connection: "acme"},
			PageSize: 10}, 1<<20); err != nil || len(list.Jobs) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
	}
}

func TestDeadJobsAreRunAgain(t *testing.T) {
	r := newRig(t)
	failing := counter{rows: 5, read: func(context.Context, int) error { return messages.Invalid("where", "is wrong") }}
	l := r.lane("one", r.js, only(failing.route()), nil)
	r.publish(someOp, "j", `{"limit":3}`, messages.HeaderRequestID, "req-1")
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	job, err := l.Retry(t.Context(), "acme", "j", "k")
	if err != nil || job.ID != "k" || job.State != messages.JobQueued || job.RetryOf != "j" || job.Operation != someOp {
		t.Errorf("%+v, %v", job, err)
	}
	message := r.of(messages.JobsStream, someOp.JobSubject("acme", "k"))
	if message == nil || string(message.Data) != `{"limit":3}` ||
		message.Header.Get(messages.HeaderRequestID) != "req-1" {
		t.Fatalf("%+v", message)
	}
	for range 2 { // asked again it is the same job, waiting or ended
		if again, err := l.Retry(t.Context(), "acme", "j", "k"); err != nil || again.RetryOf != "j" || again.ID != "k" {
			t.Errorf("%+v, %v", again, err)
		}
		if r.waits("k") {
			if out := r.execute(r.lane("two", r.js, only(counter{rows: 5}.route()), nil), "k"); !out.ended {
				t.Fatalf("%+v", out)
			}
			record := r.record("k") // the rig's claim does not say it
			record.RetryOf = "j"
			r.putRecord(record)
		} else if r.record("k").State != messages.JobDone {
			t.Errorf("%+v", r.record("k"))
		}
	}
	if r.waits("k") {
		t.Error("an id that was used runs again")
	}
	if job, err := l.Retry(t.Context(), "acme", "j", ""); err != nil || len(job.ID) != 36 || job.RetryOf != "j" {
		t.Errorf("%+v, %v", job, err)
	}
	r.publish(someOp, "taken", `{}`)
	_, err = l.Retry(t.Context(), "acme", "j", "taken")
	fails(t, err, messages.InvalidRequest, "another job")
	_, err = l.Retry(t.Context(), "acme", "k", "")
	fails(t, err, messages.NotFound, "no dead letter")
	// Another user of NATS may have written a dead letter.
	for _, op := range []string{"", "connections.delete", "accounts.*", "accounts.search.job.x", "accounts", "a b.c"} {
		msg := nats.NewMsg(messages.DeadSubject("acme", "forged"))
		msg.Header.Set(messages.HeaderOperation, op)
		if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		_, err = l.Retry(t.Context(), "acme", "forged", "")
		fails(t, err, messages.Internal, "cannot be read")
	}
}

func TestEndedJobsAreDeleted(t *testing.T) {
	r := newRig(t)
	failing := counter{rows: 5, read: func(context.Context, int) error { return messages.Invalid("where", "is wrong") }}
	l := r.lane("one", r.js, map[messages.Operation]route.Route{someOp: counter{rows: 25}.route(),
		oneOp: failing.route()}, nil)
	r.publish(someOp, "j", `{}`)
	_, err := l.Delete(t.Context(), "acme", "j")
	fails(t, err, messages.InvalidRequest, "cancel it first")
	if !r.waits("j") {
		t.Error("a job that waits was deleted")
	}
	for _, id := range []string{"a", "b"} {
		r.publish(someOp, id, `{}`)
		r.execute(l, id)
	}
	r.publish(oneOp, "dead", `{}`)
	r.execute(l, "dead")
	if r.dead("dead") == nil {
		t.Fatal("no dead letter")
	}
	// An end is stored, and whoever stored it has died.
	r.publish(oneOp, "half", `{}`)
	r.claim(l, "half")
	r.putResult("half", 1, `{"error":{"code":"too_large","message":"m"}}`, messages.HeaderLast, "true",
		messages.HeaderErrorCode, "too_large")
	for _, id := range []string{"a", "dead", "half"} {
		for _, want := range []bool{true, false} {
			if there, err := l.Delete(t.Context(), "acme", id); err != nil || there != want {
				t.Errorf("%s: %v, %v", id, there, err)
			}
		}
		if r.waits(id) || r.dead(id) != nil || len(r.results(id)) > 0 || r.record(id).ID != "" {
			t.Errorf("something is left of %s", id)
		}
	}
	if len(r.results("b")) != 3 || r.record("b").State != messages.JobDone {
		t.Error("another job has lost something")
	}
	// A dead letter is kept for longer than its record.
	put(t, r.js, messages.DeadSubject("acme", "late"), "inc-1")
	if there, err := l.Delete(t.Context(), "acme", "late"); err != nil || !there || r.dead("late") != nil {
		t.Errorf("%v, %v", there, err)
	}
}

// Where there is no lane every operation says why; where NATS does not answer they may be asked
// again.
func TestOperationsWithoutALane(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, nil)
	every := func() map[string]error {
		_, get := l.Get(t.Context(), "acme", "j")
		_, list := l.List(t.Context(), messages.JobsListRequest{Target: messages.Target{Connection: "acme"},
			PageSize: 1}, 1<<20)
		_, page := l.Page(t.Context(), "acme", "j", 1)
		_, cancel := l.Cancel(t.Context(), "acme", "j")
		_, retry := l.Retry(t.Context(), "acme", "j", "")
		_, remove := l.Delete(t.Context(), "acme", "j")
		return map[string]error{"get": get, "list": list, "page": page, "cancel": cancel, "retry": retry,
			"delete": remove}
	}
	for _, stream := range []string{messages.JobsStream, messages.ResultsStream, messages.StateStream,
		messages.DeadStream} {
		if err := r.js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range every() {
		if fault := fails(t, err, messages.Unavailable, "JetStream"); !fault.Retryable {
			t.Errorf("%s: %+v", name, fault)
		}
	}
	l.state.missing = (fmt.Errorf("%w: it needs JetStream", streams.ErrStreams)).Error()
	for name, err := range every() {
		fails(t, err, messages.NotSupported, "no durable lane: it needs JetStream")
		_ = name
	}
	_, err := l.List(t.Context(), messages.JobsListRequest{PageSize: 1}, 1<<20)
	fails(t, err, messages.NotSupported, "no durable lane")
}

// Readers that wait for the next page of a job that runs are told that it is not there yet, or
// get it: nothing else.
func TestPagesThatAreReadWhileTheyAreStored(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, nil)
	const pages, readers = 200, 4
	r.publish(someOp, "j", `{}`)
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for page := 1; page <= pages; {
				part, err := l.Page(t.Context(), "acme", "j", page)
				fault, ok := errors.AsType[*messages.Error](err)
				switch {
				case err == nil && string(part.Body) == strconv.Itoa(page):
					page++
				case ok && fault.Code == messages.NotFound && fault.Retryable:
				default:
					t.Errorf("page %d: %s, %v", page, part.Body, err)
					return
				}
			}
		})
	}
	for page := 1; page <= pages; page++ {
		r.putResult("j", page, strconv.Itoa(page))
	}
	reading.Wait()
}
