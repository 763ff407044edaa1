package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// The commands, and with them the Go client, work for the users of both shipped files, also
// where no plain subjects are served but those of connections; what a user may not do they
// say at once.
func TestDeployedCommands(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it deploys crmbridge twice and runs commands, jobs among them")
	forFiles(t, func(t *testing.T, file string) {
		d := deployWith(t, file, emulator.Options{Accounts: 20}, nil, func(s *bridge.Settings) {
			s.RequireScoped = "true"
		})
		requester, exports := requesterOf(file), t.TempDir()
		refusal := "Permissions Violation"
		own := 0 // the status of reading by a consumer that the reader makes
		if file == bridgetest.AccountsFile {
			own = 1
		}
		for _, c := range []struct {
			user   string
			args   string
			status int
			says   string
		}{
			{"administrator", "connections list", 0, "acme"},
			{"administrator", "connections get acme", 0, "active"},
			{"administrator", "connections check acme", 0, "accounts.read"},
			{"administrator", "accounts search globex --page-size=1", 0, "classification"},
			{"administrator", "jobs list acme", 0, "jobs"},
			{"administrator", "jobs list", 1, "no"}, // a plain subject
			{requester, "accounts search acme --page-size=1", 0, "classification"},
			{requester, "contacts search acme --page-size=1", 0, "job_title"},
			{requester, "accounts count acme", 0, "20"},
			{requester, "accounts changes acme", 0, ""},
			{requester, "accounts fields acme", 0, "classification"},
			{requester, "users whoami acme", 0, "organization"},
			{requester, "accounts export acme --out=" + exports + "/a.csv", 0, "20 accounts in"},
			{requester, "jobs list acme", 0, "jobs"},
			{requester, "accounts search globex --page-size=1", 1, refusal},
			{requester, "accounts export globex --out=" + exports + "/b.csv", 1, refusal},
			{requester, "accounts export acme --out=" + exports + "/c.csv --consumer=acme-reader", 1, refusal},
			{requester, "connections delete acme --yes", 1, refusal},
			{requester, "connections list", 1, refusal},
			{requester, "jobs get globex x", 1, refusal},
			{"reader", "accounts search acme --page-size=1", 0, "classification"},
			{"reader", "accounts export acme --out=" + exports + "/d.csv", 0, "20 accounts in"},
			{"reader", "accounts export acme --out=" + exports + "/e.csv --consumer=acme-reader", own, ""},
			{"reader", "accounts search globex", 1, refusal},
			{"watcher", "events watch --all --max=1 --json", 0, `"kind":"connected"`},
			{"watcher", "events watch --all --max=1 --connection=globex", 0, "globex"},
			{"watcher", "connections list", 1, refusal},
			{"watcher", "accounts search acme", 1, refusal},
			{"watcher", "jobs list acme", 1, refusal},
			{"operator", "events watch", 1, `Publish to "$JS.API.STREAM.INFO.CRM_EVENTS"`},
			{"operator", "connections list", 1, refusal},
			{"operator", "accounts search acme", 1, refusal},
		} {
			t.Run(c.user+" "+strings.ReplaceAll(c.args, exports, ""), func(t *testing.T) {
				var stdout, stderr strings.Builder
				args := append(strings.Fields(c.args), "--nats-url="+d.url(c.user), "--nats-inbox-prefix="+inboxOf(file, c.user))
				begun := time.Now()
				status := run(args, &stdout, &stderr)
				if said := stdout.String() + stderr.String(); status != c.status || !strings.Contains(said, c.says) {
					t.Errorf("status %d, want %d with %q: %s", status, c.status, c.says, said)
				}
				// A refusal that nobody noticed would show at the deadline, after 30 s.
				if took := time.Since(begun); c.status != 0 && took > 25*time.Second {
					t.Errorf("it took %s to say so", took)
				}
			})
		}
		readsByConsumer(t, d)
		if said := d.log.String(); strings.Contains(said, "NATS refuses") {
			t.Errorf("crmbridge lacks a right:\n%s", said)
		}
	})
}

// readsByConsumer reads results as the user reader with nats.go, by a consumer that an
// administrator made.
func readsByConsumer(t *testing.T, d *deployed) {
	t.Helper()
	makes, err := jetstream.New(d.as("administrator"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := makes.CreateOrUpdateConsumer(t.Context(), messages.ResultsStream, jetstream.ConsumerConfig{
		Durable: "acme-reader", FilterSubject: "crm.results.acme.*", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	d.accepted("reader", "crm.accounts.search.job.acme.read", `{"limit":2}`)
	d.ended("acme", "read")
	reads, err := jetstream.New(d.as("reader"))
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := reads.Consumer(t.Context(), messages.ResultsStream, "acme-reader")
	if err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := consumer.Next(jetstream.FetchMaxWait(quick))
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if msg.Subject() == messages.ResultSubject("acme", "read") {
			return
		}
	}
}
