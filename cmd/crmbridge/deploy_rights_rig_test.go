package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// shippedFiles are the configurations of NATS that are shipped.
var shippedFiles = []string{bridgetest.NATSFile, bridgetest.AccountsFile}

// requesterOf is the user of a file that may use the connection acme only.
func requesterOf(file string) string {
	if file == bridgetest.AccountsFile {
		return "acme"
	}
	return "campaigns"
}

// inboxOf is the inbox prefix of a user, as deploy/README.md gives it; empty is that of every
// client, which tenants with an account of their own keep.
func inboxOf(file, user string) string {
	switch {
	case file == bridgetest.AccountsFile && (user == "acme" || user == "globex"):
		return ""
	case user == "administrator":
		return "_INBOX.administrators"
	case user == "globex_reader":
		return "_INBOX.reader"
	}
	return "_INBOX." + user
}

// A deployed is a shipped configuration with a crmbridge and the connections acme and globex.
type deployed struct {
	*bridgetest.World
	t      testing.TB
	file   string
	port   int
	server *server.Server
	admin  string // the address of crmbridge's metrics and readiness
	log    *bridgetest.Buffer
}

// deployWith starts it; change, where it is not nil, changes the configuration of NATS before,
// and settings those of crmbridge.
func deployWith(t testing.TB, file string, options emulator.Options, change func(string) string,
	settings func(*bridge.Settings)) *deployed {
	t.Helper()
	d := &deployed{World: bridgetest.New(t, options), t: t, file: file, port: bridgetest.Port(t),
		log: &bridgetest.Buffer{}}
	d.server = bridgetest.Deployed(t, d.port, file, change)
	s := d.Settings(true)
	s.URL, s.Tables = d.url("crmbridge"), "accounts,contacts,leads,opportunities"
	if settings != nil {
		settings(&s)
	}
	d.admin = "http://" + s.AdminAddr
	d.Bridge(s, d.log)
	administrator := messages.NewClient(d.as("administrator"))
	for _, connection := range []string{"acme", "globex"} {
		if err := signin.Connect(t.Context(), administrator, connection, d.EmulatorURL, emulator.DefaultUser); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *deployed) url(user string) string {
	return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, d.port)
}

// as is a connection of a user, with the inboxes that it may have.
func (d *deployed) as(user string) *nats.Conn {
	d.t.Helper()
	options := []nats.Option{nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ReconnectWait(50 * time.Millisecond), nats.MaxReconnects(-1), nats.Name(user)}
	if prefix := inboxOf(d.file, user); prefix != "" {
		options = append(options, nats.CustomInboxPrefix(prefix))
	}
	nc, err := nats.Connect(d.url(user), options...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(nc.Close)
	return nc
}

// ask is an answer to a user that has to have one.
func (d *deployed) ask(user, subject, body string) (reply map[string]any) {
	d.t.Helper()
	nc := d.as(user)
	defer nc.Close()
	msg, err := nc.Request(subject, []byte(body), time.Minute)
	if err == nil {
		err = json.Unmarshal(msg.Data, &reply)
	}
	if err == nil && reply["error"] != nil {
		err = fmt.Errorf("%v", reply["error"])
	}
	if err != nil {
		d.t.Fatalf("%s: %s: %v", user, subject, err)
	}
	return reply
}

// metric is the sum of a family's samples.
func (d *deployed) metric(name string) (sum float64) {
	d.t.Helper()
	response, err := http.Get(d.admin + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(text), "\n"+name) {
		d.t.Fatalf("%s has no %s: %v", response.Request.URL, name, err)
	}
	for line := range strings.Lines(string(text)) {
		var value float64
		if rest, ok := strings.CutPrefix(line, name); ok {
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &value); err != nil {
				d.t.Fatalf("%q: %v", line, err)
			}
			sum += value
		}
	}
	return sum
}

