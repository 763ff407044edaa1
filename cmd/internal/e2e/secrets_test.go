package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Neither Redis nor a log at debug level, nor a span, a metric, an event, a job's record or a
// header of its results and its dead letter holds a token, a secret, a code, a state, or a
// filter value in clear, in a run that uses every operation. (What a dead letter holds is the
// request itself, and results are rows.)
func TestNothingSecretInRedisOrLogs(t *testing.T) {
	bridgetest.Long(t, "it plays everything that may be logged")
	const value, credential = "canary filter value 4711", "canary-of-the-collector"
	collector := bridgetest.NewCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization="+credential)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	tap := bridgetest.NewWiretap()
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 100}, tap.Between)
	settings := w.Settings(true)
	settings.LogLevel, settings.BusCompletion = "debug", "true"
	log := &bridgetest.Buffer{}
	w.Bridge(settings, log)
	client, nc := w.Client()
	tap.Keep("client secret", emulator.DefaultClientSecret, url.QueryEscape(emulator.DefaultClientSecret))
	tap.Keep("filter value", value, url.QueryEscape(value), url.PathEscape(value))
	tap.Keep("credential of the collector", credential)
	tap.Keep("key", bridgetest.KeyMaterial(t, w.Keyset))

	everyOperation(t, w, client, tap, value)
	for _, body := range []string{`{"where":{"field":"name","op":"eq","value":"` + value + `"},"nonsense":"` + value + `"}`,
		`{"where":{"field":"name","op":"lt","value":"` + value + `"}}`, `{"cursor":"` + value + `"}`, value} {
		if _, err := nc.Request(messages.Accounts.Operation(messages.VerbSearch).ScopedSubject("acme"), []byte(body), 10e9); err != nil {
			t.Fatal(err)
		}
	}
	for _, status := range []int{400, 403, 404, 429, 500, 503} {
		w.Emulator.Control().Fail(emulator.Fault{Status: status, Times: 3, Header: map[string]string{"Content-Type": "application/json", "Retry-After": "1"},
			Body: `{"error":{"code":"0x80060888","message":"near '` + value + `'"}}`})
		where := messages.Leaf("name", messages.Contains, value)
		_, err := client.Accounts().Search(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Where: &where})
		if err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("status %d: %v", status, err)
		}
		w.Emulator.Control().Clear()
	}

	r := newRequester(t, nc)
	jobsWithSecrets(r, w, client, value)
	ctx, from := requesting(t.Context())
	if _, err := client.WhoAmI(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "the last span", func() error {
		for _, s := range collector.Spans() { // they are sent in their order
			if s.Trace == from.TraceID().String() && strings.HasPrefix(s.Name, "process ") {
				return nil
			}
		}
		return errors.New("it is not there")
	})
	_, metrics, err := bridgetest.AdminPage(settings.AdminAddr, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	dump := redisDump(t, w.RedisURL)
	for where, text := range map[string]string{"Redis": dump, "the log": log.String(), "a span": collector.Text(),
		"a metric": metrics, "a stream": streamsDump(r)} {
		if text == "" {
			t.Errorf("nothing was found in %s", where)
		}
		for _, what := range tap.In(text) {
			t.Errorf("%s holds a %s in clear", where, what)
		}
	}
	if n := tap.Seen(); n < 15 {
		t.Errorf("only %d secrets were looked for", n)
	}
	t.Logf("%d secrets looked for in %d bytes of Redis and %d of log", tap.Seen(), len(dump), len(log.String()))
}

// jobsWithSecrets runs a job that ends well and one that fails, both with a filter value.
func jobsWithSecrets(r requester, w *bridgetest.World, client *messages.Client, value string) {
	r.Helper()
	where := messages.Not(messages.Leaf("name", messages.Contains, value))
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Where: &where}
	if _, err := client.Accounts().SearchJob(r.Context(), in, messages.JobPublication{ID: "canary-done"}); err != nil {
		r.Fatal(err)
	}
	r.await("canary-done", messages.JobDone)
	w.Emulator.Control().Fail(emulator.Fault{Status: 400, Times: 100, Header: map[string]string{"Content-Type": "application/json"},
		Body: `{"error":{"code":"0x80060888","message":"near '` + value + `'"}}`})
	defer w.Emulator.Control().Clear()
	if _, err := client.Accounts().SearchJob(r.Context(), in, messages.JobPublication{ID: "canary-failed"}); err != nil {
		r.Fatal(err)
	}
	r.await("canary-failed", messages.JobFailed)
}

