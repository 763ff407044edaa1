package messages

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// asyncAPIVersion is the version of the specification that the document follows.
const asyncAPIVersion = "3.0.0"

// An object is a JSON object whose members are written in the order of their names, so that the
// same deployment has the same document.
type object = map[string]any

// AsyncAPI describes both lanes of a deployment that serves these tables as an AsyncAPI 3.0.0
// document in JSON: requests with their replies, jobs with their results, records and dead
// letters, and events. It is written from crmbridge's side: it receives requests and sends
// results. version is that of the program.
//
// A reply goes to the NATS reply subject of its request, which is neither a header nor part of the
// body: the channel of replies has no address.
//
// With operations only those are described, and what belongs to them. It fails for one that is none
// of the deployment's.
func AsyncAPI(tables []Table, version string, of ...Operation) ([]byte, error) {
	d := asyncAPI{tables: tables, channels: object{}, operations: object{}, messages: object{}, schemas: object{}}
	if len(of) == 0 {
		of = Operations(tables)
	}
	if err := d.build(of); err != nil {
		return nil, err
	}
	d.prune()
	return json.MarshalIndent(struct {
		AsyncAPI    string `json:"asyncapi"`
		ID          string `json:"id"`
		Info        object `json:"info"`
		ContentType string `json:"defaultContentType"`
		Servers     object `json:"servers"`
		Channels    object `json:"channels"`
		Operations  object `json:"operations"`
		Components  object `json:"components"`
	}{
		AsyncAPI: asyncAPIVersion, ID: "urn:crmbridge", ContentType: "application/json",
		Info: object{"title": "crmbridge", "version": version,
			"description": "Requests for " + strings.Join(TableNames(tables), ", ") + " and users of customers' " +
				"Dynamics 365 (Dataverse) environments over NATS, as requests with replies or as durable jobs.",
			"license": object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
			"contact": object{"name": "crmbridge", "url": "https://github.com/crmbridge/crmbridge"}},
		Servers: object{"nats": object{"host": "127.0.0.1:4222", "protocol": "nats",
			"description": "The NATS server that requesters and crmbridge share (NATS_URL)."}},
		Channels: d.channels, Operations: d.operations,
		Components: object{"messages": d.messages, "schemas": d.schemas},
	}, "", "  ")
}

// asyncAPI is the document while it is made.
type asyncAPI struct {
	tables                                  []Table
	channels, operations, messages, schemas object
	shared                                  []sharedSchema
	results                                 []string // names of the messages of results
	jobs                                    []any    // schemas of jobs
}

// ref points to a part of the document.
func ref(path ...string) object { return object{"$ref": "#/" + strings.Join(path, "/")} }

// refs point to messages of a channel.
func refs(channel string, messages []string) []object {
	of := make([]object, 0, len(messages))
	for _, message := range messages {
		of = append(of, ref("channels", channel, "messages", message))
	}
	return of
}

func (d *asyncAPI) build(of []Operation) error {
	if err := d.share(); err != nil {
		return err
	}
	d.headers()
	d.message("error", "Error", "What a request that failed is answered with.", "ErrorHeaders",
		ref("components", "schemas", "ErrorReply"), exampleError())
	for _, op := range of {
		if err := d.requests(op); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		if op.MayBeJob(d.tables) {
			if err := d.job(op); err != nil {
				return fmt.Errorf("%s as a job: %w", op, err)
			}
		}
	}
	return d.streams()
}

// message adds a message under a name.
func (d *asyncAPI) message(name, title, summary, headers string, payload any, examples ...object) {
	message := object{"name": name, "title": title, "contentType": "application/json", "payload": payload,
		"headers": ref("components", "schemas", headers)}
	if summary != "" {
		message["summary"] = summary
	}
	if len(examples) > 0 {
		message["examples"] = examples
	}
	d.messages[name] = message
}

// channel adds a channel with messages; address is nil where it is the reply subject.
func (d *asyncAPI) channel(name string, address any, description string, messages ...string) {
	of := object{}
	for _, message := range messages {
		of[message] = ref("components", "messages", message)
	}
	channel := object{"address": address, "description": description, "messages": of}
	if text, ok := address.(string); ok {
		parameters := object{}
		for name, description := range parameterTexts {
			if strings.Contains(text, "{"+name+"}") {
				parameters[name] = object{"description": description}
			}
		}
		if kind, ok := parameters["kind"].(object); ok {
			kind["enum"] = []string{EventConnected, EventDeleted, EventReauthorizationRequired}
		}
		if len(parameters) > 0 {
			channel["parameters"] = parameters
		}
	}
	d.channels[name] = channel
}

var parameterTexts = map[string]string{
	"connection": "Id of the connection: 1 to 64 letters, digits, underscores and hyphens.",
	"job_id":     "Id of the job, chosen by the requester: 1 to 64 letters, digits, underscores and hyphens.",
	"kind":       "What happened to the connection.",
}

// operation adds what crmbridge does with the messages of a channel.
func (d *asyncAPI) operation(name, action, channel, summary string, more object, messages ...string) {
	operation := object{"action": action, "channel": ref("channels", channel), "summary": summary,
		"messages": refs(channel, messages)}
	for member, value := range more {
		operation[member] = value
	}
	d.operations[name] = operation
}

