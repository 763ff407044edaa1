package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// What status and doctor print, to people and as JSON, of the fleet and of each connection, holds
// no token, secret, code, state, key, password or filter value: after requests and a job that
// Dataverse refused with the filter's value in its words, with a user who is blocked, a grant that
// is revoked and a sign-in that has begun.
func TestNothingSecretInStatusAndDoctor(t *testing.T) {
	bridgetest.Long(t, "doctor and status look at everything, again and again")
	const value, password, second = "canary filter value 4711", "canary-password-of-nats", "second@contoso.example"
	collector := bridgetest.NewCollector(t)
	tracing := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.HTTP,
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=canary-of-the-collector"}
	for _, variable := range tracing {
		name, set, _ := strings.Cut(variable, "=")
		t.Setenv(name, set)
	}
	tap := bridgetest.NewWiretap()
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 10,
		Users: []emulator.User{{Name: "Second", UserName: second, Roles: []string{"Salesperson"}}}}, tap.Between)
	settings := w.Settings(true)
	settings.LogLevel, settings.BusCompletion = "debug", "true"
	settings.ConsoleAddr = fmt.Sprintf("127.0.0.1:%d", bridgetest.Port(t))
	settings.URL = strings.Replace(settings.URL, "nats://", "nats://canary-user:"+password+"@", 1) // this server takes any
	w.Bridge(settings, nil)
	client, nc := w.Client()
	tap.Keep("client secret", emulator.DefaultClientSecret, url.QueryEscape(emulator.DefaultClientSecret))
	tap.Keep("filter value", value, url.QueryEscape(value), url.PathEscape(value))
	tap.Keep("password", password)
	tap.Keep("credential of the collector", "canary-of-the-collector")
	tap.Keep("key", bridgetest.KeyMaterial(t, w.Keyset))

	env := append(bridgetest.Environment(settings), tracing...)
	look := func(when string, connections ...string) {
		t.Helper()
		for _, path := range append([]string{"/", "/connections", "/jobs"}, connections...) {
			if !strings.HasPrefix(path, "/") {
				path = "/connections/" + path
			}
			status, page, err := bridgetest.AdminPage(settings.ConsoleAddr, path)
			if err != nil || status != http.StatusOK || !strings.Contains(page, "<h1>") ||
				!strings.HasSuffix(page, "</html>\n") {
				t.Errorf("%s: %s: %d %v: %s", when, path, status, err, page)
			}
			for _, what := range tap.In(page) {
				t.Errorf("%s: the console shows a %s at %s", when, what, path)
			}
		}
		for _, connection := range append(connections, "") {
			for _, args := range [][]string{{"status"}, {"status", "--json"}, {"doctor"}, {"doctor", "--json"}} {
				if connection != "" {
					args = append(args, connection)
				}
				said := printed(t, env, args)
				if len(said) < 100 || connection != "" && args[0] == "status" && !strings.Contains(said, connection) {
					t.Errorf("%s: %v prints %s", when, args, said)
				}
				for _, what := range tap.In(said) {
					t.Errorf("%s: %v prints a %s", when, args, what)
				}
			}
		}
	}
	connect := func(connection, user string) {
		t.Helper()
		begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: connection},
			EnvironmentURL: w.EmulatorURL, LoginHint: user})
		if err != nil {
			t.Fatal(err)
		}
		tap.Keep("state", begun.State)
		if user == "" {
			return // nobody signs in
		}
		browser, err := signin.NewBrowser()
		if err != nil {
			t.Fatal(err)
		}
		browser.HTTP.Transport = tap
		if _, err := browser.SignIn(t.Context(), begun.ConnectURL, w.EmulatorURL, user); err != nil {
			t.Fatal(err)
		}
	}
	connect("acme", emulator.DefaultUser)
	connect("globex", second)
	connect("initech", "")
	where := messages.Leaf("name", messages.Contains, value)
	search := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Where: &where}
	if _, err := client.Accounts().Search(t.Context(), search); err != nil {
		t.Fatal(err)
	}
	w.Emulator.Control().Fail(emulator.Fault{Status: http.StatusBadRequest, Times: 100,
		Header: map[string]string{"Content-Type": "application/json"},
		Body:   `{"error":{"code":"0x80060888","message":"near '` + value + `'"}}`})
	if _, err := client.Accounts().Search(t.Context(), search); err == nil {
		t.Fatal("the search does not fail")
	}
	if _, err := client.Accounts().SearchJob(t.Context(), search, messages.JobPublication{ID: "canary-failed"}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "a dead letter", func() error {
		stream, err := js.Stream(t.Context(), messages.DeadStream)
		if err == nil && stream.CachedInfo().State.Msgs == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	w.Emulator.Control().Clear()
	look("after errors", "acme", "initech")

	w.Emulator.Control().RevokeRefreshTokens(second)
	w.Emulator.Control().ExpireAccessTokens()
	if _, err := client.WhoAmI(t.Context(), "globex"); err == nil {
		t.Fatal("the grant is not revoked")
	}
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 300, Times: 1})
	if _, err := client.WhoAmI(t.Context(), "acme"); err == nil {
		t.Fatal("the user is not throttled")
	}
	w.Emulator.Control().ExpireClientSecret(true)
	look("blocked and revoked", "acme", "globex")

	settings.URL = strings.Replace(settings.URL, w.NATSURL[len("nats://"):],
		fmt.Sprintf("127.0.0.1:%d", bridgetest.Port(t)), 1)
	env = append(bridgetest.Environment(settings), tracing...)
	for _, args := range [][]string{{"doctor"}, {"status"}, {"status", "--json"}} {
		for _, what := range tap.In(printed(t, env, args)) {
			t.Errorf("without NATS %v prints a %s", args, what)
		}
	}
	if n := tap.Seen(); n < 15 {
		t.Errorf("only %d secrets were looked for", n)
	}
}

// printed is all that a command prints, to both sides. It may fail.
func printed(t testing.TB, env, args []string) string {
	t.Helper()
	cmd := bridgetest.Program(t, env, args...)
	out := &bridgetest.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	_ = cmd.Run()
	return out.String()
}
