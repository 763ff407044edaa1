package interactive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// natsOptions reads a NATS configuration; the server that it is for takes any port.
func natsOptions(t *testing.T, text string) *server.Options {
	t.Helper()
	name := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(name, []byte("host: 127.0.0.1\nport: -1\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(name)
	if err != nil {
		t.Fatal(err)
	}
	o.NoLog, o.NoSigs, o.ConfigFile = true, true, ""
	return o
}

func configured(t *testing.T, text string) *server.Server {
	t.Helper()
	return begun(t, natsOptions(t, text))
}

func begun(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	return streamstest.Run(t, o)
}

// A logged is what was logged so far.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.text.String() }

// await tries until something holds, much longer than it takes.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// startConfigured starts a consumer of two operations as user bridge. What the
// client library reports that is not about its subscriptions goes to its log too.
func startConfigured(t *testing.T, s *server.Server, log *logged) *Consumer {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, nil))
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("bridge", "b"), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { logger.Error("passed on", "error", err) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	fine := answering(func(context.Context, route.Call) (string, error) { return "fine", nil })
	c, err := Start(t.Context(), nc, map[messages.Operation]route.Route{"tests.run": fine, "tests.walk": fine},
		Options{Log: logger, Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
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
	return c
}

// answered asks every operation on both of its subjects.
func answered(requester *nats.Conn) error {
	for _, op := range []messages.Operation{"tests.run", "tests.walk"} {
		for _, subject := range []string{op.Subject(), op.ScopedSubject("acme")} {
			if _, err := requester.Request(subject, []byte(`{"connection":"acme"}`), 5*time.Second); err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
		}
	}
	return nil
}

// A server that refuses subscriptions, at the start or later, makes the consumer not
// ready, with what would help; when the right is there it is ready again by itself,
// without a reconnect, and answers everything.
func TestRefusedSubscriptions(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for subscriptions to be tried again")
	}
	const requester = `{user: requester, password: r}`
	user := func(allow string) string {
		return `authorization { users: [` + requester +
			`, {user: bridge, password: b, permissions: {publish: ">", subscribe: {allow: [` + allow + `]}}}] }`
	}
	limits := func(most int) string {
		return fmt.Sprintf(`accounts { A { limits { max_subscriptions: %d }, users: [`+requester+
			`, {user: bridge, password: b}] } }`, most)
	}
	// Two operations on two subjects each, nine of the services API and an inbox.
	const all, need = `"crm.*.*.request", "crm.*.*.request.*", "$SRV.>", "_INBOX.>"`, 14
	for _, c := range []struct {
		name, good, bad string
		says            []string
	}{
		{"no permission", user(all), user(`"$SRV.>", "_INBOX.>"`), []string{"crm.tests.", "and to 3 more", `"crm.tests.*.request"`, `"crm.tests.*.request.*"`}},
		{"scoped only", user(all), user(`"crm.*.*.request.*", "$SRV.>", "_INBOX.>"`), []string{"crm.tests.", "and to 1 more", `to "crm.tests.*.request"`}},
		{"one subject", user(all), user(`"crm.tests.run.request", "crm.*.*.request.*", "$SRV.>", "_INBOX.>"`),
			[]string{"crm.tests.walk.request:", `to "crm.tests.*.request"`}},
		{"another queue group", user(all), user(`"crm.*.*.request others", "crm.*.*.request.*", "$SRV.>", "_INBOX.>"`), []string{"and to 1 more"}},
		{"max_subscriptions", limits(need), limits(3), []string{"max_subscriptions is reached: of 13 that crmbridge needs", " hold; raise", "to 14 or more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, begin := range []string{"good", "bad"} {
				t.Run("begins "+begin, func(t *testing.T) {
					log := &logged{}
					first, then := c.good, c.bad
					if begin == "bad" {
						first, then = c.bad, c.good
					}
					s := configured(t, first)
					consumer := startConfigured(t, s, log)
					requests, err := nats.Connect(s.ClientURL(), nats.UserInfo("requester", "r"), nats.MaxReconnects(-1),
						nats.ReconnectWait(10*time.Millisecond))
					if err != nil {
						t.Fatal(err)
					}
					defer requests.Close()
					reload := func(text string) {
						if err := s.ReloadOptions(natsOptions(t, text)); err != nil {
							t.Fatal(err)
						}
					}
					refused := func() error {
						err := consumer.Ready()
						for _, text := range c.says {
							if err == nil || !strings.Contains(err.Error(), text) {
								return fmt.Errorf("%v, want %q", err, text)
							}
						}
						return nil
					}
					if begin == "good" {
						if err := consumer.Ready(); err != nil {
							t.Fatal(err)
						}
						if err := answered(requests); err != nil {
							t.Fatal(err)
						}
						reload(then)
						await(t, "not ready", refused)
						reload(first)
					} else {
						if err := refused(); err != nil { // at once: Start waited for the server's word
							t.Fatal(err)
						}
						reload(then)
					}
					await(t, "ready", consumer.Ready)
					if err := answered(requests); err != nil {
						t.Error(err)
					}
					await(t, "the client's inbox", func() error {
						if _, err := consumer.nc.Request(nats.NewInbox(), nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
							return err
						}
						return nil
					})
					await(t, "the log", func() error {
						text := log.String()
						faults, again := strings.Count(text, "level=ERROR"), strings.Count(text, "all subscriptions hold again")
						// Of max_subscriptions it takes a moment to find out which hold, and a
						// connection that is closed and made again may tell of it twice.
						if faults < 1 || faults > 1 && c.name != "max_subscriptions" || faults > 4 || again < 1 {
							return fmt.Errorf("%d errors, %d times mended: %s", faults, again, text)
						}
						return nil
					})
				})
			}
		})
	}
}

// After a reconnect to a server with other rights the same holds.
func TestRefusedAfterReconnect(t *testing.T) {
	allow := func(requests string) string {
		return `authorization { users: [{user: requester, password: r}, {user: bridge, password: b, permissions: {publish: ">", subscribe: {allow: [` +
			requests + `"$SRV.>", "_INBOX.>"]}}}] }`
	}
	const good = `"crm.*.*.request", "crm.*.*.request.*", `
	s := configured(t, allow(good))
	consumer := startConfigured(t, s, &logged{})
	again := func(text string) {
		port := s.Addr().(*net.TCPAddr).Port
		s.Shutdown()
		s.WaitForShutdown()
		options := natsOptions(t, text)
		options.Port = port
		s = begun(t, options)
	}
	again(allow(""))
	await(t, "not ready", func() error {
		if err := consumer.Ready(); err == nil ||
			!strings.Contains(err.Error(), "NATS refuses the subscription to crm.tests.") {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	again(allow(good))
	await(t, "ready", consumer.Ready)
	requests, err := nats.Connect(s.ClientURL(), nats.UserInfo("requester", "r"))
	if err != nil {
		t.Fatal(err)
	}
	defer requests.Close()
	if err := answered(requests); err != nil {
		t.Error(err)
	}
}

// Without the services API requests are answered, and the process is ready.
func TestServicesAPIRefused(t *testing.T) {
	log := &logged{}
	s := configured(t, `authorization { users: [{user: requester, password: r}, {user: bridge, password: b, permissions: {publish: ">", subscribe: {deny: ["$SRV.>"]}}}] }`)
	consumer := startConfigured(t, s, log)
	if err := consumer.Ready(); err != nil {
		t.Error(err)
	}
	if err := consumer.Undescribed(); err == nil || !strings.Contains(err.Error(), `"$SRV.>"`) {
		t.Errorf("%v", err)
	}
	if n := strings.Count(log.String(), "level="); n != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("one warning is wanted: %s", log)
	}
}

// An error that is about nothing of the consumer's reaches the handler that was there.
func TestOtherErrorsArePassedOn(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for the client to notice errors")
	}
	log := &logged{}
	s := configured(t, `authorization { users: [{user: bridge, password: b, permissions: {publish: "nothing"}}] }`)
	consumer := startConfigured(t, s, log)
	if err := consumer.nc.Publish("forbidden", nil); err != nil {
		t.Fatal(err)
	}
	await(t, "the log", func() error {
		if text := log.String(); !strings.Contains(text, "passed on") || !strings.Contains(text, "forbidden") {
			return fmt.Errorf("%q", text)
		}
		return nil
	})
}
