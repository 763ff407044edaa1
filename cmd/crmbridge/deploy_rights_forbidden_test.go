package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

const (
	noPublish   = "NATS: Permissions Violation for Publish to "
	noSubscribe = "NATS: Permissions Violation for Subscription to "
)

// forbidden is what users try that is not their business.
func (d *deployed) forbidden() []right {
	var all []right
	add := func(user, act, says string, do func(*deployed, *nats.Conn) outcome) {
		all = append(all, right{user: user, act: act, do: do, says: says})
	}
	only := func(file, user, act, says string, do func(*deployed, *nats.Conn) outcome) {
		all = append(all, right{user: user, act: act, do: do, says: says, only: file})
	}
	// publish and listen name the subject in the table and in the server's refusal.
	publish := func(user, what, subject string) {
		add(user, what+": "+subject, noPublish+`"`+subject+`"`, publishes(subject, `{}`))
	}
	listen := func(user, what, subject string) {
		add(user, what+": "+subject, noSubscribe+`"`+subject+`"`, hears(subject))
	}

	// Another's connection.
	for _, user := range []string{"requester", "reader"} {
		publish(user, "another's connection by subject", "crm.accounts.search.request.globex")
		publish(user, "another's connection by the plain subject", "crm.accounts.search.request")
		add(user, "another's connection by body", "invalid_request: ",
			asks("crm.accounts.search.request.acme", `{"connection":"globex"}`))
		add(user, "another's connection by cursor", "invalid_request: ", asksFor(func(d *deployed) (string, string) {
			return "crm.accounts.search.request.acme", fmt.Sprintf(`{"cursor":%q}`, d.cursorOf("globex"))
		}))
		publish(user, "a job of another", "crm.accounts.search.job.globex.x")
		publish(user, "jobs of another", "crm.jobs.get.request.globex")
		publish(user, "everybody's jobs", "crm.jobs.list.request")
		for _, op := range []string{"get", "cancel", "retry"} {
			add(user, "jobs."+op+" of its connection with another's job id", "not_found: ",
				asks("crm.jobs."+op+".request.acme", `{"job_id":"done-of-globex"}`))
		}
		add(user, "jobs.delete of its connection with another's job id", "deleted: false", deletesAnothers)
		add(user, "jobs.results of its connection with another's job id", "not_found: ",
			asks("crm.jobs.results.request.acme", `{"job_id":"done-of-globex","page":1}`))
		listen(user, "another's progress", "crm.state.globex.*")
		listen(user, "everybody's progress", "crm.state.*.*")
	}

	// Its own connection, which is the administrators' to make and to remove: crm.*.*.request.acme.
	for _, op := range []string{"authorize", "complete", "get", "check", "delete", "limits"} {
		publish("requester", "connections."+op, "crm.connections."+op+".request.acme")
	}
	publish("requester", "connections.list", "crm.connections.list.request")
	publish("requester", "connections.delete as a job", "crm.connections.delete.job.acme.x")
	listen("requester", "requests by a pattern", "crm.*.*.request.acme")
	add("administrator", "another's connection by the state of a sign-in", "", asksFor(func(d *deployed) (string, string) {
		return "crm.connections.complete.request.acme", fmt.Sprintf(`{"state":%q,"code":"x"}`, d.stateOf("globex"))
	}))
	add("administrator", "a cursor of another connection", "invalid_request: ",
		asksFor(func(d *deployed) (string, string) {
			return "crm.accounts.search.request.globex", fmt.Sprintf(`{"cursor":%q}`, d.cursorOf("acme"))
		}))

	// What others are answered, and what is stored for them.
	for _, user := range []string{"requester", "reader", "operator", "administrator", "watcher"} {
		listen(user, "another's results", "crm.results.globex.*")
		listen(user, "dead letters", "crm.dead.>")
		listen(user, "jobs", "crm.accounts.*.job.*.*")
		listen(user, "everything", ">")
		publish(user, "into another's inbox", "_INBOX.somebody.x")
		publish(user, "an answer to an import", "_R_.x.y")
		for _, subject := range []string{"crm.events.connections.deleted.globex", "crm.results.acme.x",
			"crm.results.globex.x", "crm.state.globex.x", "crm.dead.globex.x"} {
			publish(user, "publishes in crmbridge's place", subject)
		}
		for _, subject := range []string{"$SRV.PING", "$SRV.INFO.crmbridge", "$SRV.STATS.crmbridge.*"} {
			listen(user, "answers the services API as crmbridge", subject)
		}
		listen(user, "takes requests in crmbridge's place", "crm.accounts.search.request.acme")
		add(user, "takes requests in crmbridge's group", noSubscribe, hears("crm.users.whoami.request.*", "crmbridge"))
		for _, call := range []string{"STREAM.PURGE.CRM_RESULTS", "STREAM.DELETE.CRM_JOBS", "STREAM.CREATE.MINE",
			"STREAM.UPDATE.CRM_RESULTS", "STREAM.MSG.GET.CRM_RESULTS", "STREAM.MSG.DELETE.CRM_RESULTS",
			"STREAM.SNAPSHOT.CRM_RESULTS", "DIRECT.GET.CRM_RESULTS.crm.results.globex.done-of-globex",
			"DIRECT.GET.CRM_JOBS", "CONSUMER.MSG.NEXT.CRM_RESULTS.globex-reader",
			"CONSUMER.CREATE.CRM_JOBS.x.crm.accounts.search.job.acme.*",
			"CONSUMER.DURABLE.CREATE.CRM_RESULTS.globex-reader", "CONSUMER.DELETE.CRM_JOBS.x"} {
			publish(user, "JetStream", "$JS.API."+call)
		}
		publish(user, "acknowledges for another", "$JS.ACK.CRM_RESULTS.globex-reader.1.1.1.1.0")
		listen(user, "the server's own account", "$SYS.>")
	}
	for _, user := range []string{"requester", "reader", "operator", "watcher"} {
		for _, call := range []string{"CONSUMER.DELETE.CRM_RESULTS.globex-reader",
			"CONSUMER.CREATE.CRM_RESULTS.globex-reader.crm.results.globex.*", "CONSUMER.INFO.CRM_RESULTS.globex-reader",
			"CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.globex.*", "STREAM.INFO.CRM_RESULTS"} {
			publish(user, "JetStream", "$JS.API."+call)
		}
	}
	listen("requester", "its results, past jobs.results", "crm.results.acme.*")
	publish("requester", "a reader's consumer", "$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.acme-reader")
	for user, inboxes := range map[string][]string{
		"requester": {"reader", "administrators", "globex"}, "reader": {"campaigns", "administrators", "crmbridge"}, "watcher": {"crmbridge", "administrators", "campaigns", "operator"},
		"operator": {"administrators", "campaigns"}, "administrator": {"operator", "campaigns", "reader", "watcher"},
		"crmbridge": {"campaigns", "administrators", "reader", "operator", "watcher"}} {
		for _, inbox := range inboxes {
			subject := "_INBOX." + inbox + ".>"
			if user == "requester" && inbox != "reader" { // a tenant has all inboxes of its own account but one
				only(bridgetest.NATSFile, user, "reads another's inbox: "+subject, noSubscribe, hears(subject))
				continue
			}
			listen(user, "reads another's inbox", subject)
		}
	}
	only(bridgetest.NATSFile, "requester", "reads all inboxes: _INBOX.>", noSubscribe, hears("_INBOX.>"))
	only(bridgetest.AccountsFile, "requester", "reads others' answers by _INBOX.>", "heard none", hearsNoAnswers)
	only(bridgetest.AccountsFile, "requester", "reads the answers to imports: _R_.>", noSubscribe, hears("_R_.>"))

	// The reader's own consumer is for its connection alone.
	for what, config := range map[string]string{
		"another's filter": `"name":"acme-reader","durable_name":"acme-reader","filter_subject":"crm.results.globex.*"`,
		"no filter":        `"name":"acme-reader","durable_name":"acme-reader"`,
		"several filters":  `"name":"acme-reader","durable_name":"acme-reader","filter_subjects":["crm.results.globex.*"]`,
		"another's name":   `"name":"globex-reader","durable_name":"globex-reader","filter_subject":"crm.results.acme.*"`,
	} {
		only(bridgetest.NATSFile, "reader", "makes its consumer with "+what+" in the body", "JetStream: ", asks(
			"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.acme.*",
			`{"stream_name":"CRM_RESULTS","config":{`+config+`}}`))
	}
	only(bridgetest.AccountsFile, "reader", "makes a consumer, and says where it delivers", noPublish, publishes(
		"$JS.API.CONSUMER.CREATE.CRM_RESULTS.acme-reader.crm.results.acme.*", `{}`))

	// A reply subject that borrows somebody's rights to publish.
	for _, reply := range []string{"crm.results.globex.r", "crm.state.globex.r", "crm.events.connections.deleted.globex",
		"crm.accounts.search.job.globex.r", "crm.users.whoami.request.globex", "$JS.API.STREAM.PURGE.CRM_RESULTS",
		"$JS.API.STREAM.DELETE.CRM_DEAD"} {
		add("requester", "asks with the reply subject "+reply, "", answersTo("crm.users.whoami.request.acme", reply))
	}
	for i, reply := range []string{"$JS.API.STREAM.PURGE.CRM_RESULTS", "$JS.API.STREAM.DELETE.CRM_DEAD",
		"$JS.API.STREAM.MSG.DELETE.CRM_RESULTS"} {
		add("requester", "publishes a job with the reply subject "+reply, "",
			answersTo(fmt.Sprintf("crm.leads.nothing.job.acme.api-%d", i), reply))
	}
	for i, reply := range []string{"crm.results.globex.r", "crm.state.globex.r", "crm.accounts.search.job.globex.r"} {
		only(bridgetest.AccountsFile, "requester", "publishes a job with the reply subject "+reply, "",
			answersTo(fmt.Sprintf("crm.leads.nothing.job.acme.own-%d", i), reply))
	}
	add("requester", "asks with a reply subject of imports", "NATS: Permissions Violation for Publish with Reply",
		func(_ *deployed, nc *nats.Conn) outcome {
			err := errors.Join(nc.PublishRequest("crm.users.whoami.request.acme", "_R_.x.y", nil), hurried(nc))
			if err != nil {
				return refused(natsWords(err))
			}
			return allowed("NATS takes it")
		})

	d.forbiddenToWatcher(publish, listen)

	// Who watches, and crmbridge itself.
	for _, subject := range []string{"crm.accounts.search.request.acme", "crm.users.whoami.request.acme",
		"crm.connections.list.request", "crm.connections.get.request.acme", "crm.connections.delete.request.acme",
		"crm.connections.authorize.request.acme", "crm.jobs.list.request", "crm.jobs.results.request.acme",
		"crm.accounts.search.job.acme.x", "$JS.API.INFO"} {
		publish("operator", "more than to watch", subject)
	}
	listen("operator", "jobs' records", "crm.state.acme.*")
	for _, subject := range []string{"crm.accounts.search.request.acme", "crm.jobs.get.request.acme",
		"crm.connections.delete.request.acme", "crm.results.acme", "crm.events.other", "_INBOX.stranger.x",
		"$JS.API.STREAM.DELETE.CRM_EVENTS", "$JS.API.STREAM.DELETE.CRM_RESULTS", "$JS.API.STREAM.PURGE.CRM_EVENTS",
		"$JS.API.STREAM.UPDATE.CRM_RESULTS", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.MSG.DELETE.CRM_EVENTS",
		"$JS.API.CONSUMER.CREATE.CRM_RESULTS.x", "$JS.API.CONSUMER.MSG.NEXT.CRM_RESULTS.acme-reader"} {
		publish("crmbridge", "more than it needs", subject)
	}
	for _, subject := range []string{"crm.events.>", "crm.results.>", "crm.>", "_INBOX.>", ">"} {
		listen("crmbridge", "more than it needs", subject)
	}
	return all
}

