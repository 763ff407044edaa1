package messages_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

func laneClient(t *testing.T, answering bool) (*messagestest.Lane, *messages.Client, *nats.Conn) {
	t.Helper()
	lane := messagestest.NewLane(t, nil)
	if answering {
		lane.Answer()
	}
	nc := lane.Connect()
	return lane, messages.NewClient(nc), nc
}

// waiting is how many jobs are in CRM_JOBS.
func waiting(t *testing.T, lane *messagestest.Lane) uint64 {
	t.Helper()
	stream, err := lane.JS.Stream(t.Context(), messages.JobsStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// A job has its subject, the members of its request beside those of its options, and headers
// of its own: the deadline is the job's, not the context's.
func TestAPublishedJob(t *testing.T) {
	lane, client, _ := laneClient(t, true)
	no := false
	deadline := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		name    string
		publish func(context.Context, messages.JobPublication) (*messages.PublishedJob, error)
		how     messages.JobPublication
		op      messages.Operation
		body    string
	}{
		{"search", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.Accounts().SearchJob(ctx, messages.SearchRequest{Target: acme, Fields: []string{"name"}}, how)
		}, messages.JobPublication{JobOptions: messages.JobOptions{Parallel: &no, Encoding: messages.EncodingZstd},
			Deadline:  deadline,
			RequestID: "r1", TraceParent: "00-1-2-01", TraceState: "a=b"},
			"accounts.search", `{"parallel":false,"encoding":"zstd","connection":"acme","fields":["name"]}`},
		{"changes", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.Contacts().ChangesJob(ctx, messages.ChangesRequest{Target: acme}, how)
		}, messages.JobPublication{}, "contacts.changes", `{"connection":"acme"}`},
		{"get", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.Contacts().GetJob(ctx, messages.GetRequest{Target: acme, ID: "1"}, how)
		}, messages.JobPublication{}, "contacts.get", `{"connection":"acme","contact_id":"1"}`},
		{"count", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.Accounts().CountJob(ctx, messages.CountRequest{Target: acme}, how)
		}, messages.JobPublication{}, "accounts.count", `{"connection":"acme"}`},
		{"fields", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.Accounts().FieldsJob(ctx, messages.FieldsRequest{Target: acme, CustomOnly: true}, how)
		}, messages.JobPublication{}, "accounts.fields", `{"connection":"acme","custom_only":true}`},
		{"whoami", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.WhoAmIJob(ctx, "acme", how)
		}, messages.JobPublication{}, "users.whoami", `{"connection":"acme"}`},
		{"user", func(ctx context.Context, how messages.JobPublication) (*messages.PublishedJob, error) {
			return client.UserJob(ctx, messages.UserGetRequest{Target: acme, Email: "a@b"}, how)
		}, messages.JobPublication{ID: "my-id"}, "users.get", `{"connection":"acme","email":"a@b"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			job, err := test.publish(t.Context(), test.how)
			if err != nil || job.Known || job.Operation != test.op || job.Connection != "acme" ||
				!messages.ValidJobID(job.ID) {
				t.Fatalf("%+v, %v", job, err)
			}
			if test.how.ID != "" && job.ID != test.how.ID {
				t.Errorf("the id is %s", job.ID)
			}
			stream, err := lane.JS.Stream(t.Context(), messages.JobsStream)
			if err != nil {
				t.Fatal(err)
			}
			msg, err := stream.GetLastMsgForSubject(t.Context(), test.op.JobSubject("acme", job.ID))
			if err != nil || string(msg.Data) != test.body {
				t.Fatalf("%v: %s\nwant %s", err, msg.Data, test.body)
			}
			if got := msg.Header.Get(messages.HeaderRequestID); got != job.RequestID || test.how.RequestID != "" &&
				got != test.how.RequestID {
				t.Errorf("request id %q, want %q", got, job.RequestID)
			}
			want := ""
			if !test.how.Deadline.IsZero() {
				want = "2030-01-02T03:04:05Z"
			}
			if got := msg.Header.Get(messages.HeaderDeadline); got != want {
				t.Errorf("deadline %q, want %q", got, want)
			}
			if got := msg.Header.Get("traceparent") + msg.Header.Get("tracestate"); got != test.how.TraceParent+
				test.how.TraceState {
				t.Errorf("trace %q", got)
			}
			if id := msg.Header.Get(nats.MsgIdHdr); id != "" {
				t.Errorf("it has the id %s, by which somebody else's message could hide it", id)
			}
		})
	}
	for name, call := range map[string]func() error{
		"no connection": func() error {
			_, err := client.Accounts().CountJob(t.Context(), messages.CountRequest{}, messages.JobPublication{})
			return err
		},
		"a bad id": func() error {
			_, err := client.Accounts().CountJob(t.Context(), messages.CountRequest{Target: acme},
				messages.JobPublication{ID: "a.b"})
			return err
		},
		"a bad request id": func() error {
			_, err := client.WhoAmIJob(t.Context(), "acme", messages.JobPublication{RequestID: "a b"})
			return err
		},
	} {
		if err := call(); codeOf(err) != messages.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a publisher is told of a job under an id that has been used.
func TestPublishingAnIDAgain(t *testing.T) {
	for _, answering := range []bool{true, false} {
		lane, client, _ := laneClient(t, answering)
		publish := func(limit int, id string) (*messages.PublishedJob, error) {
			return client.Accounts().SearchJob(t.Context(),
				messages.SearchRequest{Target: acme, Limit: messages.Count(limit)}, messages.JobPublication{ID: id})
		}
		for round, known := range []bool{false, true, true} {
			if job, err := publish(1, "a"); err != nil || job.Known != known {
				t.Errorf("answering %v, round %d: %+v, %v", answering, round, job, err)
			}
		}
		if job, err := publish(2, "a"); codeOf(err) != messages.InvalidRequest || job != nil ||
			!strings.Contains(err.Error(), "a names another job already, of accounts.search") {
			t.Errorf("answering %v, another body: %+v, %v", answering, job, err)
		}
		if n := waiting(t, lane); n != 1 {
			t.Errorf("answering %v: %d jobs wait", answering, n)
		}
		if !answering {
			continue
		}
		// Another operation, and a job that has ended and whose message is gone.
		if _, err := client.Accounts().CountJob(t.Context(), messages.CountRequest{Target: acme},
			messages.JobPublication{ID: "a"}); codeOf(err) != messages.InvalidRequest {
			t.Errorf("another operation: %v", err)
		}
		lane.Record(messages.JobRecord{Job: messages.Job{ID: "a", Connection: "acme", Operation: "accounts.search",
			State:  messages.JobDone,
			Digest: messages.JobDigest("crm.accounts.search.job.acme.a", []byte(`{"connection":"acme","limit":1}`))}})
		lane.End("accounts.search", "acme", "a")
		if job, err := publish(1, "a"); err != nil || !job.Known {
			t.Errorf("ended: %+v, %v", job, err)
		}
		if _, err := publish(2, "a"); codeOf(err) != messages.InvalidRequest {
			t.Errorf("ended, another body: %v", err)
		}
		if _, err := client.Accounts().CountJob(t.Context(), messages.CountRequest{Target: acme},
			messages.JobPublication{ID: "a"}); codeOf(err) != messages.InvalidRequest {
			t.Errorf("ended, another operation: %v", err)
		}
		if n := waiting(t, lane); n != 0 {
			t.Errorf("%d jobs wait, though the only one has ended", n)
		}
	}
}

// A full stream and a subject that has its job are refused with one code; the publisher is
// told which it was.
func TestPublishingToAFullStream(t *testing.T) {
	lane, client, _ := laneClient(t, true)
	stream, err := lane.JS.Stream(t.Context(), messages.JobsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 1
	if _, err := lane.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	publish := func(id string) (*messages.PublishedJob, error) {
		return client.WhoAmIJob(t.Context(), "acme", messages.JobPublication{ID: id})
	}
	if job, err := publish("a"); err != nil || job.Known {
		t.Fatalf("%+v, %v", job, err)
	}
	for range 2 {
		var fault *messages.Error
		if job, err := publish("b"); !errors.As(err, &fault) || fault.Code != messages.Overloaded ||
			fault.RetryAfter() <= 0 || job != nil ||
			!strings.Contains(err.Error(), "the job was not accepted") {
			t.Errorf("full: %+v, %v", job, err)
		}
		if job, err := publish("a"); err != nil || !job.Known {
			t.Errorf("full, but there: %+v, %v", job, err)
		}
	}
	lane.End(messages.UsersWhoAmI, "acme", "a")
	if job, err := publish("b"); err != nil || job.Known {
		t.Errorf("room again: %+v, %v", job, err)
	}
}

// An acknowledgement that gets lost is found out about: the job is there, and it is this one.
func TestPublishingWithoutAnAnswer(t *testing.T) {
	lane, _, _ := laneClient(t, true)
	for name, mangle := range map[string]string{
		"what answers is not JetStream": `{"request_id":"r","count":0}`,
		"nothing that can be read":      `hello`,
		"an acknowledgement of nothing": `{"stream":"CRM_JOBS","seq":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			// Somebody else answers first; the stream has the job all the same.
			nc := lane.Connect()
			sub, err := nc.Subscribe("crm.users.whoami.job.*.*",
				func(msg *nats.Msg) { _ = msg.Respond([]byte(mangle)) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			job, err := messages.NewClient(nc).WhoAmIJob(t.Context(), "acme", messages.JobPublication{})
			if err != nil || job.Known {
				t.Errorf("%+v, %v", job, err)
			}
		})
	}
}

