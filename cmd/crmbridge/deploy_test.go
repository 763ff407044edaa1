package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// deployed is a NATS server with deploy/nats.conf, but for its ports and folder.
func deployed(t testing.TB, port int) *server.Server {
	t.Helper()
	for _, name := range []string{"CRMBRIDGE", "CAMPAIGNS", "ADMINISTRATOR"} {
		t.Setenv(name+"_NATS_PASSWORD", "secret-"+strings.ToLower(name))
	}
	text := file(t, "deploy/nats.conf")
	text = strings.Replace(text, "port: 4222", fmt.Sprintf("host: 127.0.0.1\nport: %d", port), 1)
	text = regexp.MustCompile(`(?m)^http: .*$`).ReplaceAllString(text, "")
	text = strings.Replace(text, `"/data/jetstream"`, fmt.Sprintf("%q", t.TempDir()), 1)
	name := t.TempDir() + "/nats.conf"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(name)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	return started(t, options)
}

func started(t testing.TB, options *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("NATS did not start")
	}
	return s
}

// The shipped NATS configuration lets crmbridge work, administrators connect and
// campaigns ask for their connections, and nobody more than that.
func TestTheDeployedPermissions(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	port := bridgetest.Port(t)
	deployed(t, port)
	as := func(user string) string { return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port) }
	settings := w.Settings(true)
	settings.URL = as("crmbridge")
	log := &buffer{}
	w.Bridge(settings, log)

	administrator, err := nats.Connect(as("administrator"), nats.CustomInboxPrefix("_INBOX.administrators"))
	if err != nil {
		t.Fatal(err)
	}
	defer administrator.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, connection := range []string{"acme", "other"} {
		if err := signin.Connect(ctx, messages.NewClient(administrator), connection, w.EmulatorURL, emulator.DefaultUser); err != nil {
			t.Fatal(err)
		}
	}
	// Nothing that crmbridge does itself is refused, and its stream is there.
	js, err := administrator.Request("crm.connections.list.request", []byte("{}"), 30*time.Second)
	if err != nil || !strings.Contains(string(js.Data), "acme") {
		t.Fatal(err)
	}
	heard, err := administrator.SubscribeSync("crm.events.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := messages.NewClient(administrator).Delete(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	if msg, err := heard.NextMsgWithContext(ctx); err != nil || msg.Subject != messages.EventSubject(messages.EventDeleted, "other") {
		bridgetest.Await(t, "the event of a deletion", func() error {
			msg, err := heard.NextMsg(10 * time.Second)
			if err == nil && msg.Subject != messages.EventSubject(messages.EventDeleted, "other") {
				err = errors.New(msg.Subject)
			}
			return err
		})
	}
	if said := log.String(); strings.Contains(said, "ermissions") || strings.Contains(said, "level=ERROR") {
		t.Errorf("crmbridge lacks a right:\n%s", said)
	}
	// What it does not need it may not do.
	own, err := nats.Connect(as("crmbridge"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, subject := range []string{"crm.accounts.search.request.acme", "$JS.API.STREAM.DELETE.CRM_EVENTS", "$JS.API.STREAM.PURGE.CRM_EVENTS", "$JS.API.STREAM.CREATE.OTHER", "crm.state.acme.1"} {
		if err := refusedPublish(own, subject); err == nil {
			t.Errorf("crmbridge may publish to %s", subject)
		}
	}
	for _, subject := range []string{"_INBOX.campaigns.>", "_INBOX.>", "crm.events.>", "crm.>", ">"} {
		if err := refusedSubscribe(own, subject); err == nil {
			t.Errorf("crmbridge may subscribe to %s", subject)
		}
	}
	for _, c := range []struct {
		user, prefix string
		args         []string
		status       int
		says         string
	}{
		{"administrator", "_INBOX.administrators", []string{"connections", "list"}, 0, "acme"},
		{"administrator", "_INBOX.administrators", []string{"users", "whoami", "acme"}, 0, "organization"},
		{"campaigns", "_INBOX.campaigns", []string{"accounts", "search", "acme", "--page-size=1"}, 0, "classification"},
		{"campaigns", "_INBOX.campaigns", []string{"accounts", "search", "other", "--page-size=1"}, 1, "Permissions Violation"},
		{"campaigns", "_INBOX.campaigns", []string{"connections", "delete", "acme"}, 1, "Permissions Violation"},
		{"campaigns", "", []string{"accounts", "search", "acme", "--page-size=1"}, 1, "NATS_INBOX_PREFIX"},
	} {
		t.Run(c.user+" "+strings.Join(c.args, " ")+" "+c.prefix, func(t *testing.T) {
			var stdout, stderr strings.Builder
			begun := time.Now()
			status := run(append(c.args, "--nats-url="+as(c.user), "--nats-inbox-prefix="+c.prefix), &stdout, &stderr)
			if said := stdout.String() + stderr.String(); status != c.status || !strings.Contains(said, c.says) {
				t.Errorf("status %d, want %d with %q: %s", status, c.status, c.says, said)
			}
			// A refusal that nobody noticed would show at the deadline, after 30 s.
			if took := time.Since(begun); took > 25*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
}

// refusedPublish is the server's refusal, nil where there is none.
func refusedPublish(nc *nats.Conn, subject string) error {
	before := nc.LastError()
	if err := errors.Join(nc.Publish(subject, nil), nc.Flush()); err != nil {
		return err
	}
	return newer(nc, before)
}

func refusedSubscribe(nc *nats.Conn, subject string) error {
	before := nc.LastError()
	sub, err := nc.SubscribeSync(subject)
	if err := errors.Join(err, nc.Flush()); err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	return newer(nc, before)
}

func newer(nc *nats.Conn, before error) error {
	if err := nc.LastError(); err != before {
		return err
	}
	return nil
}

// Credentials that are wrong for a while do not end the process: it comes back
// when they are right again.
func TestWrongCredentialsForAWhile(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	port := bridgetest.Port(t)
	start := func(password string) *server.Server {
		return started(t, &server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Username: "crm", Password: password})
	}
	first := start("right")
	w.NATSURL = fmt.Sprintf("nats://crm:right@127.0.0.1:%d", port)
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	first.Shutdown()
	first.WaitForShutdown()
	wrong := start("wrong")
	time.Sleep(3 * time.Second) // several attempts are refused; there is no signal for that
	wrong.Shutdown()
	wrong.WaitForShutdown()
	start("right")
	client, _ := w.Client()
	bridgetest.Await(t, "answers after the credentials were mended", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.WhoAmI(ctx, "acme")
		return err
	})
}
