package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// deployedLane is the shipped NATS with the streams of the durable lane, and a way in for its
// users.
func deployedLane(t *testing.T) (as func(user string) *nats.Conn) {
	t.Helper()
	port := bridgetest.Port(t)
	bridgetest.DeployedNATS(t, port)
	inbox := map[string]string{"crmbridge": "crmbridge", "campaigns": "campaigns", "globex": "globex",
		"reader": "reader", "administrator": "administrators"}
	as = func(user string) *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port),
			nats.CustomInboxPrefix("_INBOX."+inbox[user]),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	js, err := jetstream.New(as("crmbridge"))
	if err != nil {
		t.Fatal(err)
	}
	// At their defaults: there is room for all.
	if err := streams.Lane(t.Context(), js, streams.Bounds{}); err != nil {
		t.Fatal(err)
	}
	if err := streams.Events(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	return as
}

// The shipped configuration has room for all streams at their defaults, and a server that
// stores before it acknowledges.
func TestDeployedRoomForTheStreams(t *testing.T) {
	t.Parallel()
	port := bridgetest.Port(t)
	server := bridgetest.DeployedNATS(t, port)
	nc, err := nats.Connect(fmt.Sprintf("nats://crmbridge:secret-crmbridge@127.0.0.1:%d", port),
		nats.CustomInboxPrefix("_INBOX.crmbridge"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // made, and found
		if err := streams.Lane(t.Context(), js, streams.Bounds{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{messages.JobsStream, messages.ResultsStream, messages.StateStream,
		messages.DeadStream} {
		if _, err := js.Stream(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// And for another table of a newer version.
	another := messages.Accounts
	another.Name = "visits"
	if err := streams.Lane(t.Context(), js, streams.Bounds{Tables: []messages.Table{another}}); err != nil {
		t.Error(err)
	}
	if v, err := server.Varz(nil); err != nil || !v.JetStream.Config.SyncAlways {
		t.Errorf("sync_interval is not always: %v", err)
	}
}

// A tenant has its own connections' jobs, and nothing else of the lane.
func TestDeployedTenantsKeepToTheirJobs(t *testing.T) {
	t.Parallel()
	as := deployedLane(t)
	for _, c := range []struct {
		user       string
		connection string // one that is the user's
	}{{"campaigns", "acme"}, {"globex", "globex"}, {"reader", "acme"}} {
		t.Run(c.user+" of "+c.connection, func(t *testing.T) {
			nc := as(c.user)
			own := "." + c.connection
			for _, subject := range []string{"crm.accounts.search.job" + own + ".1", "crm.users.get.job" + own + ".1",
				"crm.opportunities.changes.job" + own + ".1", "crm.jobs.get.request" + own,
				"crm.jobs.results.request" + own} {
				if err := refusedPublish(nc, subject); err != nil {
					t.Errorf("may not publish to %s: %v", subject, err)
				}
			}
			if err := refusedSubscribe(nc, "crm.state"+own+".*"); err != nil {
				t.Errorf("may not see the progress of its jobs: %v", err)
			}
			for _, subject := range []string{
				"crm.results" + own + ".1", "crm.results.other.1", "crm.state" + own + ".1", "crm.state.other.1",
				"crm.dead" + own + ".1", "crm.dead.other.1",
				"crm.accounts.search.job.other.1", "crm.users.whoami.job.other.1",
				"crm.connections.delete.job" + own + ".1",
				"crm.jobs.get.request.other", "crm.jobs.results.request.other", "crm.jobs.cancel.request",
				"crm.jobs.list.request",
				"crm.connections.delete.request" + own,
				"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.CRM_RESULTS",
				"$JS.API.STREAM.INFO.CRM_JOBS",
				"$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.CRM_RESULTS", "$JS.API.STREAM.DELETE.CRM_JOBS",
				"$JS.API.STREAM.PURGE.CRM_RESULTS", "$JS.API.STREAM.PURGE.CRM_JOBS", "$JS.API.STREAM.PURGE.CRM_STATE",
				"$JS.API.STREAM.MSG.GET.CRM_RESULTS", "$JS.API.STREAM.MSG.GET.CRM_JOBS",
				"$JS.API.STREAM.MSG.GET.CRM_STATE",
				"$JS.API.STREAM.MSG.GET.CRM_DEAD", "$JS.API.STREAM.MSG.DELETE.CRM_JOBS",
				"$JS.API.STREAM.MSG.DELETE.CRM_RESULTS",
				"$JS.API.DIRECT.GET.CRM_RESULTS", "$JS.API.DIRECT.GET.CRM_RESULTS.crm.results.other.1",
				"$JS.API.DIRECT.GET.CRM_JOBS", "$JS.API.DIRECT.GET.CRM_JOBS.crm.accounts.search.job.other.1",
				"$JS.API.DIRECT.GET.CRM_STATE.crm.state.other.1", "$JS.API.DIRECT.GET.CRM_DEAD.crm.dead.other.1",
				// Another's consumer, a foreign name, a foreign filter, and the subjects that say neither.
				"$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.other-reader", "$JS.API.CONSUMER.INFO.CRM_RESULTS.other-reader",
				"$JS.API.CONSUMER.DELETE.CRM_RESULTS.other-reader", "$JS.ACK.CRM_RESULTS.other-reader.1.1.1.1.0",
				"$JS.API.CONSUMER.CREATE.CRM_RESULTS.other-reader.crm.results" + own + ".*",
				"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.other.*",
				"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.>",
				"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.>",
				"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader", "$JS.API.CONSUMER.CREATE.CRM_RESULTS",
				"$JS.API.CONSUMER.DURABLE.CREATE.CRM_RESULTS.acme-reader",
				"$JS.API.CONSUMER.CREATE.CRM_STATE.acme-reader.crm.state" + own + ".*",
				"$JS.API.CONSUMER.CREATE.CRM_JOBS.acme-reader.crm.accounts.search.job" + own + ".*",
				"$JS.API.CONSUMER.LIST.CRM_RESULTS", "$JS.API.CONSUMER.NAMES.CRM_RESULTS",
				"$JS.API.CONSUMER.LEADER.STEPDOWN.CRM_RESULTS.x",
				"$JS.API.STREAM.SNAPSHOT.CRM_RESULTS", "$JS.API.STREAM.RESTORE.CRM_RESULTS",
				"$JS.API.STREAM.LEADER.STEPDOWN.CRM_RESULTS",
				"$JS.API.STREAM.LIST", "$JS.API.CONSUMER.PAUSE.CRM_RESULTS.other-reader",
				"$JS.API.CONSUMER.UNPIN.CRM_RESULTS.other-reader",
			} {
				if err := refusedPublish(nc, subject); err == nil {
					t.Errorf("may publish to %s", subject)
				}
			}
			for _, subject := range []string{"crm.results" + own + ".*", "crm.results.>", "crm.state.*.*",
				"crm.state.other.*", "crm.dead.>",
				"crm.accounts.*.job.*.*", "$JS.>", "_INBOX.>", "_INBOX.crmbridge.>", ">"} {
				if err := refusedSubscribe(nc, subject); err == nil {
					t.Errorf("may subscribe to %s", subject)
				}
			}
		})
	}
	t.Run("campaigns has no part of JetStream's API", func(t *testing.T) {
		nc := as("campaigns")
		for _, subject := range []string{"$JS.API.DIRECT.GET.CRM_JOBS.crm.accounts.search.job.acme.1",
			"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.acme.*",
			"$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.acme-reader",
			"$JS.ACK.CRM_RESULTS.acme-reader.1.1.1.1.0"} {
			if err := refusedPublish(nc, subject); err == nil {
				t.Errorf("may publish to %s", subject)
			}
		}
	})
}

// The user reader reads the results of its connection by its own consumer, whatever it says in
// the body of the request that makes it.
func TestDeployedReader(t *testing.T) {
	t.Parallel()
	as := deployedLane(t)
	bridge, nc := as("crmbridge"), as("reader")
	for _, subject := range []string{"crm.results.acme.1", "crm.results.other.1"} {
		if _, err := bridge.Request(subject, []byte(subject), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	const create = "$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.acme.*"
	ask := func(config map[string]any) string {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"stream_name": "CRM_RESULTS", "config": config})
		reply, err := nc.Request(create, body, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(reply.Data, &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Error != nil {
			return answer.Error.Description
		}
		return ""
	}
	for what, config := range map[string]map[string]any{
		"a foreign filter": {"durable_name": "acme-reader", "name": "acme-reader",
			"filter_subject": "crm.results.other.*"},
		"no filter": {"durable_name": "acme-reader", "name": "acme-reader"},
		"several filters": {"durable_name": "acme-reader", "name": "acme-reader",
			"filter_subjects": []string{"crm.results.other.*"}},
		"a foreign name": {"durable_name": "other-reader", "name": "other-reader",
			"filter_subject": "crm.results.acme.*"},
	} {
		if refused := ask(config); refused == "" {
			t.Errorf("made a consumer with %s", what)
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.CreateOrUpdateConsumer(t.Context(), messages.ResultsStream,
		jetstream.ConsumerConfig{Durable: "acme-reader",
			FilterSubject: "crm.results.acme.*", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil || string(msg.Data()) != "crm.results.acme.1" {
		t.Fatalf("%v %v", msg, err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	if msg, err := consumer.Next(jetstream.FetchMaxWait(time.Second)); err == nil {
		t.Errorf("read %s too", msg.Subject())
	}
}

// What permissions of users cannot prevent: the server sends its answers to any reply
// subject, with its own rights. deploy/README.md says so, why nats.conf gives requesters no
// part of JetStream's API, and whom to give the user reader. Where this fails, NATS has
// mended it, and the text is out of date.
func TestDeployedUsersCannotBeKeptApartByPermissions(t *testing.T) {
	as := deployedLane(t)
	js, err := jetstream.New(as("crmbridge"))
	if err != nil {
		t.Fatal(err)
	}
	stored := func(stream, subject string) error {
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			return err
		}
		_, err = s.GetLastMsgForSubject(t.Context(), subject)
		return err
	}
	// The acknowledgement of a publish goes anywhere: nobody chooses its text, and nobody is
	// without it who may publish jobs.
	requester := as("campaigns")
	if err := requester.PublishRequest("crm.accounts.search.job.acme.1", "crm.results.other.1", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "an acknowledgement among the results of another connection", func() error {
		return stored(messages.ResultsStream, "crm.results.other.1")
	})
	// So does the server's word to a reader that there is nothing to pull: a message without a
	// body, which is a job with the defaults, and how a stream is deleted.
	reads, err := jetstream.New(as("reader"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reads.CreateOrUpdateConsumer(t.Context(), messages.ResultsStream, jetstream.ConsumerConfig{
		Durable: "acme-reader", FilterSubject: "crm.results.acme.*"}); err != nil {
		t.Fatal(err)
	}
	pull := func(reply string) {
		t.Helper()
		if err := reads.Conn().PublishRequest("$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.acme-reader", reply,
			[]byte(`{"batch":1,"no_wait":true}`)); err != nil {
			t.Fatal(err)
		}
	}
	pull("crm.accounts.search.job.other.2")
	bridgetest.Await(t, "a job of another connection by the answer to a pull", func() error {
		return stored(messages.JobsStream, "crm.accounts.search.job.other.2")
	})
	pull("$JS.API.STREAM.DELETE.CRM_DEAD")
	bridgetest.Await(t, "a stream deleted by the answer to a pull", func() error {
		if _, err := js.Stream(t.Context(), messages.DeadStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
}