// Without a stream nothing is accepted, and the error has the id under which to try again.
func TestPublishingWithoutAStream(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	job, err := b.client.WhoAmIJob(ctx, "acme", messages.JobPublication{})
	if codeOf(err) != messages.Unavailable || job == nil || !messages.ValidJobID(job.ID) ||
		!strings.Contains(err.Error(), "JetStream") {
		t.Errorf("%+v, %v", job, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if job, err := b.client.WhoAmIJob(ctx, "acme", messages.JobPublication{}); !errors.Is(err, context.Canceled) ||
		job == nil {
		t.Errorf("%+v, %v", job, err)
	}
}

// Where crmbridge runs no jobs and no stream takes any, its reason is the error, and soon.
func TestPublishingWhereNoJobsAreRun(t *testing.T) {
	lane, client, _ := laneClient(t, true)
	if err := lane.JS.DeleteStream(t.Context(), messages.JobsStream); err != nil {
		t.Fatal(err)
	}
	lane.Refuse(func(messages.Operation, *nats.Msg) *messages.Error {
		return messages.Errorf(messages.NotSupported, "this crmbridge runs no jobs: it needs JetStream")
	})
	for _, how := range []messages.JobPublication{{}, {ID: "given"}} {
		job, err := client.WhoAmIJob(t.Context(), "acme", how)
		if codeOf(err) != messages.NotSupported || job == nil || !messages.ValidJobID(job.ID) ||
			!strings.Contains(err.Error(), "not accepted: this crmbridge runs no jobs: it needs JetStream") {
			t.Errorf("%+v, %v", job, err)
		}
	}
}

// A job that no stream ever takes is an error at once.
func TestPublishingWhatNobodyTakes(t *testing.T) {
	lane := messagestest.NewLane(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	client := messages.NewClient(lane.Connect())
	long := messages.SearchRequest{Target: acme, Cursor: strings.Repeat("x", 70<<10)}
	if _, err := client.Accounts().SearchJob(t.Context(), long,
		messages.JobPublication{}); codeOf(err) != messages.TooLarge {
		t.Errorf("above max_payload: %v", err)
	}
	stream, err := lane.JS.Stream(t.Context(), messages.JobsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 1 << 10
	if _, err := lane.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	long.Cursor = long.Cursor[:2<<10]
	if _, err := client.Accounts().SearchJob(t.Context(), long,
		messages.JobPublication{}); codeOf(err) != messages.TooLarge {
		t.Errorf("above the stream's bound: %v", err)
	}
	config.Subjects = []string{"crm.accounts.*.job.*.*"}
	if _, err := lane.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := lane.JS.CreateStream(t.Context(),
		jetstream.StreamConfig{Name: "GREEDY", Subjects: []string{"crm.users.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.WhoAmIJob(t.Context(), "acme",
		messages.JobPublication{}); codeOf(err) != messages.ConfigurationError ||
		!strings.Contains(err.Error(), "GREEDY") {
		t.Errorf("captured: %v", err)
	}
}

// A user who may not publish there is told so by name.
func TestPublishingWithoutPermission(t *testing.T) {
	if testing.Short() {
		t.Skip("what is not allowed is found out by waiting")
	}
	lane := messagestest.NewLane(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "all", Password: "x"},
			{Username: "some", Password: "x",
				Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"crm.users.*.job.>"}}}}}
		o.NoAuthUser = "all"
	})
	client := messages.NewClient(lane.Connect(nats.UserInfo("some", "x"),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})))
	if _, err := client.WhoAmIJob(t.Context(), "acme",
		messages.JobPublication{ID: "a"}); codeOf(err) != messages.Unavailable ||
		!errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%v", err)
	}
}