// requests adds an operation of the interactive lane.
func (d *asyncAPI) requests(op Operation) error {
	bodies, table := op.bodies(d.tables)
	if bodies.request == nil {
		return errors.New("there is no such operation")
	}
	request, reply := string(op)+".request", string(op)+".reply"
	in, err := d.body(bodies.request, table)
	if err != nil {
		return err
	}
	out, err := d.body(bodies.reply, table)
	if err != nil {
		return err
	}
	examples := examplesOf(op, table)
	d.message(request, "Request of "+string(op), "", "RequestHeaders", in, examples.request())
	plain := d.plain(op, in, examples)
	replies, headers, example := []string{reply, "error"}, "ReplyHeaders", examples.reply()
	if op == JobsResults { // a stored message, which may be the error that ended the job
		replies, headers, example = append(replies, "job-error"), "StoredHeaders", examples.result()
		d.jobError()
	}
	d.message(reply, "Reply of "+string(op), "", headers, out, example)
	d.channel(reply, nil, "The reply subject of the request.", replies...)
	answer := object{"channel": ref("channels", reply), "messages": refs(reply, replies)}
	binding := object{"nats": object{"queue": QueueGroup, "bindingVersion": "0.1.0"}}
	for _, lane := range []struct{ name, address, description, message string }{
		{string(op), op.Subject(), "Requests that name their connection in the body, where they need one.", plain},
		{string(op) + ".scoped", op.ScopedSubject("{connection}"), "Requests for the connection in the subject.", request},
	} {
		d.channel(lane.name+".request", lane.address, lane.description, lane.message)
		d.operation(lane.name, "receive", lane.name+".request", op.Summary(d.tables),
			object{"reply": answer, "bindings": binding}, lane.message)
	}
	return nil
}

// plain adds the message of an operation's plain subject, where the body must name the connection,
// and returns its name. It is that of the scoped subject where none need be named.
func (d *asyncAPI) plain(op Operation, body object, examples examples) string {
	if op.anyConnection() {
		return string(op) + ".request"
	}
	name := string(op) + ".plain.request"
	named := object{"type": "object", "required": []string{"connection"},
		"properties": object{"connection": object{"type": "string", "minLength": 1}}}
	d.message(name, "Request of "+string(op)+" that names its connection", "", "RequestHeaders",
		object{"title": titleOf(string(op)) + " with its connection", "allOf": []any{body, named}}, examples.request())
	return name
}

// anyConnection reports whether the operation may be asked for no connection in particular.
func (op Operation) anyConnection() bool {
	return op == ConnectionsList || op == ConnectionsComplete || op == JobsList
}

// job adds an operation of the durable lane.
func (d *asyncAPI) job(op Operation) error {
	bodies, table := op.bodies(d.tables)
	schema, err := op.jobSchema(d.tables)
	if err != nil {
		return err
	}
	name, result := string(op)+".job", string(op)+".result"
	form, err := plain(schema)
	if err != nil {
		return err
	}
	payload := d.put(componentName(bodies.request, table)+"AsJob", form)
	d.jobs = append(d.jobs, payload)
	examples := examplesOf(op, table)
	d.message(name, "Job of "+string(op), "", "JobHeaders", payload, examples.request())
	d.message(result, "Result of a job of "+string(op), "", "ResultHeaders",
		ref("components", "schemas", componentName(bodies.reply, table)), examples.result())
	d.results = append(d.results, result)
	d.channel(name, op.JobSubject("{connection}", "{job_id}"),
		"Jobs. Publish through JetStream and wait for its acknowledgement; a job id runs once.", name)
	d.operation(name, "receive", name, op.Summary(d.tables)+" As a durable job.", nil, name)
	return nil
}

// streams adds what crmbridge publishes without having been asked for it.
func (d *asyncAPI) streams() error {
	for _, body := range []reflect.Type{reflect.TypeFor[JobRecord](), reflect.TypeFor[ConnectionEvent]()} {
		if _, err := d.body(body, nil); err != nil {
			return err
		}
	}
	d.message("event", "Event of a connection", "", "EventHeaders", ref("components", "schemas", "ConnectionEvent"),
		exampleEvent())
	streams := []outgoing{{"events", EventSubject("{kind}", "{connection}"),
		"What happens to connections, in " + EventsStream + ".", []string{"event"}}}
	if len(d.jobs) > 0 {
		streams = append(streams, d.ofJobs()...)
	}
	for _, stream := range streams {
		d.channel(stream.name, stream.address, stream.description, stream.messages...)
		d.operation(stream.name, "send", stream.name, stream.description, nil, stream.messages...)
	}
	return nil
}

// outgoing is a channel that crmbridge publishes to.
type outgoing struct {
	name, address, description string
	messages                   []string
}

// jobError adds the message that ends a job which failed.
func (d *asyncAPI) jobError() {
	d.message("job-error", "Error that ends a job", "", "ResultErrorHeaders", ref("components", "schemas", "ErrorReply"),
		exampleJobError())
}

// ofJobs are the channels of jobs.
func (d *asyncAPI) ofJobs() []outgoing {
	d.jobError()
	d.message("record", "Record of a job", "Where a job stands. One comes when the job is claimed, every 5 s while it "+
		"runs, and when it ends.", "RecordHeaders", ref("components", "schemas", "JobRecord"), exampleRecord())
	refused, _ := plain(anyValue()) // of a value that can be written
	refused["title"], refused["description"] = "Refused", "Of a job whose body is invalid_request: whatever was sent."
	d.message("dead-letter", "Dead letter", "The body of a job that failed for good, as it was sent.", "DeadLetterHeaders",
		object{"title": "Dead letter", "anyOf": append(slices.Clone(d.jobs), any(refused))})
	return []outgoing{
		{"results", ResultSubject("{connection}", "{job_id}"),
			"The results of a job, in " + ResultsStream + ": pages numbered from 1, the last one marked.",
			append(slices.Clone(d.results), "job-error")},
		{"records", StateSubject("{connection}", "{job_id}"), "The record of a job, in " + StateStream + ".",
			[]string{"record"}},
		{"dead-letters", DeadSubject("{connection}", "{job_id}"), "Jobs that failed for good, in " + DeadStream + ".",
			[]string{"dead-letter"}},
	}
}
