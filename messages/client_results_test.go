package messages_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// job is the record of a job of acme.
func job(id string, state messages.JobState) messages.JobRecord {
	return messages.JobRecord{Job: messages.Job{ID: id, Connection: "acme", Operation: "accounts.search",
		State: state, Incarnation: "i2"}}
}

// bodyOf is a page of one row that says its number.
func bodyOf(page int) string { return fmt.Sprintf(`{"accounts":[{"name":"p%d"}]}`, page) }

// give stores what a script says of job "j", whose connection is of incarnation i2: a number is
// a page of that number, with ! the last one; -N is a page of incarnation i1; eN is an error that ends
// the job; ~N is a page that is stored and then lost.
func give(t *testing.T, lane *messagestest.Lane, script string) {
	t.Helper()
	for word := range strings.FieldsSeq(script) {
		var page int
		kind, number := word[0], strings.Trim(word, "!-e~")
		if _, err := fmt.Sscan(number, &page); err != nil {
			t.Error(err) // goroutines of a test give too, which cannot end it
			return
		}
		headers := []string{messages.HeaderIncarnation, "i2", messages.HeaderRows, number, messages.HeaderTotal, "7"}
		body := bodyOf(page)
		if strings.HasSuffix(word, "!") || kind == 'e' {
			headers = append(headers, messages.HeaderLast, "true")
		}
		switch kind {
		case '-':
			headers[1], body = "i1", `{"accounts":[{"name":"of another"}]}`
		case 'e':
			headers = append(headers, messages.HeaderErrorCode, "throttled")
			body = `{"error":{"code":"throttled","message":"wait","retryable":true}}`
		}
		lane.Result("acme", "j", page, body, headers...)
		if kind == '~' {
			stream, err := lane.JS.Stream(t.Context(), messages.ResultsStream)
			if err != nil {
				t.Fatal(err)
			}
			lane.Forget(stream.CachedInfo().State.LastSeq)
		}
	}
}

// names reads a job's pages, and gives the names of their rows and the error at the end.
func names(ctx context.Context, client *messages.Client, options messages.ResultsOptions) (string, error) {
	var read []string
	for page, err := range client.Accounts().JobPages(ctx, "acme", "j", options) {
		if err != nil {
			return strings.Join(read, " "), err
		}
		for _, row := range page.Rows {
			read = append(read, row.Text("name"))
		}
	}
	return strings.Join(read, " "), nil
}

// Both readers see the same of what is stored.
func TestReadersOfResults(t *testing.T) {
	for _, test := range []struct {
		name, stored string
		state        messages.JobState
		from         int
		want         string
		code         messages.Code
		says         string
	}{
		{name: "one page", stored: "1!", state: "done", want: "p1"},
		{name: "several", stored: "1 2 3!", state: "done", want: "p1 p2 p3"},
		{name: "many", stored: "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20!", state: "done", from: 3,
			want: "p3 p4 p5 p6 p7 p8 p9 p10 p11 p12 p13 p14 p15 p16 p17 p18 p19 p20"},
		{name: "resumed", stored: "1 2 3!", state: "done", from: 3, want: "p3"},
		{name: "resumed after the end", stored: "1 2 3!", state: "done", from: 4, want: ""},
		{name: "resumed behind the end", stored: "1 2 3!", state: "done", from: 6, code: "invalid_request",
			says: "job j has 3 pages; 6 is none"},
		{name: "ended by an error", stored: "1 2 e3", state: "failed", want: "p1 p2", code: "throttled", says: "wait"},
		{name: "an error and nothing else", stored: "e1", state: "failed", code: "throttled"},
		{name: "another incarnation", stored: "-1 1 -2 2!", state: "done", want: "p1 p2"},
		{name: "aged out", stored: "~1 ~2 3 4!", state: "done", code: "not_found",
			says: "page 1 of job j is not kept any more"},
		{name: "aged out where it goes on", stored: "~1 ~2 3 4!", state: "done", from: 2, code: "not_found",
			says: "page 2 of job j is not kept any more"},
		{name: "aged out before", stored: "~1 ~2 3 4!", state: "done", from: 3, want: "p3 p4"},
		{name: "no such job", code: "not_found"},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", test.name, stream), func(t *testing.T) {
				if testing.Short() && strings.Contains(test.says, "any more") {
					t.Skip("a page that is gone is looked for several times")
				}
				lane, client, nc := laneClient(t, true)
				if test.state != "" {
					lane.Record(job("j", test.state))
				}
				give(t, lane, test.stored)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got, err := names(ctx, client, messages.ResultsOptions{From: test.from, Stream: stream})
				if got != test.want || codeOf(err) != test.code || test.says != "" &&
					!strings.Contains(err.Error(), test.says) {
					t.Errorf("read %q, %v\nwant %q, %s", got, err, test.want, test.code)
				}
				_, ended := errors.AsType[*messages.JobError](err)
				if want := test.code == "throttled"; ended != want {
					t.Errorf("%v: the end of the job: %v, want %v", err, ended, want)
				}
				if n := nc.NumSubscriptions(); n > 1 { // one is of requests
					t.Errorf("%d subscriptions are left", n)
				}
				results, err := lane.JS.Stream(t.Context(), messages.ResultsStream)
				if err != nil || results.CachedInfo().State.Consumers > 0 {
					t.Errorf("%v: %d consumers are left", err, results.CachedInfo().State.Consumers)
				}
			})
		}
	}
}