// A user without any right to JetStream's API publishes all the same, and meets no refusal:
// crmbridge tells whether the id is used.
func TestPublishingWithFewRights(t *testing.T) {
	lane := messagestest.NewLane(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "all", Password: "x"},
			{Username: "few", Password: "x", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"crm.jobs.*.request.acme",
					"crm.users.*.job.acme.*"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}}}
		o.NoAuthUser = "all"
	})
	lane.Answer()
	nc := lane.Connect(nats.UserInfo("few", "x"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Error(err) }))
	client := messages.NewClient(nc)
	for _, id := range []string{"a", "a", ""} {
		if job, err := client.WhoAmIJob(t.Context(), "acme", messages.JobPublication{ID: id}); err != nil ||
			id == "" && job.Known {
			t.Errorf("%q: %+v, %v", id, job, err)
		}
	}
	if _, err := client.UserJob(t.Context(), messages.UserGetRequest{Target: acme},
		messages.JobPublication{ID: "a"}); codeOf(err) != messages.InvalidRequest {
		t.Errorf("another job: %v", err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// After a restart of NATS an id still names its job.
func TestPublishingAfterARestart(t *testing.T) {
	if testing.Short() {
		t.Skip("NATS is stopped and started")
	}
	folder := t.TempDir()
	var options *server.Options
	lane := messagestest.NewLane(t, func(o *server.Options) { o.StoreDir = folder; options = o })
	lane.Answer()
	reconnected := make(chan struct{}, 1)
	client := messages.NewClient(lane.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} })))
	publish := func() (*messages.PublishedJob, error) {
		return client.WhoAmIJob(t.Context(), "acme", messages.JobPublication{ID: "a"})
	}
	if job, err := publish(); err != nil || job.Known {
		t.Fatalf("%+v, %v", job, err)
	}
	options.Port = lane.Server.Addr().(*net.TCPAddr).Port
	lane.Server.Shutdown()
	lane.Server.WaitForShutdown()
	again, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	again.Start()
	t.Cleanup(func() { again.Shutdown(); again.WaitForShutdown() })
	<-reconnected
	if job, err := publish(); err != nil || !job.Known {
		t.Errorf("%+v, %v", job, err)
	}
	if n := waiting(t, lane); n != 1 {
		t.Errorf("%d jobs wait", n)
	}
}
