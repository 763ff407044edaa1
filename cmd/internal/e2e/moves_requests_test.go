package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// publish sends a request whose answer nobody reads, with patience or without a deadline.
func publish(t *testing.T, nc *nats.Conn, op messages.Operation, body string, patience time.Duration) {
	t.Helper()
	msg := nats.NewMsg(op.ScopedSubject("acme"))
	msg.Reply, msg.Data = nc.NewInbox(), []byte(body)
	if patience != 0 {
		msg.Header.Set(messages.HeaderDeadline, time.Now().Add(patience).UTC().Format(time.RFC3339Nano))
	}
	if err := nc.PublishMsg(msg); err != nil {
		t.Fatal(err)
	}
}

// Requests are answered, and refused for what is wrong with them.
func requestsMove(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 30})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	w.Connect("acme")
	client, nc := w.Client()
	search := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 10}
	for range 2 {
		if _, err := client.Accounts().Search(t.Context(), search); err != nil {
			t.Fatal(err)
		}
		reply, err := nc.Request(messages.Accounts.Operation(messages.VerbCount).ScopedSubject("acme"),
			[]byte(`{"where":{"field":"industry","op":"eq","value":1}}`), answerWait) // options are metadata
		if err != nil || reply.Header.Get(messages.HeaderErrorCode) != "" {
			t.Fatalf("%v %s", err, reply.Data)
		}
	}
	publish(t, nc, messages.Accounts.Operation(messages.VerbSearch), `{"no_such_member":1}`, 0)
	if err := nc.Publish(messages.UsersWhoAmI.ScopedSubject("acme"), nil); err != nil { // without a reply subject
		t.Fatal(err)
	}
	w.Emulator.Control().Fail(emulator.Fault{Route: "accounts", Delay: 2 * time.Second})
	for range 2 { // the second is served by the first one's call
		publish(t, nc, messages.Accounts.Operation(messages.VerbSearch), `{"page_size":20}`, 0)
	}
	m.await(map[string]wanted{"requests_in_flight": equal(2), "memory_used_bytes": above(0)})
	m.await(map[string]wanted{
		"requests_in_flight": equal(0), "memory_used_bytes": equal(0),
		`requests_total{code="ok",operation="accounts.search"}`:              equal(4),
		`requests_total{code="invalid_request",operation="accounts.search"}`: equal(1),
		`request_duration_seconds_count{operation="accounts.search"}`:        equal(5),
		`rows_total{operation="accounts.search"}`:                            equal(60),
		`requests_refused_total{reason="reply_subject"}`:                     equal(1),
		`dataverse_calls_total{call="accounts.page",outcome="ok"}`:           equal(3),
		`dataverse_call_duration_seconds_count{call="accounts.page"}`:        equal(3),
		"dataverse_received_bytes_total":                                     above(1000),
		`dataverse_limit_remaining{limit="requests"}`:                        above(0),
		`dataverse_limit_remaining{limit="seconds"}`:                         above(0),
		`token_requests_total{code="ok",grant="authorization_code"}`:         equal(1),
		`cache_requests_total{cache="token",outcome="hit"}`:                  above(0),
		`cache_requests_total{cache="token",outcome="miss"}`:                 above(0),
		`cache_requests_total{cache="metadata",outcome="hit"}`:               above(0),
		`cache_requests_total{cache="metadata",outcome="miss"}`:              above(0),
		`cache_requests_total{cache="coalesced",outcome="hit"}`:              equal(1),
		`cache_requests_total{cache="coalesced",outcome="miss"}`:             equal(3),
	})
}

