package interactive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// lines is a log whose lines can be read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) entries(t *testing.T) (entries []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// about writes a line about one request, or has it counted.
func about(j *journal, level slog.Level, message string, op messages.Operation, connection, code string) {
	if j.single(level, message, op, connection, code) {
		j.line(level, message, op, connection, code, time.Now(), slog.String("request_id", "x"))
	}
}

// Refusals are one line at once and then one a second with their count; other answers
// are lines of their own up to a number a second. The counts add up.
func TestTheLogCountsWhatComesInFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		j := newJournal(slog.New(slog.NewJSONHandler(&log, nil)))
		c := &Consumer{journal: j, admission: newAdmission(usualBounds, nil, nil),
			metrics:       newMetrics(prometheus.NewRegistry()),
			subscriptions: newSubscriptions(nil, nil), refuser: newRefuser(nil, nil, nil)}
		c.tend()
		for range 100 { // ten seconds
			for range 1000 {
				about(j, slog.LevelWarn, "answered", op, "acme", "overloaded")
			}
			for range 50 {
				about(j, slog.LevelInfo, "answered", op, "acme", "ok")
			}
			about(j, slog.LevelInfo, "answered", op, "globex", "ok")
			for range 500 {
				j.note(slog.LevelWarn, "request not executed", op, "acme", refusedReply)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		about(j, slog.LevelWarn, "answered", op, "acme", "overloaded")
		c.stopTending()

		written, stand := map[string]int{}, map[string]int{}
		for _, e := range log.entries(t) {
			key := fmt.Sprint(e["connection"], " ", e["code"])
			written[key]++
			if n, counted := e["count"].(float64); counted {
				stand[key] += int(n)
			} else {
				stand[key]++
			}
		}
		if want := map[string]int{"acme overloaded": 100_001, "acme ok": 5000, "globex ok": 100, "acme reply_subject": 50_000}; !reflect.DeepEqual(stand, want) {
			t.Errorf("the lines count %v, want %v", stand, want)
		}
		if n := written["acme overloaded"]; n < 3 || n > 14 {
			t.Errorf("%d lines for 100,001 refusals in ten seconds", n)
		}
		if n := written["acme reply_subject"]; n < 3 || n > 14 {
			t.Errorf("%d lines for 50,000 refused reply subjects in ten seconds", n)
		}
		if n := written["acme ok"]; n > 10*linesASecond+11 || n < 9*linesASecond {
			t.Errorf("%d lines for 500 answers a second", n)
		}
		if n := written["globex ok"]; n != 100 {
			t.Errorf("%d lines for 10 answers a second", n)
		}
	})
}

// The first refusal is in the log at once, and names that somebody made up do not make
// the log, or what it remembers, grow.
func TestTheLogIsBoundedForInventedConnections(t *testing.T) {
	var log lines
	j := newJournal(slog.New(slog.NewJSONHandler(&log, nil)))
	for i := range 100_000 {
		about(j, slog.LevelWarn, "answered", op, fmt.Sprint("invented", i), "overloaded")
	}
	if n := len(log.entries(t)); n > mostEntries+2 || n == 0 {
		t.Errorf("%d lines", n)
	}
	if len(j.entries) > mostEntries+1 {
		t.Errorf("%d entries", len(j.entries))
	}
	j.flush()
	entries := log.entries(t)
	if last := entries[len(entries)-1]; last["connection"] != everywhere || last["count"].(float64) < 99_000 {
		t.Errorf("%v", last)
	}
}