// What only a reader of the stream can see: a page in the middle that is lost, and numbers
// that come a second time.
func TestLostResults(t *testing.T) {
	for _, test := range []struct{ stored, want, says string }{
		{"1 ~2 3!", "p1", "page 2 of job j is missing between 1 and 3: results were lost"},
		{"1 2 3 2 3!", "p1 p2 p3", "page 2 of job j came a second time"},
	} {
		lane, client, _ := laneClient(t, true)
		lane.Record(job("j", messages.JobDone))
		give(t, lane, test.stored)
		got, err := names(t.Context(), client, messages.ResultsOptions{Stream: true})
		if got != test.want || codeOf(err) != messages.Internal || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: read %q, %v", test.stored, got, err)
		}
	}
}

// A reader that is ahead of the job waits for pages as they come, and for the job to begin.
func TestReadingWhileTheJobRuns(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprint("stream ", stream), func(t *testing.T) {
			lane, client, _ := laneClient(t, true)
			record := job("j", messages.JobQueued)
			record.Incarnation = ""
			lane.Record(record)
			give(t, lane, "-1") // of a worker that was cut off; the job has not begun
			next := 1
			var read []string
			for page, err := range func(yield func(*messages.Page, error) bool) {
				go func() { lane.Record(job("j", messages.JobRunning)); give(t, lane, "1") }()
				client.Accounts().JobPages(t.Context(), "acme", "j", messages.ResultsOptions{Stream: stream})(yield)
			} {
				if err != nil {
					t.Fatal(err)
				}
				read = append(read, page.Rows[0].Text("name"))
				switch next++; next {
				case 2, 3, 4:
					give(t, lane, fmt.Sprint(next))
				case 5:
					give(t, lane, "5!")
				}
				lane.Record(job("j", messages.JobRunning))
			}
			if got := strings.Join(read, " "); got != "p1 p2 p3 p4 p5" {
				t.Errorf("read %s", got)
			}
		})
	}
}

