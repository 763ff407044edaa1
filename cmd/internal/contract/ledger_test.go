package contract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/cmd/internal/contract"
	"github.com/crmbridge/crmbridge/cmd/internal/natstap"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

func TestMain(m *testing.M) {
	// The decoder of results is kept for the life of the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/klauspost/compress/zstd.(*Decoder).startStreamDecoder"))
}

func document() (*contract.Document, error) { return contract.Of() }

const (
	countSubject = "crm.accounts.count.request.acme"
	count        = `{"request_id":"r","connection":"acme","count":7}`
	refused      = `{"request_id":"r","error":{"code":"invalid_request","message":"MESSAGE","retryable":false}}`
	ofReply      = "Crm-Request-Id: r"
	ofError      = "Crm-Request-Id: r, Crm-Error-Code: invalid_request, Nats-Service-Error-Code: 400, Nats-Service-Error: x"
	ofResult     = "Crm-Request-Id: r, Crm-Page: 1, Crm-Rows: 1, Crm-Last: true, Crm-Incarnation: i"
	ofJobError   = ofResult + ", Crm-Error-Code: invalid_request, Nats-Service-Error-Code: 400, Nats-Service-Error: x"
)

// A said thing is what somebody publishes: a requester, or crmbridge.
type said struct{ client, subject, reply, header, body string }

func (s said) message() natstap.Message {
	m := natstap.Message{Client: s.client, Subject: s.subject, Reply: s.reply, Body: []byte(s.body)}
	for header := range strings.SplitSeq(s.header, ", ") {
		if name, value, found := strings.Cut(header, ": "); found {
			if m.Header == nil {
				m.Header = map[string][]string{}
			}
			m.Header[name] = append(m.Header[name], value)
		}
	}
	return m
}

// What is not as the document has it is found, and what is, is not.
func TestLedger(t *testing.T) {
	asks := func(subject, body string) said { return said{"", subject, "_INBOX.1", "", body} }
	answers := func(header, body string) said { return said{"crmbridge", "_INBOX.1", "", header, body} }
	job := func(body string) said { return said{"", "crm.accounts.count.job.acme.j", "", "", body} }
	ours := func(subject, header, body string) said { return said{"crmbridge", subject, "", header, body} }
	for _, c := range []struct {
		name  string
		said  []said
		fault string // "" for none
	}{
		{"as it should be", []said{asks(countSubject, `{}`), answers(ofReply, count)}, ""},
		{"an empty body", []said{asks(countSubject, ``), answers(ofReply, count)}, ""},
		{"a reply without a member", []said{asks(countSubject, `{}`), answers(ofReply, `{"request_id":"r"}`)}, `accounts.count.reply is not as the document has it: body`},
		{"a member of another type", []said{asks(countSubject, `{}`), answers(ofReply, `{"request_id":"r","count":"7"}`)}, `/count ["type"]`},
		{"a member that is not described", []said{asks(countSubject, `{}`), answers(ofReply, `{"request_id":"r","count":7,"rows":7}`)}, `["additionalProperties"]`},
		{"a member twice", []said{asks(countSubject, `{}`), answers(ofReply, `{"request_id":"r","count":7,"count":7}`)}, `has a member twice`},
		{"no JSON", []said{asks(countSubject, `{}`), answers(ofReply, `{"request_id":`)}, `is no JSON`},
		{"a reply without its header", []said{asks(countSubject, `{}`), answers("", count)}, `accounts.count.reply is not as the document has it: headers`},
		{"a header that is not described", []said{asks(countSubject, `{}`), answers(ofReply+", Crm-Debug: on", count)}, `headers`},
		{"a header twice", []said{asks(countSubject, `{}`), answers(ofReply+", Crm-Request-Id: r", count)}, `Crm-Request-Id comes 2 times`},
		{"a code that there is not", []said{asks(countSubject, `{}`), answers(strings.ReplaceAll(ofError, "invalid_request", "wrong"), strings.ReplaceAll(refused, "invalid_request", "wrong"))}, `error is not as the document has it`},
		{"an error without its message", []said{asks(countSubject, `{}`), answers(strings.ReplaceAll(ofError, "invalid_request", "not_found"), strings.NewReplacer("invalid_request", "not_found", "message", "text").Replace(refused))}, `error is not as the document has it`},
		{"another reply on the subject", []said{asks(countSubject, `{}`), answers(ofReply, count), answers("", "what is none's business")}, ""},
		{"an answer of somebody else", []said{asks(countSubject, `{}`), {"", "_INBOX.1", "", "", "nonsense"}}, ""},
		{"invalid, and answered", []said{asks(countSubject, `{"wheer":1}`), answers(ofReply, count)}, `the document calls it invalid`},
		{"a header's, and answered", []said{{"", countSubject, "_INBOX.1", "Crm-Deadline: soon", `{}`}, answers(ofReply, count)}, `the document calls it invalid`},
		{"no connection, and answered", []said{asks("crm.accounts.count.request", `{}`), answers(ofReply, count)}, `the document calls it invalid`},
		{"invalid, and refused", []said{asks(countSubject, `{"wheer":1}`), answers(ofError, refused)}, ""},
		{"deep, and refused", []said{asks(countSubject, `{"where":`+strings.Repeat(`{"not":`, 100_000)+`1`+strings.Repeat(`}`, 100_000)+`}`), answers(ofError, refused)}, ""},
		{"long, and refused", []said{asks(countSubject, `{"where":{"and":[`+strings.Repeat(`1,`, 400_000)+`1]}}`), answers(ofError, refused)}, ""},
		{"valid, and refused", []said{asks(countSubject, `{}`), answers(ofError, refused)}, `the document calls it valid`},
		{"valid, and refused for a column", []said{asks(countSubject, `{}`), answers(ofError, strings.ReplaceAll(refused, "MESSAGE", "where.field: there is no field"))}, ""},
		{"a stream", []said{asks("crm.accounts.search.request.acme", `{"mode":"stream"}`),
			answers(ofReply+", Crm-Page: 1", `{"request_id":"r","accounts":[]}`),
			answers(ofReply+", Crm-Page: 2, Crm-Last: true", `{"request_id":"r","accounts":[5]}`)}, `/accounts/0 ["type"]`},
		{"a job", []said{job(`{}`), ours("crm.results.acme.j", ofResult, count)}, ""},
		{"a job's result", []said{job(`{}`), ours("crm.results.acme.j", ofResult, `{"request_id":"r"}`)}, `accounts.count.result is not`},
		{"a result without its page", []said{job(`{}`), ours("crm.results.acme.j", ofReply, count)}, `accounts.count.result is not as the document has it: headers`},
		{"an invalid job that runs", []said{job(`{"paralel":true}`), ours("crm.results.acme.j", ofResult, count)}, `the document calls it invalid`},
		{"an invalid job", []said{job(`{"paralel":true}`), ours("crm.results.acme.j", ofJobError, refused)}, ""},
		{"a valid job that is refused", []said{job(`{}`), ours("crm.results.acme.j", ofJobError, refused)}, `the document calls it valid`},
		{"a record", []said{ours("crm.state.acme.j", "", `{"state":"asleep"}`)}, `record is not`},
		{"a dead letter", []said{ours("crm.dead.acme.j", "", `{}`)}, `dead-letter is not as the document has it: headers`},
		{"an event", []said{ours("crm.events.connections.connected.acme", "Nats-Msg-Id: e", `{"event_id":"e","kind":"connected"}`)}, `event is not`},
		{"a tester's event", []said{{"", "crm.events.connections.connected.acme", "", "", `{}`}}, ""},
		{"of a table that is not known", []said{asks("crm.products.count.request.acme", `{"x":1}`), answers(ofReply, count)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var faults []string
			ledger := contract.NewLedger(document, func(fault string) { faults = append(faults, fault) })
			for _, s := range c.said {
				ledger.Hear(s.message())
			}
			ledger.Close()
			switch text := strings.Join(faults, "\n"); {
			case c.fault == "" && text != "":
				t.Errorf("found %s", text)
			case len(faults) > 1 || !strings.Contains(text, c.fault):
				t.Errorf("found %q, want %q", text, c.fault)
			}
		})
	}
}