// stored counts what each stream holds, by subject.
func (d *deployed) stored() map[string]uint64 {
	d.t.Helper()
	js, err := jetstream.New(d.as("crmbridge"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer js.Conn().Close()
	all := map[string]uint64{}
	for _, name := range []string{messages.JobsStream, messages.ResultsStream, messages.StateStream,
		messages.DeadStream, messages.EventsStream} {
		stream, err := js.Stream(d.t.Context(), name)
		if err != nil {
			d.t.Fatal(err)
		}
		info, err := stream.Info(d.t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			d.t.Fatal(err)
		}
		for subject, n := range info.State.Subjects {
			all[name+" "+subject] += n
		}
	}
	return all
}

// An outcome is what came of an act: whether it was refused, and who said so and how.
type outcome struct {
	refused bool
	said    string
}

func allowed(said string) outcome { return outcome{false, said} }
func refused(said string) outcome { return outcome{true, said} }

// quick bounds the wait for an answer: a refusal is there within milliseconds.
const quick = 30 * time.Second

// hurried is what the server says to a connection about what it was sent: nil where it
// objects to nothing.
func hurried(nc *nats.Conn) error {
	if err := nc.FlushTimeout(quick); err != nil {
		return err
	}
	return nc.LastError()
}

// publishes is the outcome of a message. Where the server says nothing it is allowed.
func publishes(subject, body string) func(*deployed, *nats.Conn) outcome {
	return func(_ *deployed, nc *nats.Conn) outcome {
		if err := errors.Join(nc.Publish(subject, []byte(body)), hurried(nc)); err != nil {
			return refused(natsWords(err))
		}
		return allowed("NATS takes it")
	}
}

// hears is the outcome of a subscription, in a queue group where one is given.
func hears(subject string, queue ...string) func(*deployed, *nats.Conn) outcome {
	return func(_ *deployed, nc *nats.Conn) outcome {
		var err error
		if len(queue) > 0 {
			_, err = nc.QueueSubscribeSync(subject, queue[0])
		} else {
			_, err = nc.SubscribeSync(subject)
		}
		if err := errors.Join(err, hurried(nc)); err != nil {
			return refused(natsWords(err))
		}
		return allowed("NATS takes it")
	}
}

// asks is the outcome of a request: an error of the server, of JetStream or of crmbridge is a
// refusal, and no answer at all is neither.
func asks(subject, body string) func(*deployed, *nats.Conn) outcome {
	return asksFor(func(*deployed) (string, string) { return subject, body })
}

// asksFor is asks with what stands in the deployment, such as a cursor.
func asksFor(what func(*deployed) (subject, body string)) func(*deployed, *nats.Conn) outcome {
	return func(d *deployed, nc *nats.Conn) outcome {
		subject, body := what(d)
		inbox, err := nc.SubscribeSync(nc.NewInbox())
		if err == nil {
			err = nc.PublishRequest(subject, inbox.Subject, []byte(body))
		}
		if err := errors.Join(err, hurried(nc)); err != nil {
			return refused(natsWords(err))
		}
		reply, err := inbox.NextMsg(quick)
		if err != nil {
			d.t.Errorf("%s is neither refused nor answered: %v", subject, err)
			return outcome{}
		}
		return answered(reply)
	}
}

// answered is the outcome of an answer.
func answered(reply *nats.Msg) outcome {
	status, code := reply.Header.Get("Status"), reply.Header.Get(messages.HeaderErrorCode)
	var body struct {
		Error struct {
			Code        any    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Message     string `json:"message"`
			Description string `json:"description"`
		} `json:"error"`
	}
	_ = json.Unmarshal(reply.Data, &body) // what is no object has no error in it
	switch {
	case status == "503" && len(reply.Data) == 0:
		return refused("NATS: no responders")
	case code != "":
		return refused("crmbridge: " + code + ": " + body.Error.Message)
	case body.Error.ErrCode != 0:
		return refused(fmt.Sprintf("JetStream: %s (%d)", body.Error.Description, body.Error.ErrCode))
	case status != "":
		return allowed("JetStream: " + status + " " + reply.Header.Get("Description"))
	}
	return allowed("answered")
}

// answersTo is the outcome of a request, or a job, with a reply subject that is not the
// requester's: it is refused where nothing came of it.
func answersTo(subject, reply string) func(*deployed, *nats.Conn) outcome {
	return func(d *deployed, nc *nats.Conn) outcome {
		before := d.stored()
		counted, executed := d.metric("crmbridge_refused_reply_subjects_total"), d.metric("crmbridge_requests_total")
		err := errors.Join(nc.PublishRequest(subject, reply, []byte(`{}`)), hurried(nc))
		if err != nil {
			return refused(natsWords(err))
		}
		said := "crmbridge: not executed, and counted (crmbridge_refused_reply_subjects_total)"
		switch {
		case strings.Contains(subject, ".job."):
			// The server acknowledges this job before it takes the next one.
			said = "NATS: the acknowledgement is no request that JetStream takes (strict)"
			if d.file == bridgetest.AccountsFile {
				said = "NATS: the acknowledgement stays in the tenant's account"
			}
			if _, err := nc.Request(subject+"-behind", []byte(`{}`), quick); err != nil {
				d.t.Errorf("publish a job: %v", err)
			}
		case d.file == bridgetest.AccountsFile: // where reply subjects show as _R_
			said = "NATS: the answer stays in the tenant's account"
			bridgetest.Await(d.t, "an answer", func() error {
				if d.metric("crmbridge_requests_total") == executed {
					return errors.New("there is none")
				}
				return nil
			})
		default:
			bridgetest.Await(d.t, "the count of a refused reply subject", func() error {
				if d.metric("crmbridge_refused_reply_subjects_total") == counted {
					return errors.New("it has not grown")
				}
				return nil
			})
		}
		after := d.stored()
		for where, n := range before {
			if strings.Contains(where, ".globex.") && after[where] < n {
				return allowed("of " + where + " messages are gone")
			}
		}
		for where := range after {
			if strings.HasSuffix(where, " "+reply) {
				return allowed("it was stored as " + where)
			}
		}
		return refused(said)
	}
}

// natsWords is a refusal of the server, without what its client adds.
func natsWords(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return "NATS: " + strings.TrimPrefix(text, "nats: permissions violation: ")
}

// ended waits for the end of a job.
func (d *deployed) ended(connection, id string) map[string]any {
	d.t.Helper()
	var job map[string]any
	bridgetest.Await(d.t, "the end of job "+id, func() error {
		job, _ = d.ask("administrator", "crm.jobs.get.request."+connection,
			fmt.Sprintf(`{"job_id":%q}`, id))["job"].(map[string]any)
		if state, _ := job["state"].(string); !slices.Contains([]string{"done", "failed", "cancelled"}, state) {
			return fmt.Errorf("it is %v", state)
		}
		return nil
	})
	return job
}

// accepted publishes a job as a user who has to be able to, once there is a stream for it.
func (d *deployed) accepted(user, subject, body string) {
	d.t.Helper()
	nc := d.as(user)
	defer nc.Close()
	bridgetest.Await(d.t, "an accepted job", func() error {
		_, err := nc.Request(subject, []byte(body), 10*time.Second)
		return err
	})
}
