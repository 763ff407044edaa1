package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// permitted is what each user may do, and has to be able to.
func permitted() []right {
	var all []right
	may := func(user, act string, do func(*deployed, *nats.Conn) outcome) {
		all = append(all, right{user: user, act: act, do: do})
	}
	only := func(file, user, act string, do func(*deployed, *nats.Conn) outcome) {
		all = append(all, right{user: user, act: act, do: do, only: file})
	}
	for _, user := range []string{"requester", "reader"} {
		for _, table := range messages.Tables() {
			may(user, table.Name+".search of acme", asks("crm."+table.Name+".search.request.acme", `{}`))
		}
	}
	for _, verb := range []string{"count", "fields", "changes"} {
		may("requester", "accounts."+verb+" of acme", asks("crm.accounts."+verb+".request.acme", `{}`))
	}
	may("requester", "users.whoami of acme", asks("crm.users.whoami.request.acme", `{}`))
	may("requester", "publishes a job of acme", asks("crm.contacts.search.job.acme.mine", `{"limit":2}`))
	may("requester", "publishes a job of users of acme", asks("crm.users.whoami.job.acme.who", `{}`))
	may("requester", "jobs.get of acme", asks("crm.jobs.get.request.acme", `{"job_id":"done-of-acme"}`))
	may("requester", "jobs.list of acme", asks("crm.jobs.list.request.acme", `{}`))
	may("requester", "jobs.results of acme", asks("crm.jobs.results.request.acme", `{"job_id":"done-of-acme","page":1}`))
	may("requester", "jobs.cancel of acme", asks("crm.jobs.cancel.request.acme", `{"job_id":"done-of-acme"}`))
	may("requester", "jobs.retry of acme", asks("crm.jobs.retry.request.acme", `{"job_id":"dead-of-acme"}`))
	may("requester", "hears of its jobs' progress", hearsOf("crm.state.acme.*", "crm.users.whoami.job.acme.heard"))
	only(bridgetest.NATSFile, "requester", "is answered on campaigns.replies", answeredOn("campaigns.replies.one"))
	only(bridgetest.AccountsFile, "requester", "is answered on an inbox of every client's", answeredOn("_INBOX.x.y"))

	only(bridgetest.NATSFile, "reader", "makes its consumer acme-reader again", asks(
		"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.acme.*", `{"stream_name":"CRM_RESULTS","config":
		{"name":"acme-reader","durable_name":"acme-reader","filter_subject":"crm.results.acme.*","ack_policy":"explicit"}}`))
	may("reader", "looks at its consumer", asks("$JS.API.CONSUMER.INFO.CRM_RESULTS.acme-reader", ""))
	may("reader", "pulls and acknowledges by its consumer", pulls("acme-reader"))

	may("administrator", "connections.list", asks("crm.connections.list.request", `{}`))
	may("administrator", "connections.get of acme", asks("crm.connections.get.request.acme", `{}`))
	may("administrator", "connections.check of acme", asks("crm.connections.check.request.acme", `{}`))
	may("administrator", "connections.authorize and delete", func(d *deployed, nc *nats.Conn) outcome {
		d.stateOf("short")
		return asks("crm.connections.delete.request.short", `{}`)(d, nc)
	})
	may("administrator", "accounts.search of globex", asks("crm.accounts.search.request.globex", `{}`))
	may("administrator", "users.whoami of globex", asks("crm.users.whoami.request.globex", `{}`))
	may("administrator", "jobs.list of everybody", asks("crm.jobs.list.request", `{}`))
	may("administrator", "jobs.get of globex", asks("crm.jobs.get.request.globex", `{"job_id":"done-of-globex"}`))
	may("administrator", "hears of events", hearsEvents)
	may("administrator", "makes and removes a reader's consumer", makesConsumer)
	may("administrator", "looks at a stream", asks("$JS.API.STREAM.INFO.CRM_RESULTS", ""))
	for _, user := range []string{"administrator", "operator"} {
		for _, verb := range []string{"PING", "INFO", "STATS"} {
			may(user, "$SRV."+verb, asks("$SRV."+verb+".crmbridge", ""))
		}
	}
	may("operator", "hears of events", hearsEvents)
	may("watcher", "reads and acknowledges an event by a consumer of its own", watches)
	may("watcher", "looks at the stream of events", asks("$JS.API.STREAM.INFO.CRM_EVENTS", ""))
	may("watcher", "reads an event by its number", asks("$JS.API.STREAM.MSG.GET.CRM_EVENTS", `{"seq":1}`))
	limits := publishes
	if serves("connections.limits") {
		limits = asks
	}
	may("operator", "connections.limits of acme", limits("crm.connections.limits.request.acme", `{}`))
	return all
}