// While the only slot is taken requests wait, and are refused where they wait too long or are too many.
func waitingMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	settings.MaxInFlight = "1"
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	m.foreseen(`requests_refused_total{reason="unavailable"}`) // a process that has refused so has gone
	w.Connect("acme")
	_, nc := w.Client()
	ask := func(patience time.Duration) { publish(t, nc, messages.UsersWhoAmI, "{}", patience) }
	ask(0) // what answers quickly is waited for
	m.one(`requests_total{code="ok",operation="users.whoami"}`, equal(1))
	w.Emulator.Control().Fail(emulator.Fault{Delay: 3 * time.Second, Times: -1})
	ask(0)
	m.one("requests_in_flight", equal(1))
	ask(0)
	m.await(map[string]wanted{"requests_waiting": above(0), "backlog_bytes": above(0)})
	ask(-time.Second) // it has been on its way for too long
	m.one(`requests_refused_total{reason="deadline_exceeded"}`, above(0))
	for range 3000 {
		ask(0)
	}
	m.one(`requests_refused_total{reason="overloaded"}`, above(0))
	w.Emulator.Control().Clear()
	m.await(map[string]wanted{"requests_waiting": equal(0), "backlog_bytes": equal(0), "requests_in_flight": equal(0)})
}

// A valve passes connections on to a server. While it is shut, what clients send stays with them.
type valve struct {
	net.Listener
	shut atomic.Bool
}

func newValve(t *testing.T, to string) *valve {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{Listener: listener}
	t.Cleanup(func() { _ = listener.Close() }) // it is of no use any more
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close() // the client sees that
				return
			}
			go func() { _, _ = io.Copy(from, server); _ = from.Close() }()
			go func() { v.pass(server, from); _ = server.Close() }()
		}
	}()
	return v
}

func (v *valve) pass(to io.Writer, from io.Reader) {
	buffer := make([]byte, 16<<10)
	for {
		for v.shut.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Refusals of a flood come faster than NATS takes them.
func stalledMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	v := newValve(t, strings.TrimPrefix(w.NATSURL, "nats://"))
	settings := w.Settings(true)
	settings.URL, settings.MaxInFlight = "nats://"+v.Addr().String(), "1"
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	w.Connect("acme")
	_, nc := w.Client()
	w.Emulator.Control().Fail(emulator.Fault{Delay: 2 * time.Second, Times: -1})
	v.shut.Store(true)
	defer v.shut.Store(false)
	for range 60_000 { // 10 MB of refusals, which is more than sockets hold
		publish(t, nc, messages.UsersWhoAmI, "{}", 0)
	}
	m.one("unanswered_requests_total", above(0))
	v.shut.Store(false)
	w.Emulator.Control().Clear()
	m.one("requests_waiting", equal(0))
}

// Answers and bodies are larger than the process's memory: work waits for it, and is refused.
func memoryMoves(t *testing.T, seen *movements) {
	release := make(chan struct{})
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 1}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/accounts") {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
			w.Header().Set("OData-Version", "4.0")
			page := rowsOf("http://"+r.Host, 2000, 3000)
			_, _ = w.Write(page[:len(page)-10]) // who does not read it has been refused
			_ = http.NewResponseController(w).Flush()
			<-release
			_, _ = w.Write(page[len(page)-10:])
		})
	})
	settings := w.Settings(true)
	settings.MemoryBudget = "64MiB"
	w.Bridge(settings, nil)
	w.Connect("acme")
	m := meterOf(t, seen, settings)
	_, nc := w.Client()
	for i := range 20 { // each for a page of its own
		body := fmt.Sprintf(`{"page_size":%d,"fields":["id","name"]}`, 4000+i)
		publish(t, nc, messages.Accounts.Operation(messages.VerbSearch), body, 8*time.Second)
	}
	m.await(map[string]wanted{"memory_waiting": above(0), "memory_waits_total": above(0),
		"memory_used_bytes": above(1 << 20)})
	m.one("memory_refusals_total", above(0))
	close(release)
	m.await(map[string]wanted{"memory_waiting": equal(0), "memory_used_bytes": equal(0), "requests_in_flight": equal(0)})
	w.Emulator.Control().Fail(emulator.Fault{Delay: 3 * time.Second, Times: 30})
	for range 30 {
		publish(t, nc, messages.UsersWhoAmI, strings.Repeat(" ", 900<<10), 0)
	}
	m.one(`requests_refused_total{reason="memory"}`, above(0))
}
