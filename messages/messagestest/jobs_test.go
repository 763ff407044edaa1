package messagestest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// export is a search of accounts with ten rows a page.
var export = messages.SearchRequest{Target: acme, Fields: []string{"name"}, OrderBy: []string{"name"}, PageSize: 10}

// read reads the results of a job up to its end.
func read(t *testing.T, client *messages.Client, id string, options messages.ResultsOptions) (rows []string,
	err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for page, err := range client.Accounts().JobPages(ctx, "acme", id, options) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, names(page.Rows)...)
	}
	return rows, nil
}

func publish(t *testing.T, client *messages.Client, id string, more messages.JobPublication) {
	t.Helper()
	more.ID = id
	if _, err := client.Accounts().SearchJob(t.Context(), export, more); err != nil {
		t.Fatal(err)
	}
}

func TestJobs(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	client := bridge.Client()
	for id, c := range map[string]struct {
		more    messages.JobPublication
		options messages.ResultsOptions
	}{
		"asked": {}, "streamed": {options: messages.ResultsOptions{Stream: true}},
		"zipped": {more: messages.JobPublication{JobOptions: messages.JobOptions{Encoding: messages.EncodingZstd}}},
	} {
		publish(t, client, id, c.more)
		publish(t, client, id, c.more) // once more, as after a crash
		rows, err := read(t, client, id, c.options)
		if err != nil || len(rows) != 25 || !slices.IsSorted(rows) {
			t.Errorf("%s: %v, %v", id, rows, err)
		}
		job, err := client.Jobs().Get(t.Context(), "acme", id)
		if err != nil || job.State != messages.JobDone || job.Pages != 3 || job.Rows != 25 || job.FinishedAt == nil {
			t.Errorf("%s: %+v, %v", id, job, err)
		}
	}
	list, err := client.Jobs().List(t.Context(), messages.JobsListRequest{Target: acme, PageSize: 2})
	if err != nil || len(list.Jobs) != 2 || list.NextCursor == "" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if deleted, err := client.Jobs().Delete(t.Context(), "acme", "asked"); deleted != want || err != nil {
			t.Error(deleted, err)
		}
	}
	if _, err := client.Jobs().Get(t.Context(), "acme", "asked"); codeOf(err) != messages.NotFound {
		t.Error(err)
	}
}

// A job that meets an error that passes goes on after the last page that is stored.
func TestJobsGoOn(t *testing.T) {
	for name, fault := range map[string]messagestest.Fault{
		"throttled":  {Skip: 1, Error: messagestest.Code(messages.Throttled, 5*time.Millisecond)},
		"four times": {Skip: 1, Times: 4, Error: messagestest.Code(messages.Unavailable, 0)},
		"taken over": {Skip: 2, Times: 3, Lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			bridge := messagestest.New(t)
			bridge.Connect("acme", companies(25))
			client := bridge.Client()
			fault.JobID = "j"
			bridge.Fail(fault)
			publish(t, client, "j", messages.JobPublication{})
			if rows, err := read(t, client, "j", messages.ResultsOptions{}); err != nil || len(rows) != 25 ||
				!slices.IsSorted(rows) {
				t.Errorf("%v, %v", rows, err)
			}
		})
	}
}

