package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// forbiddenToWatcher is what the user watcher tries beside reading CRM_EVENTS: to ask or to be asked
// anything, to read or change another stream or that one, and to acknowledge for others.
func (d *deployed) forbiddenToWatcher(publish, listen func(user, what, subject string)) {
	const user = "watcher"
	for _, subject := range []string{"crm.accounts.search.request.acme", "crm.users.whoami.request.acme",
		"crm.connections.list.request", "crm.connections.get.request.acme", "crm.connections.delete.request.acme",
		"crm.connections.authorize.request.acme", "crm.connections.complete.request.acme",
		"crm.connections.limits.request.acme", "crm.jobs.list.request", "crm.jobs.results.request.acme",
		"crm.accounts.search.job.acme.x", "$SRV.PING", "$SRV.INFO.crmbridge"} {
		publish(user, "asks crmbridge", subject)
	}
	for _, subject := range []string{"crm.events.>", "crm.events.connections.connected.acme", "crm.state.acme.*", "$JS.>",
		"$JS.EVENT.ADVISORY.>"} {
		listen(user, "past its consumers", subject)
	}
	publish(user, "an event", "crm.events.connections.connected.acme")
	for _, stream := range []string{messages.JobsStream, messages.ResultsStream, messages.StateStream, messages.DeadStream} {
		for _, call := range []string{"STREAM.INFO.%s", "STREAM.MSG.GET.%s", "DIRECT.GET.%s", "STREAM.DELETE.%s", "STREAM.PURGE.%s",
			"CONSUMER.CREATE.%s", "CONSUMER.CREATE.%s.mine", "CONSUMER.CREATE.%s.mine.crm.>", "CONSUMER.DURABLE.CREATE.%s.mine",
			"CONSUMER.INFO.%s.mine", "CONSUMER.MSG.NEXT.%s.mine", "CONSUMER.DELETE.%s.mine", "CONSUMER.LIST.%s"} {
			publish(user, "another stream", "$JS.API."+fmt.Sprintf(call, stream))
		}
		publish(user, "acknowledges on another stream", "$JS.ACK."+stream+".mine.1.1.1.1.0")
	}
	for _, call := range []string{"STREAM.DELETE.CRM_EVENTS", "STREAM.PURGE.CRM_EVENTS", "STREAM.UPDATE.CRM_EVENTS",
		"STREAM.CREATE.CRM_EVENTS", "STREAM.MSG.DELETE.CRM_EVENTS", "STREAM.SNAPSHOT.CRM_EVENTS",
		"STREAM.RESTORE.CRM_EVENTS", "STREAM.LEADER.STEPDOWN.CRM_EVENTS", "STREAM.PEER.REMOVE.CRM_EVENTS",
		"CONSUMER.LIST.CRM_EVENTS", "CONSUMER.PAUSE.CRM_EVENTS.mine", "STREAM.NAMES", "STREAM.LIST", "INFO",
		"ACCOUNT.PURGE.CRM", "META.LEADER.STEPDOWN"} {
		publish(user, "more than to read events", "$JS.API."+call)
	}
}

// watches reads an event as the programs of messages/examples do: by a durable consumer, and
// acknowledges it; and as the shell does, by its number.
func watches(d *deployed, nc *nats.Conn) outcome {
	js, err := jetstream.New(nc)
	if err != nil {
		return refused(err.Error())
	}
	ctx := d.t.Context()
	const name = "webhook-acme"
	consumer, err := js.CreateOrUpdateConsumer(ctx, messages.EventsStream, jetstream.ConsumerConfig{Durable: name,
		FilterSubject: messages.EventSubject(messages.EventConnected, "acme"), AckPolicy: jetstream.AckExplicitPolicy})
	var msg jetstream.Msg
	if err == nil {
		msg, err = consumer.Next(jetstream.FetchMaxWait(quick))
	}
	if err == nil {
		err = msg.DoubleAck(ctx)
	}
	if err == nil {
		_, err = js.Consumer(ctx, messages.EventsStream, name)
	}
	if err := errors.Join(err, js.DeleteConsumer(ctx, messages.EventsStream, name)); err != nil {
		return refused(err.Error())
	}
	return allowed("an event of " + msg.Subject())
}

// Whoever is given events of one connection alone, as the comment in deploy/nats.conf says, hears of
// no other.
func TestDeployedWatcherOfOneConnection(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it deploys crmbridge")
	forFiles(t, func(t *testing.T, file string) {
		d := deployWith(t, file, emulator.Options{Accounts: 1}, func(text string) string {
			all, one := `"$JS.API.CONSUMER.CREATE.CRM_EVENTS.>"`,
				`"$JS.API.CONSUMER.CREATE.CRM_EVENTS.*.crm.events.connections.*.acme"`
			if !strings.Contains(text, all) {
				t.Fatalf("%s has no %s", file, all)
			}
			return strings.ReplaceAll(text, all, one)
		}, nil)
		for args, want := range map[string]int{"--connection=acme": 0, "--connection=acme --kind=connected": 0,
			"--connection=globex": 1, "--kind=connected": 1, "": 1} {
			var out, diag bridgetest.Buffer
			status := run(append(strings.Fields("events watch --all --max=1 "+args), "--nats-url="+d.url("watcher"),
				"--nats-inbox-prefix="+inboxOf(file, "watcher")), &out, &diag)
			if status != want || want != 0 && !strings.Contains(diag.String(), "Permissions Violation") {
				t.Errorf("%q: status %d: %s%s", args, status, &out, &diag)
			}
		}
	})
}
