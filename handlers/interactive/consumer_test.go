package interactive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a NATS server of the test's own and a connection to it.
func broker(t *testing.T) *nats.Conn {
	t.Helper()
	s := streamstest.Server(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	return dial(t, s.ClientURL())
}

func dial(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

type echo struct{ messages.Target }

type echoed struct {
	messages.Head
	Text string `json:"text"`
}

// answering makes the route of an operation that does what a test wants.
func answering(operate func(context.Context, route.Call) (string, error)) route.Route {
	return route.One(route.OneConnection, func(ctx context.Context, c route.Call, _ echo) (echoed, error) {
		text, err := operate(ctx, c)
		return echoed{Text: text}, err
	})
}

// A part that was written before goes on as it is, with the requester's own id; an error in it
// is one, and counted under a code of the closed list.
func TestStoredPartsAreAnsweredAsTheyAre(t *testing.T) {
	stored := func(body string, header ...string) route.Part {
		part := route.Part{Body: []byte(body), Last: true,
			Header: route.Header{"Crm-Request-Id": {"of-the-job"}, "Crm-Page": {"7"}, "traceparent": {"of-the-job"}}}
		for i := 0; i < len(header); i += 2 {
			part.Header[header[i]] = []string{header[i+1]}
		}
		return part
	}
	long := strings.Repeat("x", 63<<10)
	var part route.Part
	c, requester := run(t, Options{}, route.Stored(route.OneConnection,
		func(context.Context, route.Call, echo) (route.Part, error) { return part, nil }))
	for _, test := range []struct {
		part              route.Part
		body, code, count string
	}{
		{stored("any bytes\x00"), "any bytes\x00", "", "ok"},
		{stored(`{"error":{}}`, "Crm-Error-Code", "cancelled"), `{"error":{}}`, "cancelled", "cancelled"},
		{stored("{}", "Crm-Error-Code", "made up 17"), "{}", "made up 17", "internal"},
		{stored(long), long, "", "ok"},
		{stored(long, "Crm-Note", strings.Repeat("x", 2<<10)), "", "too_large", "too_large"},
	} {
		part = test.part
		before := counted(t, c, test.count)
		msg := nats.NewMsg(op.ScopedSubject("acme"))
		msg.Header.Set(messages.HeaderRequestID, "mine")
		msg.Header.Set(messages.HeaderTraceParent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		reply, err := requester.RequestMsg(msg, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if test.body != "" && string(reply.Data) != test.body ||
			reply.Header.Get(messages.HeaderErrorCode) != test.code {
			t.Errorf("%.50s %v", reply.Data, reply.Header)
		}
		if ids := reply.Header.Values(messages.HeaderRequestID); len(ids) != 1 || ids[0] != "mine" ||
			test.body != "" && reply.Header.Get(messages.HeaderPage) != "7" ||
			reply.Header.Get(messages.HeaderTraceParent) == "of-the-job" {
			t.Errorf("%v", reply.Header)
		}
		if after := counted(t, c, test.count); after != before+1 {
			t.Errorf("%.50s: %v answers with code %s were counted", reply.Data, after-before, test.count)
		}
	}
}

// counted is how many answers were counted with a code.
func counted(t *testing.T, c *Consumer, code string) float64 {
	t.Helper()
	return testutil.ToFloat64(c.metrics.requests.WithLabelValues(string(op), code))
}

// always asks for the numbers of an answer's parts.
func always(echo) bool { return true }

const op messages.Operation = "tests.run"

// run starts a consumer with one operation and returns it with a requester.
func run(t *testing.T, options Options, r route.Route) (*Consumer, *nats.Conn) {
	t.Helper()
	requester := broker(t)
	nc := dial(t, requester.ConnectedUrl())
	options.Log, options.Metrics, options.Version = slog.New(slog.DiscardHandler), prometheus.NewRegistry(), "0.0.0"
	c, err := Start(t.Context(), nc, map[messages.Operation]route.Route{op: r}, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return c, requester
}

// answers are all messages that one request gets within a while after the first.
func answers(t *testing.T, nc *nats.Conn, header nats.Header) []*nats.Msg {
	t.Helper()
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishMsg(&nats.Msg{Subject: op.ScopedSubject("acme"), Reply: inbox.Subject, Header: header}); err != nil {
		t.Fatal(err)
	}
	var all []*nats.Msg
	wait := 10 * time.Second
	for {
		msg, err := inbox.NextMsg(wait)
		if err != nil {
			return all
		}
		all = append(all, msg)
		wait = 100 * time.Millisecond
	}
}

func codeIn(t *testing.T, msg *nats.Msg) messages.Code {
	t.Helper()
	var body messages.ErrorReply
	if err := json.Unmarshal(msg.Data, &body); err != nil {
		t.Errorf("%v: %s", err, msg.Data) // goroutines of a test ask too, which cannot end it
		return "unreadable"
	}
	if body.Error == nil {
		return ""
	}
	return body.Error.Code
}

func TestEveryRequestGetsExactlyOneAnswer(t *testing.T) {
	const secret = "a secret in a panic"
	for _, c := range []struct {
		name    string
		operate func(context.Context, route.Call) (string, error)
		header  nats.Header
		want    messages.Code
	}{
		{"a panic with an error", func(context.Context, route.Call) (string, error) { panic(errors.New(secret)) }, nil, messages.Internal},
		{"an index out of range", func(context.Context, route.Call) (string, error) { var none []string; return none[3], nil }, nil, messages.Internal},
		{"an unknown error", func(context.Context, route.Call) (string, error) { return "", errors.New(secret) }, nil, messages.Internal},
		{"an answer too large", func(context.Context, route.Call) (string, error) { return strings.Repeat("x", 70<<10), nil }, nil, messages.TooLarge},
		{"an error too large", func(context.Context, route.Call) (string, error) {
			fault := messages.Errorf(messages.UpstreamError, "%s", strings.Repeat("é\n", 40<<10))
			fault.Details = []messages.Detail{{Path: "x", Message: strings.Repeat("y", 70<<10)}}
			return "", fault
		}, nil, messages.UpstreamError},
		{"a deadline", func(ctx context.Context, _ route.Call) (string, error) { <-ctx.Done(); return "", ctx.Err() },
			nats.Header{messages.HeaderDeadline: {time.Now().Add(300 * time.Millisecond).UTC().Format(time.RFC3339Nano)}},
			messages.DeadlineExceeded},
		{"success", func(context.Context, route.Call) (string, error) { return "fine", nil }, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			consumer, nc := run(t, Options{}, answering(c.operate))
			got := answers(t, nc, c.header)
			if len(got) != 1 {
				t.Fatalf("%d answers", len(got))
			}
			if code := codeIn(t, got[0]); code != c.want {
				t.Errorf("code %q, want %q", code, c.want)
			}
			if strings.Contains(string(got[0].Data), secret) {
				t.Errorf("the answer tells a cause: %s", got[0].Data)
			}
			if int64(got[0].Size()) > nc.MaxPayload()+256 {
				t.Errorf("the answer has %d bytes", got[0].Size())
			}
			stats := consumer.Stats()
			if e := stats.Endpoints[1]; e.NumRequests != 1 || (e.NumErrors == 1) != (c.want != "") {
				t.Errorf("counted %d requests and %d errors", e.NumRequests, e.NumErrors)
			}
		})
	}
}

func TestBeyondMaxInFlightTheAnswerIsOverloaded(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for deadlines")
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	_, nc := run(t, Options{MaxInFlight: 2}, answering(func(ctx context.Context, _ route.Call) (string, error) {
		select {
		case entered <- struct{}{}:
		case <-ctx.Done(): // one too many
		}
		<-leave
		return "fine", nil
	}))
	release := sync.OnceFunc(func() { close(leave) })
	defer release()
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			if msg, err := nc.Request(op.ScopedSubject("acme"), nil, time.Minute); err != nil ||
				msg.Header.Get(messages.HeaderErrorCode) != "" {
				t.Errorf("%v", err)
			}
		})
		arrives(t, entered)
	}
	// It waits for a slot for a quarter of its time.
	msg, err := nc.RequestMsg(&nats.Msg{Subject: op.ScopedSubject("acme"),
		Header: nats.Header{messages.HeaderDeadline: {time.Now().Add(12 * time.Second).UTC().Format(time.RFC3339Nano)}}},
		time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var body messages.ErrorReply
	if err := json.Unmarshal(msg.Data, &body); err != nil || body.Error == nil || body.Error.Code != messages.Overloaded ||
		body.Error.RetryAfterMS <= 0 || !body.Error.Retryable {
		t.Errorf("%v %s", err, msg.Data)
	}
	release()
	wait.Wait()
}

func TestRequestsOfOneOperationRunSideBySide(t *testing.T) {
	const together = 8
	entered, leave := make(chan struct{}, together), make(chan struct{})
	_, nc := run(t, Options{}, answering(func(ctx context.Context, _ route.Call) (string, error) {
		entered <- struct{}{}
		<-leave
		return "fine", nil
	}))
	release := sync.OnceFunc(func() { close(leave) })
	defer release()
	var wait sync.WaitGroup
	for range together {
		wait.Go(func() {
			if msg, err := nc.Request(op.ScopedSubject("acme"), nil, 2*time.Minute); err != nil || codeIn(t, msg) != "" {
				t.Errorf("%v", err)
			}
		})
	}
	for range together {
		arrives(t, entered)
	}
	release()
	wait.Wait()
}

func TestShutdownAnswersWorkInFlight(t *testing.T) {
	for _, c := range []struct {
		name  string
		grace time.Duration
		want  messages.Code
	}{{"within the grace", time.Minute, ""}, {"abandoned after it", 50 * time.Millisecond, messages.Unavailable}} {
		t.Run(c.name, func(t *testing.T) {
			entered := make(chan struct{})
			finish := make(chan struct{})
			consumer, nc := run(t, Options{}, answering(func(ctx context.Context, _ route.Call) (string, error) {
				close(entered)
				select {
				case <-finish:
					return "fine", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}))
			got := make(chan messages.Code, 1)
			go func() {
				msg, err := nc.Request(op.ScopedSubject("acme"), nil, 20*time.Second)
				if err != nil {
					got <- messages.Code(err.Error())
					return
				}
				got <- codeIn(t, msg)
			}()
			arrives(t, entered)
			stopped := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), c.grace)
				defer cancel()
				stopped <- consumer.Shutdown(ctx)
			}()
			if c.want == "" {
				// New requests find nobody while the old one is still worked on.
				for deadline := time.Now().Add(15 * time.Second); ; {
					if _, err := nc.Request(op.ScopedSubject("acme"), nil, time.Second); errors.Is(err, nats.ErrNoResponders) {
						break
					} else if time.Now().After(deadline) {
						t.Fatal("intake goes on")
					}
				}
				close(finish)
			}
			if code := arrives(t, got); code != c.want {
				t.Errorf("code %q, want %q", code, c.want)
			}
			if err := arrives(t, stopped); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStreamsEndInOneLast(t *testing.T) {
	sequence := func(parts []route.Part, end error) route.Route {
		return route.ManyOf(messages.Accounts, always,
			func(_ context.Context, c route.Call, _ echo) iter.Seq2[route.Part, error] {
				return func(yield func(route.Part, error) bool) {
					for _, p := range parts {
						if !yield(p, nil) {
							return
						}
					}
					if end != nil {
						yield(route.Part{}, end)
					}
				}
			})
	}
	text := func(n int, last bool) route.Part {
		return route.Part{Body: fmt.Appendf(nil, `{"n":%d}`, n), Rows: 1, Last: last}
	}
	for _, c := range []struct {
		name  string
		route route.Route
		pages int
		want  messages.Code
	}{
		{"three parts", sequence([]route.Part{text(1, false), text(2, false), text(3, true)}, nil), 3, ""},
		{"an error in the middle", sequence([]route.Part{text(1, false)}, messages.Errorf(messages.Throttled, "wait")), 2, messages.Throttled},
		{"an error at once", sequence(nil, messages.Errorf(messages.NotFound, "no")), 1, messages.NotFound},
		{"an end without a last part", sequence([]route.Part{text(1, false)}, nil), 2, messages.Internal},
		{"a part too large", sequence([]route.Part{text(1, false), {Body: make([]byte, 80<<10)}}, nil), 2, messages.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, nc := run(t, Options{}, c.route)
			got := answers(t, nc, nil)
			if len(got) != c.pages {
				t.Fatalf("%d messages, want %d", len(got), c.pages)
			}
			for i, msg := range got {
				last := i == len(got)-1
				if msg.Header.Get(messages.HeaderPage) != fmt.Sprint(i+1) ||
					(msg.Header.Get(messages.HeaderLast) == "true") != last {
					t.Errorf("message %d: %v", i+1, msg.Header)
				}
			}
			if code := codeIn(t, got[len(got)-1]); code != c.want {
				t.Errorf("ends with %q, want %q", code, c.want)
			}
		})
	}
}

// Errors of an operation that may stream end in Crm-Last whatever was wrong, so
// that nobody waits for it.
func TestEarlyErrorsOfStreamsAreLast(t *testing.T) {
	r := route.ManyOf(messages.Accounts, always, func(context.Context, route.Call, echo) iter.Seq2[route.Part, error] {
		return func(yield func(route.Part, error) bool) {
			yield(route.Part{}, messages.Errorf(messages.NotFound, "no"))
		}
	})
	_, nc := run(t, Options{}, r)
	for name, header := range map[string]nats.Header{
		"deadline":   {messages.HeaderDeadline: {"2020-01-01T00:00:00Z"}},
		"request id": {messages.HeaderRequestID: {"a b"}},
		"operation":  nil,
	} {
		got := answers(t, nc, header)
		if len(got) != 1 || got[0].Header.Get(messages.HeaderLast) != "true" ||
			got[0].Header.Get(messages.HeaderPage) != "1" {
			t.Errorf("%s: %d answers, %v", name, len(got), got[0].Header)
		}
	}
}

// Whatever the server's max_payload and however long the headers that come back,
// an error reaches the requester.
func TestErrorsFitSmallServers(t *testing.T) {
	for _, payload := range []int32{512, 700, 1024, 2048} {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
			MaxPayload: payload, MaxControlLine: 512})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("NATS did not start")
		}
		nc, requester := dial(t, s.ClientURL()), dial(t, s.ClientURL())
		fault := messages.Errorf(messages.InvalidRequest, "%s", strings.Repeat("long ", 200))
		fault.Details = []messages.Detail{{Path: "x", Message: strings.Repeat("long ", 200)}}
		c, err := Start(t.Context(), nc, map[messages.Operation]route.Route{op: answering(
			func(context.Context, route.Call) (string, error) { return "", fault })},
			Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		got := answers(t, requester, nats.Header{messages.HeaderRequestID: {strings.Repeat("i", 100)},
			messages.HeaderTraceState: {strings.Repeat("s", 200)}})
		if len(got) != 1 || codeIn(t, got[0]) != messages.InvalidRequest {
			t.Errorf("max_payload %d: %d answers", payload, len(got))
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		nc.Close()
		requester.Close()
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// No answer leaves without a sentence: body and header have one for every code,
// whatever the error came with.
func TestEveryErrorHasASentence(t *testing.T) {
	var fault atomic.Pointer[messages.Error] // of the one request under way
	_, nc := run(t, Options{}, answering(func(context.Context, route.Call) (string, error) { return "", fault.Load() }))
	for _, code := range append(messages.Codes(), "") {
		for _, said := range []string{"", " ", "\x00\r\n\t", "said", "two\nlines"} {
			fault.Store(&messages.Error{Code: code, Message: said})
			got, err := nc.Request(op.ScopedSubject("acme"), []byte("{}"), 30*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var reply messages.ErrorReply
			if err := json.Unmarshal(got.Data, &reply); err != nil || reply.Error == nil {
				t.Fatalf("%s %q: %v", code, said, err)
			}
			header := got.Header.Get(messages.HeaderServiceError)
			if strings.TrimSpace(reply.Error.Message) == "" || strings.TrimSpace(header) == "" ||
				strings.ContainsAny(header, "\r\n") ||
				strings.TrimSpace(said) != "" && said[0] > ' ' && reply.Error.Message != said {
				t.Errorf("%s %q: message %q, header %q", code, said, reply.Error.Message, header)
			}
		}
	}
}

func TestTraceContextComesBack(t *testing.T) {
	_, nc := run(t, Options{}, answering(func(context.Context, route.Call) (string, error) { return "fine", nil }))
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	got := answers(t, nc, nats.Header{"traceparent": {parent}, "tracestate": {"a=b"}, "Crm-Request-Id": {"my-id"}})
	if len(got) != 1 || got[0].Header.Get("traceparent") != parent || got[0].Header.Get("tracestate") != "a=b" ||
		got[0].Header.Get(messages.HeaderRequestID) != "my-id" {
		t.Errorf("%v", got[0].Header)
	}
}

func TestStartRefusesBesideACapturingStream(t *testing.T) {
	for _, subject := range []string{"crm.>", "crm.accounts.search.request", "crm.*.*.request.*", "crm.accounts.>"} {
		t.Run(subject, func(t *testing.T) {
			nc := broker(t)
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "GREEDY", Subjects: []string{subject}}); err != nil {
				t.Fatal(err)
			}
			_, err = Start(t.Context(), nc, nil, Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
			if err == nil || !strings.Contains(err.Error(), "GREEDY") {
				t.Errorf("got %v, want an error that names the stream", err)
			}
		})
	}
}

func TestRequireScopedLeavesPlainSubjectsToAdministrators(t *testing.T) {
	all := map[messages.Operation]route.Route{messages.Accounts.Operation(messages.VerbSearch): {},
		messages.ConnectionsGet: {Admin: true}}
	got := map[string]bool{}
	for _, e := range endpoints(all, true) {
		got[e.subject] = true
	}
	want := []string{"crm.accounts.search.request.*", "crm.connections.get.request", "crm.connections.get.request.*"}
	for _, subject := range want {
		if !got[subject] {
			t.Errorf("%s is not subscribed", subject)
		}
	}
	if len(got) != len(want) {
		t.Errorf("subscribed %v, want %v", got, want)
	}
}