// A job outlives the process that runs it.
func TestJobsOutliveTheirProcess(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	client := bridge.Client()
	bridge.Fail(messagestest.Fault{JobID: "j", Skip: 2, Delay: time.Hour})
	publish(t, client, "j", messages.JobPublication{})
	for { // two pages are stored
		if _, err := client.Jobs().Page(t.Context(), "acme", "j", 2); err == nil {
			break
		} else if codeOf(err) != messages.NotFound {
			t.Fatal(err)
		}
	}
	bridge.Stop()
	bridge.Clear()
	bridge.Start()
	if rows, err := read(t, client, "j", messages.ResultsOptions{From: 3}); err != nil || len(rows) != 5 ||
		rows[0] != "020" {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestJobsThatFail(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	client := bridge.Client()
	bridge.Fail(messagestest.Fault{JobID: "final", Skip: 1, Error: messagestest.Code(messages.TooLarge, 0)})
	bridge.Fail(messagestest.Fault{JobID: "often", Times: 5, Error: messagestest.Code(messages.UpstreamError, 0)})
	bridge.Fail(messagestest.Fault{JobID: "killers", Times: 8, Lost: true})
	for id, want := range map[string]messages.Code{"final": messages.TooLarge, "often": messages.UpstreamError,
		"killers": messages.Internal} {
		publish(t, client, id, messages.JobPublication{})
		rows, err := read(t, client, id, messages.ResultsOptions{})
		ended, is := errors.AsType[*messages.JobError](err)
		if !is || ended.Cause.Code != want || id == "final" && len(rows) != 10 {
			t.Errorf("%s: %v, %v", id, rows, err)
		}
	}
	js, err := jetstream.New(bridge.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), messages.DeadStream)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := stream.GetLastMsgForSubject(t.Context(), messages.DeadSubject("acme", "final"))
	if err != nil || letter.Header.Get(messages.HeaderOperation) != "accounts.search" ||
		letter.Header.Get(messages.HeaderErrorCode) != "too_large" {
		t.Errorf("%+v, %v", letter, err)
	}
	again, err := client.Jobs().Retry(t.Context(), messages.JobRetryRequest{Target: acme, JobID: "final",
		NewJobID: "again"})
	if err != nil || again.RetryOf != "final" {
		t.Errorf("%+v, %v", again, err)
	}
	if rows, err := read(t, client, "again", messages.ResultsOptions{}); err != nil || len(rows) != 25 {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestJobsAreCancelled(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	client := bridge.Client()
	bridge.Fail(messagestest.Fault{JobID: "j", Skip: 1, Delay: time.Hour})
	publish(t, client, "j", messages.JobPublication{})
	for record, err := range client.Jobs().Progress(t.Context(), "acme", "j") {
		if err != nil {
			t.Fatal(err)
		}
		if record.Pages == 1 {
			break
		}
	}
	if _, err := client.Jobs().Delete(t.Context(), "acme", "j"); codeOf(err) != messages.InvalidRequest {
		t.Errorf("a job that runs is deleted: %v", err)
	}
	for range 2 {
		if job, err := client.Jobs().Cancel(t.Context(), "acme", "j"); err != nil ||
			job.State != messages.JobCancelled {
			t.Errorf("%+v, %v", job, err)
		}
	}
	rows, err := read(t, client, "j", messages.ResultsOptions{})
	if ended, is := errors.AsType[*messages.JobError](err); !is || ended.Cause.Code != messages.Cancelled ||
		len(rows) != 10 {
		t.Errorf("%v, %v", rows, err)
	}
}

// Whoever has used an id cannot have another job under it.
func TestAnIDIsOneJob(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	client := bridge.Client()
	publish(t, client, "j", messages.JobPublication{})
	if _, err := read(t, client, "j", messages.ResultsOptions{}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(bridge.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "crm.accounts.search.job.acme.j", []byte(`{"limit":1}`)); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), messages.JobsStream)
	for err == nil { // it is dropped
		var info *jetstream.StreamInfo
		if info, err = stream.Info(t.Context()); err == nil && info.State.Msgs == 0 {
			break
		}
	}
	if job, err := client.Jobs().Get(t.Context(), "acme", "j"); err != nil || job.Rows != 25 {
		t.Errorf("%+v, %v", job, err)
	}
}

// Plain subscribers see messages twice, the streams have each once.
func TestDeliveredTwice(t *testing.T) {
	bridge := messagestest.New(t)
	nc, client := bridge.Conn(), bridge.Client()
	results, err := nc.SubscribeSync(messages.ResultSubject("acme", "j"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := nc.SubscribeSync(messages.EventSubject("*", "acme"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	bridge.DeliverTwice()
	connection := bridge.Connect("acme", companies(15))
	publish(t, client, "j", messages.JobPublication{})
	if rows, err := read(t, client, "j", messages.ResultsOptions{Stream: true}); err != nil || len(rows) != 15 {
		t.Errorf("%v, %v", rows, err)
	}
	for i, want := range []string{"1", "1", "2", "2"} {
		if msg, err := results.NextMsg(time.Minute); err != nil || msg.Header.Get(messages.HeaderPage) != want {
			t.Errorf("message %d: %v, %v", i, msg, err)
		}
	}
	connection.Revoke()
	for i, want := range []string{messages.EventConnected, messages.EventConnected,
		messages.EventReauthorizationRequired,
		messages.EventReauthorizationRequired} {
		if msg, err := events.NextMsg(time.Minute); err != nil || msg.Subject != messages.EventSubject(want, "acme") {
			t.Errorf("message %d: %v, %v", i, msg, err)
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]uint64{messages.ResultsStream: 2, messages.EventsStream: 2} {
		info, err := js.Stream(t.Context(), stream)
		if err != nil || info.CachedInfo().State.Msgs != want {
			t.Errorf("%s: %+v, %v", stream, info, err)
		}
	}
}

func TestEvents(t *testing.T) {
	bridge := messagestest.New(t)
	client := bridge.Client()
	watch, err := client.WatchConnection("acme")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	connection := bridge.Connect("acme")
	connection.Revoke()
	connection.Revoke() // nothing is left to be taken away
	if _, err := client.WhoAmI(t.Context(), "acme"); codeOf(err) != messages.ReauthorizationRequired {
		t.Error(err)
	}
	bridge.Approve("acme")
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{messages.EventConnected, messages.EventReauthorizationRequired,
		messages.EventConnected,
		messages.EventDeleted} {
		event, err := watch.Next(t.Context())
		if err != nil || event.Kind != want || event.Incarnation != connection.Incarnation() ||
			event.Version != int64(i+1) ||
			event.EventID != "acme."+event.Incarnation+"."+strconv.Itoa(i+1)+"."+want {
			t.Errorf("event %d: %+v, %v", i, event, err)
		}
	}
}

// A request whose reply subject is none of a client's is not executed.
func TestReplySubjects(t *testing.T) {
	bridge := messagestest.NewWith(t, messagestest.Options{ReplySubjects: []string{"campaigns.*.replies"}})
	bridge.Connect("acme", companies(1))
	nc := bridge.Conn()
	allowed := "campaigns.a.replies"
	answers := map[string]*nats.Subscription{}
	for _, subject := range []string{"crm.results.acme.j", "_INBOX.x", "campaigns.replies", allowed} {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		answers[subject] = sub
		if err := nc.PublishRequest("crm.accounts.count.request.acme", subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := answers[allowed].NextMsg(time.Minute); err != nil {
		t.Fatal(err) // it was the last request
	}
	bridge.Stop() // what is in hand is answered
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for subject, sub := range answers {
		if n, _, err := sub.Pending(); n != 0 || err != nil {
			t.Errorf("%d messages on %s, %v", n, subject, err)
		}
	}
}

// A job whose results take more room than there is ends as crmbridge's does: what it has stored stays.
func TestAJobsBytesAreBounded(t *testing.T) {
	bridge := messagestest.NewWith(t, messagestest.Options{JobMaxBytes: 2500})
	bridge.Connect("acme", companies(100))
	client := bridge.Client()
	publish(t, client, "large", messages.JobPublication{})
	rows, err := read(t, client, "large", messages.ResultsOptions{})
	ended, ok := errors.AsType[*messages.JobError](err)
	if !ok || ended.Cause.Code != messages.TooLarge || !strings.Contains(ended.Cause.Message, "more than 2500 bytes (JOB_MAX_BYTES,") {
		t.Errorf("%v", err)
	}
	job, err := client.Jobs().Get(t.Context(), "acme", "large")
	if err != nil || len(rows) == 0 || len(rows) == 100 || job.State != messages.JobFailed {
		t.Errorf("%d rows read, %+v, %v", len(rows), job, err)
	}
}

// More jobs than run at once wait for each other, and all end.
func TestJobsWaitForASlot(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(1))
	client := bridge.Client()
	const jobs = 70 // 64 run at once
	bridge.Fail(messagestest.Fault{Operation: "accounts.search", Delay: time.Hour, Times: jobs})
	for i := range jobs {
		publish(t, client, strconv.Itoa(i), messages.JobPublication{})
	}
	states := func() string {
		count := map[messages.JobState]int{}
		for job, err := range client.Jobs().All(t.Context(), messages.JobsListRequest{Target: acme}) {
			if err != nil {
				t.Fatal(err)
			}
			count[job.State]++
		}
		return fmt.Sprint(count)
	}
	want := fmt.Sprint(map[messages.JobState]int{messages.JobRunning: 64, messages.JobQueued: jobs - 64})
	for end := time.Now().Add(time.Minute); states() != want; {
		if time.Now().After(end) {
			t.Fatalf("%s, want %s", states(), want)
		}
		time.Sleep(10 * time.Millisecond) // for the bridge to take them
	}
	bridge.Stop()
	bridge.Clear()
	bridge.Start()
	for i := range jobs {
		if rows, err := read(t, client, strconv.Itoa(i), messages.ResultsOptions{}); err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
	}
}
