package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// The connections, each with a user of its own: what Dataverse does to a user, it does to all of
// his connections.
var users = map[string]string{
	"acme":  "tomas.ferreira@contoso.example", // whom nothing happens to
	"busy":  "grace.okonkwo@contoso.example",
	"crawl": "marta.nowak@contoso.example",
	"gone":  "misaki.tanaka@contoso.example",
	"late":  "lukasz.zak@contoso.example",
	"stuck": "leila.haddad@contoso.example",
	"flood": "noa.levi@contoso.example",
}

// appConnection is made without a person.
const appConnection = "app"

type object = map[string]any

// An answer is the last message of one.
type answer struct {
	code string // of the error, or ""
	body []byte
}

// ask sends a request and waits for its answer. connection may be "".
func (w *world) ask(operation, connection string, body object) (answer, error) {
	subject := "crm." + operation + ".request"
	if connection != "" {
		subject += "." + connection
	}
	if body == nil {
		body = object{}
	}
	msg := &nats.Msg{Subject: subject, Data: encode(w.t, body)}
	reply, err := w.nc.RequestMsg(msg, 20*time.Second)
	if err != nil {
		return answer{}, fmt.Errorf("%s of %q: %w", operation, connection, err)
	}
	return answer{reply.Header.Get("Crm-Error-Code"), reply.Data}, nil
}

// want asks, and reads the answer, which must be none but one without an error.
func (w *world) want(operation, connection string, body object, into any) error {
	got, err := w.ask(operation, connection, body)
	if err != nil {
		return err
	}
	if got.code != "" {
		return fmt.Errorf("%s of %q: %s", operation, connection, got.body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(got.body, into)
}

// connect makes a connection, again perhaps, as an application does that owns the redirect.
func (w *world) connect(connection string) error {
	var begun struct {
		URL   string `json:"authorization_url"`
		State string
	}
	asked := object{"environment_url": w.emulator, "login_hint": users[connection]}
	if err := w.want("connections.authorize", connection, asked, &begun); err != nil {
		return err
	}
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := stay.Get(begun.URL)
	if err != nil {
		return errors.New("the sign-in does not answer") // the error quotes the address
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	back, err := url.Parse(response.Header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		return fmt.Errorf("the sign-in ends with %s", response.Status)
	}
	return w.want("connections.complete", "", object{"state": begun.State, "code": back.Query().Get("code")}, nil)
}

// asItself asks for a connection that crmbridge makes as the application that it is.
func (w *world) asItself() object {
	return object{"environment_url": w.emulator, "grant": "client_credentials"}
}

// publish publishes a job.
func (w *world) publish(operation, connection, id string, body object) error {
	ack, err := w.nc.Request("crm."+operation+".job."+connection+"."+id, encode(w.t, body), 30*time.Second)
	if err != nil {
		return err
	}
	if !strings.Contains(string(ack.Data), `"seq"`) {
		return fmt.Errorf("the job is not stored: %s", ack.Data)
	}
	return nil
}

// state is what jobs.get says of a job.
func (w *world) state(connection, id string) (string, error) {
	var got struct{ Job struct{ State string } }
	err := w.want("jobs.get", connection, object{"job_id": id}, &got)
	return got.Job.State, err
}

// awaitJob waits until a job is in a state.
func (w *world) awaitJob(connection, id, state string) error {
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		got, err := w.state(connection, id)
		if err == nil && got == state {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("job %s of %s is %s, not %s (%v)", id, connection, got, state, err)
		}
	}
}

// account is the id of some account.
func (w *world) account() (string, error) {
	var page struct{ Accounts []struct{ ID string } }
	if err := w.want("accounts.search", "acme", object{"fields": []string{"id"}, "page_size": 1}, &page); err != nil {
		return "", err
	}
	if len(page.Accounts) == 0 {
		return "", errors.New("no account was found")
	}
	return page.Accounts[0].ID, nil
}

// everything is one of each request that users of crmbridge make, a job and its results among them.
// n makes ids.
func (w *world) everything(n int) error {
	account, err := w.account()
	if err != nil {
		return err
	}
	var me struct {
		UserID string `json:"user_id"`
	}
	if err := w.want("users.whoami", "acme", nil, &me); err != nil {
		return err
	}
	london := object{"field": "city", "op": "eq", "value": "London"}
	var changes struct {
		Cursor string `json:"next_cursor"`
	}
	if err := w.want("accounts.changes", "acme", object{"fields": []string{"name"}}, &changes); err != nil {
		return err
	}
	for _, one := range []struct {
		operation, connection string
		body                  object
	}{
		{"accounts.search", "acme", object{"where": london, "fields": []string{"name"}, "order_by": []string{"name"}}},
		{"accounts.get", "acme", object{"account_id": account}},
		{"accounts.count", "acme", object{"where": london}},
		{"accounts.fields", "acme", nil},
		{"contacts.search", "busy", object{"page_size": 10}},
		{"leads.search", "busy", object{"page_size": 10}},
		{"opportunities.search", "crawl", object{"page_size": 10}},
		{"users.get", "acme", object{"user_id": me.UserID}},
		{"users.whoami", "gone", nil},
		{"users.whoami", "late", nil},
		{"users.whoami", "stuck", nil},
		{"users.whoami", "flood", nil},
		{"connections.get", "acme", nil},
		{"connections.limits", "acme", nil},
		{"connections.check", "acme", nil},
		{"connections.list", "", nil},
		{"connections.authorize", appConnection, w.asItself()},
	} {
		if err := w.want(one.operation, one.connection, one.body, nil); err != nil {
			return err
		}
	}
	job := fmt.Sprintf("job-%d", n)
	if err := w.publish("accounts.search", "acme", job, object{"fields": []string{"id", "name"}}); err != nil {
		return err
	}
	if err := w.awaitJob("acme", job, "done"); err != nil {
		return err
	}
	for _, one := range []struct {
		operation string
		body      object
	}{
		{"jobs.results", object{"job_id": job, "page": 1}}, {"jobs.list", nil}, {"jobs.delete", object{"job_id": job}},
	} {
		if err := w.want(one.operation, "acme", one.body, nil); err != nil {
			return err
		}
	}
	return nil
}

// repeat does something again and again, with a pause of so long, in as many goroutines as many.
// stop waits for them.
func repeat(many int, pause time.Duration, what func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range many {
		running.Go(func() {
			for ctx.Err() == nil {
				what()
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	return func() { cancel(); running.Wait() }
}
