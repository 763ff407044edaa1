package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// The account of a tenant holds without permissions of its users too: a tenant asks and
// publishes jobs for its connection, sees their progress, and reads their results; nothing
// that the server answers to it leaves its account.
func TestDeployedAccounts(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	port := bridgetest.Port(t)
	bridgetest.Deployed(t, port, bridgetest.AccountsFile, func(text string) string {
		permissions := regexp.MustCompile(`(?s)    ACME_REQUESTER = \{.*?\n    \}\n`)
		if !permissions.MatchString(text) {
			t.Fatal("the tenant's user has no permissions")
		}
		return permissions.ReplaceAllLiteralString(text, `    ACME_REQUESTER = { publish: ">", subscribe: ">" }`+"\n")
	})
	as := func(user string, options ...nats.Option) *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port),
			append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	settings := w.Settings(true)
	settings.URL = fmt.Sprintf("nats://crmbridge:secret-crmbridge@127.0.0.1:%d", port)
	w.Bridge(settings, nil)
	administrator, tenant := as("administrator", nats.CustomInboxPrefix("_INBOX.administrators")), as("acme")
	js, err := jetstream.New(as("crmbridge", nats.CustomInboxPrefix("_INBOX.crmbridge")))
	if err != nil {
		t.Fatal(err)
	}
	if err := streams.Lane(t.Context(), js, streams.Bounds{}); err != nil {
		t.Fatal(err)
	}
	for _, connection := range []string{"acme", "other"} {
		if err := signin.Connect(t.Context(), messages.NewClient(administrator), connection, w.EmulatorURL,
			emulator.DefaultUser); err != nil {
			t.Fatal(err)
		}
	}
	ask := messages.NewClient(tenant)
	if _, err := ask.WhoAmI(t.Context(), "acme"); err != nil {
		t.Errorf("its own connection: %v", err)
	}
	if _, err := tenant.Request("crm.users.whoami.request.other", nil, 10*time.Second); err == nil {
		t.Error("a tenant reaches another's connection")
	}
	// Jobs. That of a table which nobody serves stays where it is.
	const left = "crm.leads.nothing.job.acme.1"
	ack, err := tenant.Request(left, []byte(`{}`), 10*time.Second)
	if err != nil || string(ack.Data[:10]) != `{"stream":` {
		t.Fatalf("publish a job: %v", err)
	}
	if _, err := tenant.Request("crm.accounts.search.job.other.1", []byte(`{}`), 10*time.Second); err == nil {
		t.Error("a tenant publishes a job of another connection")
	}
	progress, err := tenant.SubscribeSync("crm.state.*.*")
	if err != nil || tenant.Flush() != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"crm.results.other.1", "crm.results.acme.1", "crm.state.other.1",
		"crm.state.acme.1"} {
		if _, err := js.Publish(t.Context(), subject, []byte(subject)); err != nil {
			t.Fatal(err)
		}
	}
	if msg, err := progress.NextMsg(10 * time.Second); err != nil || msg.Subject != "crm.state.acme.1" {
		t.Errorf("progress: %v %v", msg, err)
	}
	// Reading by a consumer that the administrator made.
	makes, err := jetstream.New(administrator)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := makes.CreateOrUpdateConsumer(t.Context(), messages.ResultsStream,
		jetstream.ConsumerConfig{Durable: "acme-reader",
			FilterSubject: "crm.results.acme.*", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	inbox := tenant.NewInbox()
	pages, err := tenant.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	const next = "$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.acme-reader"
	if err := tenant.PublishRequest(next, inbox, []byte(`{"batch":1,"expires":9000000000}`)); err != nil {
		t.Fatal(err)
	}
	page, err := pages.NextMsg(10 * time.Second)
	if err != nil || string(page.Data) != "crm.results.acme.1" {
		t.Fatalf("a page: %v %v", page, err)
	}
	if _, err := tenant.Request(page.Reply, []byte("+ACK"), 10*time.Second); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
	// Whatever reply subject it gives, and the rest of JetStream's API.
	for _, subject := range []string{left + "x", next, "crm.users.whoami.request.acme"} {
		for _, reply := range []string{"crm.accounts.search.job.other.2", "crm.results.other.2", "crm.state.other.2"} {
			if err := tenant.PublishRequest(subject, reply, []byte(`{"batch":1,"no_wait":true}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range []string{"crm.results.other.2", "crm.state.other.2", "crm.dead.other.2",
		"crm.results.acme.2",
		"$JS.API.STREAM.PURGE.CRM_RESULTS", "$JS.API.STREAM.DELETE.CRM_RESULTS", "$JS.API.STREAM.MSG.GET.CRM_RESULTS",
		"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.acme.*",
		"$JS.API.CONSUMER.DELETE.CRM_RESULTS.acme-reader",
		"$JS.API.DIRECT.GET.CRM_RESULTS.crm.results.other.1", "$JS.API.DIRECT.GET.CRM_JOBS." + left} {
		// An account without JetStream is told so by its own API.
		if msg, err := tenant.Request(subject, nil, 200*time.Millisecond); err == nil &&
			!strings.Contains(string(msg.Data), `"err_code":10039`) {
			t.Errorf("%s is answered with %s", subject, msg.Data)
		}
	}
	// Its last request is answered: what went before has been dealt with.
	if _, err := ask.WhoAmI(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
	for stream, want := range map[string]uint64{messages.ResultsStream: 2, messages.StateStream: 2,
		messages.JobsStream: 4, messages.DeadStream: 0} {
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		if have := s.CachedInfo().State.Msgs; have > want {
			t.Errorf("%s has %d messages, want %d", stream, have, want)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("crm.>"))
		if err != nil {
			t.Fatal(err)
		}
		for subject := range info.State.Subjects {
			if strings.HasSuffix(subject, ".other.2") {
				t.Errorf("%s has a message on %s", stream, subject)
			}
		}
	}
}