// Errors that may pass are lived through, others and too many are not.
func TestReadingThroughOutages(t *testing.T) {
	lane, client, _ := laneClient(t, true)
	lane.Record(job("j", messages.JobDone))
	give(t, lane, "1 2!")
	fails, code := 3, messages.Overloaded
	lane.Refuse(func(messages.Operation, *nats.Msg) *messages.Error {
		if fails--; fails >= 0 {
			return messages.Errorf(code, "no")
		}
		return nil
	})
	if got, err := names(t.Context(), client, messages.ResultsOptions{}); got != "p1 p2" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	fails, code = 1, messages.PermissionDenied
	if got, err := names(t.Context(), client, messages.ResultsOptions{}); got != "" ||
		codeOf(err) != messages.PermissionDenied {
		t.Errorf("read %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	fails, code = 1000, messages.Unavailable
	if got, err := names(ctx, client, messages.ResultsOptions{}); got != "" ||
		!errors.Is(err, context.DeadlineExceeded) && codeOf(err) != messages.Unavailable {
		t.Errorf("read %q, %v", got, err)
	}
}

// The consumer goes away, or somebody else takes its name: the reader makes it again, and
// every page comes once.
func TestAReadersConsumerIsMadeAgain(t *testing.T) {
	lane, client, _ := laneClient(t, true)
	lane.Record(job("j", messages.JobRunning))
	give(t, lane, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34")
	lane.Result("acme", "other", 1, bodyOf(1), messages.HeaderIncarnation, "i2")
	read := 0
	for page, err := range client.Accounts().JobPages(t.Context(), "acme", "j",
		messages.ResultsOptions{Stream: true, Consumer: "mine"}) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; page.Rows[0].Text("name") != fmt.Sprint("p", read) {
			t.Fatalf("page %d is %s", read, page.Rows[0].Text("name"))
		}
		switch read {
		case 3, 20:
			if err := lane.JS.DeleteConsumer(t.Context(), messages.ResultsStream, "mine"); err != nil &&
				!errors.Is(err, jetstream.ErrConsumerNotFound) {
				t.Fatal(err)
			}
		case 10: // another reader, of another job
			if err := lane.JS.DeleteConsumer(t.Context(), messages.ResultsStream, "mine"); err != nil &&
				!errors.Is(err, jetstream.ErrConsumerNotFound) {
				t.Fatal(err)
			}
			if _, err := lane.JS.CreateConsumer(t.Context(), messages.ResultsStream,
				jetstream.ConsumerConfig{Name: "mine", AckPolicy: jetstream.AckNonePolicy,
					FilterSubject: messages.ResultSubject("acme", "other")}); err != nil {
				t.Fatal(err)
			}
		case 34:
			give(t, lane, "35!")
		}
	}
	if read != 35 {
		t.Errorf("%d pages", read)
	}
}

// Two readers that use one name get in each other's way, and never a wrong page.
func TestTwoReadersOfOneName(t *testing.T) {
	if testing.Short() {
		t.Skip("readers hinder each other for seconds")
	}
	lane, client, _ := laneClient(t, true)
	lane.Record(job("j", messages.JobDone))
	var all strings.Builder
	for page := range 200 {
		fmt.Fprintf(&all, " %d", page+1)
	}
	give(t, lane, all.String()+"!")
	done := make(chan error, 2)
	for range 2 {
		go func() {
			next := 1
			for tries := 0; ; tries++ {
				var fault error
				for result, err := range client.Jobs().Results(t.Context(), "acme", "j",
					messages.ResultsOptions{From: next, Stream: true}) {
					if fault = err; err != nil {
						break
					}
					if string(result.Body) != bodyOf(next) {
						done <- fmt.Errorf("page %d is %s", next, result.Body)
						return
					}
					next++
				}
				switch {
				case next == 201:
					done <- nil
					return
				case tries == 100 || codeOf(fault) != messages.Unavailable:
					done <- fmt.Errorf("at page %d: %w", next, fault)
					return
				}
			}
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A compressed body is read, and takes no more memory than it may.
func TestCompressedResults(t *testing.T) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = encoder.Close() }()
	bomb := encoder.EncodeAll([]byte(`{"accounts":[{"name":"`+strings.Repeat("x", 4<<20)+`"}]}`), nil)
	for name, test := range map[string]struct {
		body, encoding, says string
		most                 int
	}{
		"compressed": {body: string(encoder.EncodeAll([]byte(bodyOf(1)), nil)), encoding: "zstd"},
		"too large": {body: string(bomb), encoding: "zstd", most: 1 << 20,
			says: "page 1 of job j cannot be decompressed"},
		"large":            {body: string(bomb), encoding: "zstd"},
		"no zstd":          {body: bodyOf(1), encoding: "zstd", says: "cannot be decompressed"},
		"another encoding": {body: bodyOf(1), encoding: "br", says: `encoded as "br"`},
	} {
		lane, client, _ := laneClient(t, true)
		lane.Record(job("j", messages.JobDone))
		lane.Result("acme", "j", 1, test.body, messages.HeaderIncarnation, "i2", messages.HeaderLast, "true",
			messages.HeaderContentEncoding, test.encoding)
		got, err := names(t.Context(), client, messages.ResultsOptions{MaxBody: test.most})
		if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) ||
			err == nil && got == "" {
			t.Errorf("%s: %.20q, %v", name, got, err)
		}
	}
}

// A result of another operation is none of a search.
func TestResultsOfAnotherTable(t *testing.T) {
	lane, client, _ := laneClient(t, true)
	lane.Record(job("j", messages.JobDone))
	give(t, lane, "1!")
	for _, err := range client.Contacts().JobPages(t.Context(), "acme", "j", messages.ResultsOptions{}) {
		if codeOf(err) != messages.InvalidRequest || !strings.Contains(err.Error(), "no job that reads contacts") {
			t.Error(err)
		}
	}
	result, err := client.Jobs().Page(t.Context(), "acme", "j", 1)
	if err != nil || !result.Last || result.Rows != 1 || *result.Total != 7 || result.Incarnation != "i2" {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err := client.Jobs().Page(t.Context(), "acme", "j", 2); codeOf(err) != messages.NotFound {
		t.Error(err)
	}
	if _, err := client.Jobs().Page(t.Context(), "acme", "j", 0); codeOf(err) != messages.InvalidRequest {
		t.Error(err)
	}
}

// Who may neither make a consumer nor watch records reads by jobs.results all the same.
func TestReadingWithFewRights(t *testing.T) {
	if testing.Short() {
		t.Skip("what is not allowed is found out by waiting")
	}
	lane := messagestest.NewLane(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "all", Password: "x"},
			{Username: "few", Password: "x", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"crm.jobs.*.request.acme"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}}}
		o.NoAuthUser = "all"
	})
	lane.Answer()
	lane.Record(job("j", messages.JobRunning))
	give(t, lane, "1")
	nc := lane.Connect(nats.UserInfo("few", "x"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	read := 0
	for _, err := range messages.NewClient(nc).Accounts().JobPages(t.Context(), "acme", "j",
		messages.ResultsOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; read == 1 {
			time.AfterFunc(100*time.Millisecond, func() { give(t, lane, "2!") }) // after the reader began to wait
		}
	}
	if read != 2 {
		t.Errorf("%d pages", read)
	}
	_, err := names(t.Context(), messages.NewClient(nc), messages.ResultsOptions{Stream: true})
	if codeOf(err) != messages.Unavailable {
		t.Errorf("%v", err)
	}
}
