package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// The shipped NATS configuration lets crmbridge work, administrators connect and
// campaigns ask for their connections, and nobody more than that.
func TestTheDeployedPermissions(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	port := bridgetest.Port(t)
	bridgetest.DeployedNATS(t, port)
	as := func(user string) string { return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port) }
	settings := w.Settings(true)
	settings.URL = as("crmbridge")
	log := &bridgetest.Buffer{}
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
	// A tenant's job runs, and its results are read without a part of JetStream's API.
	tenant, err := nats.Connect(as("campaigns"), nats.CustomInboxPrefix("_INBOX.campaigns"))
	if err != nil {
		t.Fatal(err)
	}
	defer tenant.Close()
	bridgetest.Await(t, "an accepted job", func() error {
		_, err := tenant.Request("crm.accounts.search.job.acme.first", []byte(`{"limit":3}`), 5*time.Second)
		return err
	})
	bridgetest.Await(t, "a job's results", func() error {
		page, err := tenant.Request("crm.jobs.results.request.acme", []byte(`{"job_id":"first","page":1}`),
			5*time.Second)
		if err == nil && page.Header.Get(messages.HeaderLast) != "true" {
			err = errors.New(string(page.Data))
		}
		return err
	})
	for _, ask := range []string{"get", "cancel", "delete"} {
		bridgetest.Await(t, "jobs."+ask, func() error {
			reply, err := tenant.Request("crm.jobs."+ask+".request.acme", []byte(`{"job_id":"first"}`), 5*time.Second)
			if err == nil && reply.Header.Get(messages.HeaderErrorCode) != "" {
				err = errors.New(string(reply.Data))
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
	for _, subject := range []string{"crm.accounts.search.request.acme", "$JS.API.STREAM.DELETE.CRM_EVENTS",
		"$JS.API.STREAM.PURGE.CRM_EVENTS", "$JS.API.STREAM.CREATE.OTHER",
		"$JS.API.STREAM.DELETE.CRM_RESULTS", "$JS.API.STREAM.UPDATE.CRM_RESULTS",
		"$JS.API.CONSUMER.CREATE.CRM_RESULTS.x",
		"$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.acme-reader", "$JS.API.STREAM.MSG.DELETE.CRM_EVENTS",
		"crm.results.acme", "crm.jobs.get.request.acme"} {
		if err := refusedPublish(own, subject); err == nil {
			t.Errorf("crmbridge may publish to %s", subject)
		}
	}
	for _, subject := range []string{"_INBOX.campaigns.>", "_INBOX.>", "crm.events.>", "crm.>", ">"} {
		if err := refusedSubscribe(own, subject); err == nil {
			t.Errorf("crmbridge may subscribe to %s", subject)
		}
	}
	exports := t.TempDir()
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
		{"campaigns", "_INBOX.campaigns", []string{"connections", "delete", "acme", "--yes"}, 1, "Permissions Violation"},
		{"campaigns", "", []string{"accounts", "search", "acme", "--page-size=1"}, 1, "NATS_INBOX_PREFIX"},
		{"campaigns", "_INBOX.campaigns", []string{"accounts", "export", "acme", "--out=" + exports + "/a.csv"}, 0,
			"20 accounts in"},
		{"campaigns", "_INBOX.campaigns", []string{"accounts", "export", "other", "--out=" + exports + "/b.csv"}, 1,
			"Permissions Violation"},
		{"campaigns", "_INBOX.campaigns", []string{"accounts", "export", "acme", "--out=" + exports + "/c.csv",
			"--consumer=acme-reader"}, 1, "Permissions Violation"},
		{"reader", "_INBOX.reader", []string{"accounts", "export", "acme", "--out=" + exports + "/d.csv",
			"--consumer=acme-reader"}, 0, "20 accounts in"},
		{"reader", "_INBOX.reader", []string{"accounts", "export", "acme", "--out=" + exports + "/e.csv",
			"--consumer=another"}, 1, "Permissions Violation"},
		{"campaigns", "_INBOX.campaigns", []string{"jobs", "list", "acme"}, 0, "accounts.search"},
		{"campaigns", "_INBOX.campaigns", []string{"jobs", "get", "other", "x"}, 1, "Permissions Violation"},
		{"administrator", "_INBOX.administrators", []string{"jobs", "list"}, 0, "jobs\n"},
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

// deploy/redis.acl is a user who may do all that crmbridge does: the main job, keys
// and their resealing, and nothing of it is refused.
func TestDeployedRedisPermissions(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	admin := bridgetest.RedisAdministrator(t, w)
	line := strings.TrimPrefix(strings.TrimSpace(bridgetest.File(t, "deploy/redis.acl")), "user ")
	bridgetest.RedisDo(t, admin, "ACL SETUSER "+strings.Replace(line, ">CHANGE-THIS-PASSWORD", ">right", 1))
	settings := w.Settings(true)
	settings.RedisURL = strings.Replace(w.RedisURL, "redis://", "redis://crmbridge:right@", 1)
	bridgetest.Serve(t, settings)
	second := w.Settings(false)
	second.RedisURL = settings.RedisURL
	bridgetest.Serve(t, second)
	w.Connect("demo")
	url := "--nats-url=" + w.NATSURL
	ask := func(status int, args ...string) {
		t.Helper()
		var stdout, stderr strings.Builder
		if got := run(args, &stdout, &stderr); got != status {
			t.Errorf("%v: status %d: %s%s", args, got, stdout.String(), stderr.String())
		}
	}
	for round := range 2 {
		ask(0, "accounts", "search", "demo", "--page-size=3", url)
		ask(0, "accounts", "count", "demo", "--where=name is not null", url)
		ask(0, "accounts", "fields", "demo", url)
		ask(0, "accounts", "changes", "demo", url)
		ask(0, "users", "whoami", "demo", url)
		ask(0, "connections", "list", url)
		ask(0, "connections", "check", "demo", url)
		if round == 0 {
			w.Emulator.Control().ExpireAccessTokens() // the next call renews
		}
	}
	// An environment that refuses for a moment writes a block for the fleet.
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 1})
	client, _ := w.Client()
	bridgetest.Await(t, "an answer after a block", func() error {
		_, err := client.WhoAmI(t.Context(), "demo")
		return err
	})
	t.Setenv("TOKEN_KEYSET", w.Keyset)
	t.Setenv("REDIS_URL", settings.RedisURL)
	ask(0, "keys", "reseal")
	w.Connect("demo") // a re-authorization
	ask(0, "connections", "delete", "demo", "--yes", url)
	bridgetest.Await(t, "a deletion", func() error {
		if _, err := client.WhoAmI(t.Context(), "demo"); err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
	refused, err := admin.ACLLog(t.Context(), 20).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range refused {
		t.Errorf("refused: %s %s (%s, %s)", entry.Reason, entry.Object, entry.Context, entry.Username)
	}
	// And it is no more than that.
	for _, command := range []string{"FLUSHALL", "CONFIG", "KEYS", "SHUTDOWN", "CLIENT"} {
		if strings.Contains(line, "+"+strings.ToLower(command)) {
			t.Errorf("the user may %s", command)
		}
	}
}