// A refusal is the message that an error of an operation would be, byte for byte but
// for the order of its headers.
func TestRefusalsAreErrorsLikeOthers(t *testing.T) {
	nc := broker(t)
	for name, c := range map[string]reply{
		"plain":    {call: route.Call{RequestID: "x", Connection: "acme"}},
		"quoted":   {call: route.Call{RequestID: `a"b\c<&>`, Connection: "acme"}},
		"traced":   {call: route.Call{RequestID: "x"}, trace: nats.Header{"traceparent": {"00-1"}, "tracestate": {"a=b"}}},
		"a stream": {call: route.Call{RequestID: "x", Connection: "acme"}, numbered: true},
		"again":    {call: route.Call{RequestID: "y"}},
	} {
		for _, why := range []verdict{{messages.Overloaded, 250 * time.Millisecond}, {code: messages.DeadlineExceeded}, {messages.Unavailable, time.Second}} {
			sub, err := nc.SubscribeSync(nc.NewInbox())
			if err != nil {
				t.Fatal(err)
			}
			var form denialForm
			for _, cheap := range []bool{false, true} {
				a := &reply{nc: nc, to: sub.Subject, call: c.call, trace: c.trace, numbered: c.numbered}
				if cheap {
					form.publish(a, why.fault())
				} else if err := a.fail(why.fault()); err != nil {
					t.Fatal(err)
				}
				if !a.ended {
					t.Error("it was not ended")
				}
			}
			usual, cheap := next(t, sub), next(t, sub)
			if string(usual.Data) != string(cheap.Data) || !reflect.DeepEqual(usual.Header, cheap.Header) {
				t.Errorf("%s: %s %v, want %s %v", name, cheap.Data, cheap.Header, usual.Data, usual.Header)
			}
		}
	}
}

// Requests whose time is over while they wait are answered, and never executed.
func TestWhatExpiresWhileItWaitsIsNotExecuted(t *testing.T) {
	var mu sync.Mutex
	ran := map[string]bool{}
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	_, nc := run(t, Options{PerConnection: 1}, answering(func(ctx context.Context, c route.Call) (string, error) {
		mu.Lock()
		ran[c.RequestID] = true
		mu.Unlock()
		if c.RequestID == "first" {
			entered <- struct{}{}
			<-release
		}
		return "fine", nil
	}))
	inbox := nc.NewInbox()
	sub := subscribe(t, nc, inbox)
	header := func(id string, in time.Duration) nats.Header {
		return nats.Header{messages.HeaderRequestID: {id},
			messages.HeaderDeadline: {time.Now().Add(in).UTC().Format(time.RFC3339Nano)}}
	}
	ask(t, nc, "acme", inbox+".1", header("first", time.Minute))
	arrives(t, entered)
	ask(t, nc, "acme", inbox+".2", header("expires", 300*time.Millisecond))
	ask(t, nc, "acme", inbox+".3", header("expired", -time.Second))
	for range 2 {
		msg := next(t, sub)
		if code := codeIn(t, msg); code != messages.DeadlineExceeded && code != messages.Overloaded {
			t.Errorf("%s got %q", msg.Subject, code)
		}
	}
	close(release)
	next(t, sub)
	mu.Lock()
	defer mu.Unlock()
	if len(ran) != 1 {
		t.Errorf("executed: %v", ran)
	}
}