// streamsDump is what crmbridge itself wrote to JetStream: events and records as they are, of
// results and dead letters the headers.
func streamsDump(r requester) string {
	r.Helper()
	var dump strings.Builder
	for name, bodies := range map[string]bool{messages.EventsStream: true, messages.StateStream: true,
		messages.ResultsStream: false, messages.DeadStream: false} {
		all := r.all(name)
		if len(all) == 0 {
			r.Errorf("nothing is in %s", name)
		}
		for _, msg := range all {
			fmt.Fprintln(&dump, msg.Subject(), msg.Headers())
			if bodies {
				dump.Write(msg.Data())
			}
		}
	}
	return dump.String()
}

// everyOperation uses each operation at least once, connections both by browser
// and over the bus.
func everyOperation(t *testing.T, w *bridgetest.World, client *messages.Client, tap *bridgetest.Wiretap, value string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	acme := messages.Target{Connection: "acme"}
	begun, err := client.Authorize(ctx, messages.AuthorizeRequest{Target: acme, EnvironmentURL: w.EmulatorURL, LoginHint: emulator.DefaultUser})
	must(err)
	browser, err := signin.NewBrowser()
	must(err)
	browser.HTTP.Transport = tap
	_, err = browser.SignIn(ctx, begun.ConnectURL, w.EmulatorURL, emulator.DefaultUser)
	must(err)

	code, state := codeOverBus(t, w, client, tap, "globex")
	_, err = client.Complete(ctx, messages.CompleteRequest{State: state, Code: code})
	must(err)

	_, err = client.Connection(ctx, "acme")
	must(err)
	_, err = client.Connections(ctx, messages.ConnectionsListRequest{})
	must(err)
	who, err := client.WhoAmI(ctx, "acme")
	must(err)
	_, err = client.User(ctx, messages.UserGetRequest{Target: acme, UserID: who.UserID})
	must(err)
	_, err = client.User(ctx, messages.UserGetRequest{Target: acme, Email: emulator.DefaultUser})
	must(err)
	where := messages.Not(messages.Leaf("name", messages.Contains, value))
	page, err := client.Accounts().Search(ctx, messages.SearchRequest{Target: acme, Where: &where, PageSize: 10})
	must(err)
	_, err = client.Accounts().Search(ctx, messages.SearchRequest{Target: acme, Cursor: page.NextCursor})
	must(err)
	_, err = client.Accounts().Get(ctx, messages.GetRequest{Target: acme, ID: page.Rows[0].Text("id")})
	must(err)
	w.Emulator.Control().ExpireAccessTokens()
	_, err = client.WhoAmI(ctx, "acme")
	must(err)
	must(client.Delete(ctx, "globex"))
}

// codeOverBus signs in for an application that owns the redirect.
func codeOverBus(t *testing.T, w *bridgetest.World, client *messages.Client, tap *bridgetest.Wiretap, connection string) (code, state string) {
	t.Helper()
	begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{
		Target: messages.Target{Connection: connection}, EnvironmentURL: w.EmulatorURL, LoginHint: emulator.DefaultUser})
	if err != nil {
		t.Fatal(err)
	}
	back := redirect(t, w, tap, begun.AuthorizationURL, "accept")
	return back.Query().Get("code"), begun.State
}

// redirect signs in at an authorization URL and returns where Entra sends the
// browser, without going there.
func redirect(t *testing.T, w *bridgetest.World, transport http.RoundTripper, authorizationURL, action string) *url.URL {
	t.Helper()
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	if transport != nil {
		browser.HTTP.Transport = transport
	}
	signIn, err := browser.Open(t.Context(), authorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	browser.HTTP.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.PublicURL()) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	_, _ = browser.Submit(t.Context(), signIn, url.Values{"user": {emulator.DefaultUser}, "action": {action}}) // the redirect is not followed
	if back == nil {
		t.Fatal("Entra did not send the browser back")
	}
	return back
}

func redisDump(t *testing.T, address string) string {
	t.Helper()
	options, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	ctx := context.Background()
	var dump strings.Builder
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		dump.WriteString(key + "\n")
		switch kind := client.Type(ctx, key).Val(); kind {
		case "hash":
			for field, value := range client.HGetAll(ctx, key).Val() {
				dump.WriteString(field + "=" + value + "\n")
			}
		case "string":
			dump.WriteString(client.Get(ctx, key).Val() + "\n")
		case "zset":
			dump.WriteString(strings.Join(client.ZRange(ctx, key, 0, -1).Val(), "\n") + "\n")
		case "list":
			dump.WriteString(strings.Join(client.LRange(ctx, key, 0, -1).Val(), "\n") + "\n")
		case "set":
			dump.WriteString(strings.Join(client.SMembers(ctx, key).Val(), "\n") + "\n")
		default:
			t.Errorf("key %s is a %s, which this test does not read", key, kind)
		}
	}
	if len(keys) < 3 {
		t.Errorf("only %d keys in Redis", len(keys))
	}
	return dump.String()
}