// hearsOf subscribes, publishes a job, and has to hear of it.
func hearsOf(subject, job string) func(*deployed, *nats.Conn) outcome {
	return func(d *deployed, nc *nats.Conn) outcome {
		sub, err := nc.SubscribeSync(subject)
		if err := errors.Join(err, hurried(nc)); err != nil {
			return refused(natsWords(err))
		}
		if have := asks(job, `{}`)(d, nc); have.refused {
			return have
		}
		if _, err := sub.NextMsg(quick); err != nil {
			return refused(err.Error())
		}
		return allowed("heard")
	}
}

// answeredOn asks with a reply subject of the requester's own.
func answeredOn(subject string) func(*deployed, *nats.Conn) outcome {
	return func(_ *deployed, nc *nats.Conn) outcome {
		sub, err := nc.SubscribeSync(subject)
		if err == nil {
			err = nc.PublishRequest("crm.users.whoami.request.acme", subject, []byte(`{}`))
		}
		if err := errors.Join(err, hurried(nc)); err != nil {
			return refused(natsWords(err))
		}
		reply, err := sub.NextMsg(quick)
		if err != nil {
			return refused(err.Error())
		}
		return answered(reply)
	}
}

// hearsEvents has to hear of a connection that goes.
func hearsEvents(d *deployed, nc *nats.Conn) outcome {
	sub, err := nc.SubscribeSync("crm.events.>")
	if err := errors.Join(err, hurried(nc)); err != nil {
		return refused(natsWords(err))
	}
	d.stateOf("goes")
	d.ask("administrator", "crm.connections.delete.request.goes", `{}`)
	msg, err := sub.NextMsg(quick)
	if err != nil {
		return refused(err.Error())
	}
	return allowed("heard " + msg.Subject)
}

// pulls reads a page by a consumer and acknowledges it.
func pulls(consumer string) func(*deployed, *nats.Conn) outcome {
	return func(_ *deployed, nc *nats.Conn) outcome {
		inbox, err := nc.SubscribeSync(nc.NewInbox())
		if err == nil {
			err = nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS."+consumer, inbox.Subject,
				[]byte(`{"batch":1,"expires":9000000000}`))
		}
		if err := errors.Join(err, hurried(nc)); err != nil {
			return refused(natsWords(err))
		}
		page, err := inbox.NextMsg(quick)
		if err != nil {
			return refused(err.Error())
		}
		if page.Header.Get(messages.HeaderPage) == "" {
			return refused(fmt.Sprintf("no page: %v", page.Header))
		}
		if _, err := nc.Request(page.Reply, []byte("+ACK"), quick); err != nil {
			return refused("acknowledge: " + err.Error())
		}
		return allowed("a page of " + page.Subject[:strings.LastIndexByte(page.Subject, '.')])
	}
}

// makesConsumer makes a consumer for a reader, as nats consumer add does, and removes it.
func makesConsumer(d *deployed, nc *nats.Conn) outcome {
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.CreateOrUpdateConsumer(d.t.Context(), messages.ResultsStream, jetstream.ConsumerConfig{
			Durable: "short-reader", FilterSubject: "crm.results.short.*", InactiveThreshold: time.Minute})
	}
	if err == nil {
		err = js.DeleteConsumer(d.t.Context(), messages.ResultsStream, "short-reader")
	}
	if err != nil {
		return refused(err.Error())
	}
	return allowed("made and removed")
}