// A flood is looked at in part, and counted.
func TestLedgerPassesOverFloods(t *testing.T) {
	ledger := contract.NewLedger(document, func(fault string) { t.Error(fault) })
	const many = 2000
	for range many {
		ledger.Hear(said{"", countSubject, "_INBOX.1", "", `{}`}.message())
		ledger.Hear(said{"crmbridge", "_INBOX.1", "", ofReply, count}.message())
	}
	counts := ledger.Close()
	if n := counts.Held["accounts.count.request"]; n != 530 || counts.Held["accounts.count.reply"] != 500 ||
		counts.PassedOver != 1470+30 {
		t.Errorf("%+v", counts)
	}
}

// Through a tap, a reply that somebody changed on its way out of crmbridge is found.
func TestATappedReplyThatIsNotAsDescribed(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		fault string
	}{"as it should be": {count, ""}, "changed": {strings.Replace(count, "7", "-7", 1), "accounts.count.reply"}} {
		t.Run(name, func(t *testing.T) {
			s := streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
			var faults []string
			ledger := contract.NewLedger(document, func(fault string) { faults = append(faults, fault) })
			tap, err := natstap.Listen(s.ClientURL(), ledger.Hear)
			if err != nil {
				t.Fatal(err)
			}
			crmbridge, err := nats.Connect(tap.URL, nats.Name("crmbridge"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := crmbridge.Subscribe(countSubject, func(msg *nats.Msg) {
				reply := nats.NewMsg(msg.Reply)
				reply.Header.Set(messages.HeaderRequestID, "r")
				reply.Data = []byte(c.body)
				_ = msg.RespondMsg(reply) // who does not hear it fails
			}); err != nil {
				t.Fatal(err)
			}
			if err := crmbridge.Flush(); err != nil {
				t.Fatal(err)
			}
			requester, err := nats.Connect(tap.URL)
			if err != nil {
				t.Fatal(err)
			}
			if reply, err := requester.Request(countSubject, []byte(`{}`), time.Minute); err != nil ||
				string(reply.Data) != c.body {
				t.Errorf("%v, %v", reply, err)
			}
			requester.Close()
			crmbridge.Close()
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
			counts := ledger.Close()
			text := strings.Join(faults, "\n")
			if (c.fault == "") != (text == "") || !strings.Contains(text, c.fault) || counts.Held["accounts.count.reply"] != 1 {
				t.Errorf("found %q, want %q; %+v", text, c.fault, counts)
			}
		})
	}
}