// deletesAnothers removes another's job under its own connection: there is nothing to remove.
func deletesAnothers(d *deployed, nc *nats.Conn) outcome {
	reply, err := nc.Request("crm.jobs.delete.request.acme", []byte(`{"job_id":"done-of-globex"}`), quick)
	if err != nil {
		return refused(natsWords(err))
	}
	page := d.ask("administrator", "crm.jobs.results.request.globex", `{"job_id":"done-of-globex","page":1}`)
	if page["accounts"] == nil || !strings.Contains(string(reply.Data), `"deleted":false`) {
		return allowed(string(reply.Data))
	}
	return refused("crmbridge: deleted: false, and it is there")
}

// hearsNoAnswers listens on everything that looks like an inbox while others are answered: its
// own tenant's reader, the other tenant, and administrators.
func hearsNoAnswers(d *deployed, nc *nats.Conn) outcome {
	var heard atomic.Int64
	if _, err := nc.Subscribe("_INBOX.>", func(*nats.Msg) { heard.Add(1) }); err != nil {
		return refused(natsWords(err))
	}
	if err := hurried(nc); err != nil {
		return refused(natsWords(err))
	}
	d.ask("reader", "crm.users.whoami.request.acme", `{}`)
	d.ask("globex", "crm.users.whoami.request.globex", `{}`)
	d.ask("administrator", "crm.users.whoami.request.globex", `{}`)
	// What the server has sent before this answer has been heard before it.
	own := nc.NewInbox()
	if err := nc.PublishRequest("crm.users.whoami.request.acme", own, []byte(`{}`)); err != nil {
		return refused(natsWords(err))
	}
	for until := time.Now().Add(quick); heard.Load() == 0 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	if n := heard.Load(); n != 1 {
		return allowed(fmt.Sprintf("it heard %d messages, and one was its own", n))
	}
	return refused("NATS: it heard none of three answers, and its own")
}