// What waits is answered at the end too: within the grace it is worked on, after it
// refused.
func TestShutdownAnswersWhatWaits(t *testing.T) {
	for _, c := range []struct {
		name  string
		grace time.Duration
		want  messages.Code
	}{{"within the grace", time.Minute, ""}, {"after it", 50 * time.Millisecond, messages.Unavailable}} {
		t.Run(c.name, func(t *testing.T) {
			finish, entered := make(chan struct{}), make(chan struct{}, 100)
			consumer, nc := run(t, Options{PerConnection: 1}, answering(func(ctx context.Context, _ route.Call) (string, error) {
				entered <- struct{}{}
				select {
				case <-finish:
					return "fine", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}))
			inbox := nc.NewInbox()
			sub := subscribe(t, nc, inbox)
			ask(t, nc, "acme", inbox+".0", nil)
			arrives(t, entered)
			ask(t, nc, "acme", inbox+".1", nil)
			await(t, "the second request waits", func() error {
				if n, _ := consumer.admission.load(); n != 1 {
					return fmt.Errorf("%d requests wait", n)
				}
				return nil
			})
			if c.want == "" {
				close(finish)
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.grace)
			defer cancel()
			if err := consumer.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			for range 2 {
				msg := next(t, sub)
				if code := codeIn(t, msg); code != c.want {
					t.Errorf("%s got %q, want %q", msg.Subject, code, c.want)
				}
			}
		})
	}
}

// What the NATS client throws away is counted.
func TestLossesAreCounted(t *testing.T) {
	consumer, nc := run(t, Options{}, answering(func(context.Context, route.Call) (string, error) { return "fine", nil }))
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	sub, err := consumer.nc.Subscribe("tests.slow", func(*nats.Msg) {
		once.Do(func() { close(held) })
		<-hold
	})
	if err == nil {
		err = sub.SetPendingLimits(2, -1)
	}
	if err == nil {
		err = consumer.nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	consumer.subscriptions.mu.Lock()
	consumer.subscriptions.all = append(consumer.subscriptions.all,
		&subscribed{subject: sub.Subject, made: []*nats.Subscription{sub}})
	consumer.subscriptions.mu.Unlock()
	for range 20 {
		if err := nc.Publish("tests.slow", nil); err != nil {
			t.Fatal(err)
		}
	}
	arrives(t, held)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if testutil.ToFloat64(consumer.metrics.dropped) > 0 || time.Now().After(end) {
			break
		}
	}
	close(hold)
	if n := consumer.Dropped(); n == 0 || testutil.ToFloat64(consumer.metrics.dropped) == 0 {
		t.Errorf("%d dropped, and %v in the metric", n, testutil.ToFloat64(consumer.metrics.dropped))
	}
	// A subscription that is made again takes its count along.
	before := consumer.Dropped()
	consumer.subscriptions.mu.Lock()
	x := consumer.subscriptions.all[len(consumer.subscriptions.all)-1]
	x.retire()
	x.made = nil
	consumer.subscriptions.mu.Unlock()
	if n := consumer.Dropped(); n < before {
		t.Errorf("%d are counted, and %d were", n, before)
	}
}

// An account is believed where the server vouches for it, whatever else a requester
// writes; without one the inbox counts.
func TestRequestersAreToldApartByWhatTheServerVouchesFor(t *testing.T) {
	config := filepath.Join(t.TempDir(), "nats.conf")
	text := `
		host: 127.0.0.1, port: -1
		accounts {
			CRM: { users: [{user: crm, password: x}], exports: [{service: "crm.*.*.request.*", response_type: stream}] }
			A: { users: [{user: a, password: x}], imports: [{service: {account: CRM, subject: "crm.*.*.request.acme"}}] }
			B: { users: [{user: b, password: x}], imports: [{service: {account: CRM, subject: "crm.*.*.request.acme"}, share: true}] }
		}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(config)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	s := begun(t, options)
	crm := dial(t, strings.Replace(s.ClientURL(), "nats://", "nats://crm:x@", 1))
	sub, err := crm.SubscribeSync(op.ScopedSubject("*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := crm.Flush(); err != nil {
		t.Fatal(err)
	}
	forged := `{"acc":"B","user":"x"}`
	for _, c := range []struct {
		name   string
		from   string // user
		header string // as written, one a line
		want   requester
	}{
		{"an account", "a", "", requester{"A", true}},
		{"another, which shares its details", "b", "", requester{"B", true}},
		{"a forged account", "a", "Nats-Request-Info: " + forged + "\r\n", requester{"A", true}},
		{"forged twice", "a", "Nats-Request-Info: " + forged + "\r\nNats-Request-Info: " + forged + "\r\n", requester{"A", true}},
		{"forged with a space", "a", "Nats-Request-Info : " + forged + "\r\n", requester{"A", true}},
		{"forged after another", "a", "X: y\r\nNats-Request-Info : " + forged + "\r\nNats-Request-Info: " + forged + "\r\n", requester{"A", true}},
		{"forged in lower case", "a", "nats-request-info: " + forged + "\r\n", requester{"A", true}},
		{"forged in crmbridge's own account", "crm", "Nats-Request-Info: " + forged + "\r\n", requester{"_INBOX.x", false}},
		{"an inbox", "crm", "", requester{"_INBOX.x", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw(t, s, c.from, op.ScopedSubject("acme"), "_INBOX.x.1", c.header)
			if got := requesterOf(next(t, sub)); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	// The server lets no client write a reply subject of its own making.
	raw(t, s, "crm", op.ScopedSubject("acme"), "_R_.x.1", "Nats-Request-Info: "+forged+"\r\n")
	if err := crm.Publish(op.ScopedSubject("end"), nil); err != nil {
		t.Fatal(err)
	}
	if msg := next(t, sub); msg.Subject != op.ScopedSubject("end") {
		t.Errorf("%s with reply %s came through", msg.Subject, msg.Reply)
	}
}

// raw publishes a message as written, which a client of NATS's would not let through,
// and waits until the server has read it.
func raw(t *testing.T, s *server.Server, user, subject, reply, headers string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	headers = "NATS/1.0\r\n" + headers + "\r\n"
	if _, err := fmt.Fprintf(conn, "CONNECT {\"user\":%q,\"pass\":\"x\",\"headers\":true,\"verbose\":false}\r\nHPUB %s %s %d %d\r\n%s\r\nPING\r\n",
		user, subject, reply, len(headers), len(headers), headers); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(conn); in.Scan(); {
		if strings.HasPrefix(in.Text(), "PONG") {
			return
		}
	}
}

// Refusals that NATS takes slowly wait in a bounded queue, of which a flood has its part;
// deciding never waits for them.
func TestRefusalsWaitWithinBounds(t *testing.T) {
	hold := make(chan struct{})
	var mu sync.Mutex
	answered, lost := map[*connQueue]int{}, map[*connQueue]int{}
	count := func(of map[*connQueue]int, d denial) {
		mu.Lock()
		defer mu.Unlock()
		of[d.queue]++
	}
	r := newRefuser(func(d denial) { <-hold; count(answered, d) }, func(d denial) { count(lost, d) }, func() bool { return false })
	flood, other := &connQueue{name: "flood"}, &connQueue{name: "other"}
	header := nats.Header{messages.HeaderRequestID: {"x"}, "Other": {strings.Repeat("x", 1<<20)}}
	for range 100_000 {
		r.put(&request{queue: flood, msg: &nats.Msg{Header: header, Data: []byte("body")}},
			verdict{code: messages.Overloaded})
	}
	for range 1000 {
		r.put(&request{queue: other, msg: &nats.Msg{Header: header}}, verdict{code: messages.Overloaded})
	}
	for _, d := range r.queue {
		if len(d.msg.Header) > 1 || d.msg.Data != nil {
			t.Fatal("more than what comes back is kept")
		}
	}
	close(hold)
	r.stop()
	if answered[other] != 1000 || lost[other] != 0 {
		t.Errorf("of another's refusals %d were answered and %d lost", answered[other], lost[other])
	}
	if answered[flood] != mostOfOne || lost[flood] != 100_000-mostOfOne {
		t.Errorf("of the flood's refusals %d were answered and %d lost", answered[flood], lost[flood])
	}
}

// The queue of refusals is bounded over all connections; whose refusals have been
// answered has room again, until the end.
func TestRoomForRefusals(t *testing.T) {
	hold := make(chan struct{})
	answered := make(chan struct{}, 10*mostDenials)
	lost := 0
	r := newRefuser(func(denial) { <-hold; answered <- struct{}{} }, func(denial) { lost++ }, func() bool { return false })
	put := func(of *connQueue, n int) {
		for range n {
			r.put(&request{queue: of, msg: &nats.Msg{}}, verdict{code: messages.Overloaded})
		}
	}
	var lines []*connQueue
	for range 20 {
		lines = append(lines, &connQueue{})
		put(lines[len(lines)-1], mostOfOne)
	}
	// What is being answered beside the queue is no more than a queue.
	if taken := 20*mostOfOne - lost; taken < mostDenials || taken > 2*mostDenials {
		t.Errorf("%d refusals are taken", taken)
	}
	close(hold)
	for range 20*mostOfOne - lost {
		arrives(t, answered)
	}
	await(t, "room", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.of) > 0 {
			return fmt.Errorf("%d lines have some", len(r.of))
		}
		return nil
	})
	before := lost
	put(lines[0], mostOfOne)
	if lost != before {
		t.Errorf("%d are lost although there is room again", lost-before)
	}
	r.stop()
	put(lines[1], 1)
	if lost != before+1 {
		t.Error("one is taken after the end")
	}
	long := nats.Header{messages.HeaderRequestID: {strings.Repeat("x", messages.MaxRequestID+1)}}
	if got := answeredHeaders(long); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// Refused reply subjects are counted in the log, and a flood of them blocks nobody.
func TestAFloodOfRefusedReplySubjects(t *testing.T) {
	_, nc := run(t, Options{}, answering(func(context.Context, route.Call) (string, error) { return "fine", nil }))
	for range 5000 {
		if err := nc.PublishRequest(op.ScopedSubject("flooded"), "crm.not.allowed", nil); err != nil {
			t.Fatal(err)
		}
	}
	if msg, err := nc.Request(op.ScopedSubject("acme"), nil, 20*time.Second); err != nil || codeIn(t, msg) != "" {
		t.Errorf("%v", err)
	}
}
