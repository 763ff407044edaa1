package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/contract"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A verdict asks crmbridge for an operation with a body. It is nil where crmbridge takes the body.
type verdict func(op messages.Operation, body string) *messages.Error

// mutated is a crmbridge with all tables and the connection acme, and how bodies are sent to it: as
// requests on plain subjects, and as jobs.
func mutated(t *testing.T) (w *bridgetest.World, asRequest, asJob verdict) {
	t.Helper()
	w = bridgetest.New(t, emulator.Options{Accounts: 3, Contacts: 3})
	w.Tables = "accounts,contacts,leads,opportunities"
	settings := w.Settings(true)
	settings.BusCompletion = "true"
	w.Bridge(settings, nil)
	w.Connect("acme")
	_, nc := w.Client()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	results, err := nc.SubscribeSync("crm.results.acme.*")
	if err != nil {
		t.Fatal(err)
	}
	read := func(msg *nats.Msg, err error) *messages.Error {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var reply messages.ErrorReply
		if msg.Header.Get(messages.HeaderErrorCode) == "" {
			return nil
		}
		if err := json.Unmarshal(msg.Data, &reply); err != nil {
			t.Fatal(err)
		}
		return reply.Error
	}
	jobs := 0
	return w, func(op messages.Operation, body string) *messages.Error {
			t.Helper()
			return read(nc.Request(op.Subject(), []byte(body), time.Minute))
		}, func(op messages.Operation, body string) *messages.Error {
			t.Helper()
			jobs++
			id := fmt.Sprint("job-", jobs)
			if _, err := js.Publish(t.Context(), op.JobSubject("acme", id), []byte(body)); err != nil {
				t.Fatal(err)
			}
			for {
				msg, err := results.NextMsg(2 * time.Minute)
				if err != nil || msg.Subject == messages.ResultSubject("acme", id) {
					return read(msg, err)
				}
			}
		}
}

// The document and the consumer agree on the same mutated bodies: types, members, enumerations,
// bounds, what is required. Where the consumer is stricter, contract.Unsayable has the reason; the
// document is never.
func TestSchemasAreAsStrictAsTheConsumer(t *testing.T) {
	bridgetest.Long(t, "it sends thousands of bodies")
	t.Parallel()
	w, asRequest, asJob := mutated(t)
	document, err := contract.Of()
	if err != nil {
		t.Fatal(err)
	}
	const guid = "11111111-2222-3333-4444-555555555555"
	table := func(name, id, where string) map[messages.Operation]string {
		return map[messages.Operation]string{
			messages.Operation(name + ".search"): `{"connection":"acme","fields":["name"],"order_by":["-name"],"page_size":2,"limit":2,"include_total":true,"mode":"page","cursor":"",
			"where":{"and":[{"not":{"field":"name","op":"eq","value":"x"}},{"or":[{"field":"email","op":"is_null"},` + where + `]}]}}`,
			messages.Operation(name + ".get"):     `{"connection":"acme","` + id + `":"` + guid + `","fields":["name"]}`,
			messages.Operation(name + ".count"):   `{"connection":"acme","where":{"field":"name","op":"in","value":["x"]}}`,
			messages.Operation(name + ".fields"):  `{"connection":"acme","custom_only":true}`,
			messages.Operation(name + ".changes"): `{"connection":"acme","fields":["name"],"page_size":2}`,
		}
	}
	bodies := map[messages.Operation]string{
		messages.ConnectionsCheck:    `{"connection":"acme","tables":["accounts"]}`,
		messages.ConnectionsGet:      `{"connection":"acme"}`,
		messages.ConnectionsDelete:   `{"connection":"none"}`,
		messages.ConnectionsLimits:   `{"connection":"acme"}`,
		messages.ConnectionsList:     `{"page_size":2,"cursor":""}`,
		messages.ConnectionsComplete: `{"state":"x","code":"y"}`,
		messages.ConnectionsAuthorize: `{"connection":"new","environment_url":"` + w.EmulatorURL +
			`","grant":"authorization_code","prompt":"login","login_hint":"a@b","allow_user_change":true,"tenant":"organizations","daily_calls":5}`,
		messages.UsersGet:    `{"connection":"acme","email":"` + emulator.DefaultUser + `"}`,
		messages.UsersWhoAmI: `{"connection":"acme"}`,
		messages.JobsGet:     `{"connection":"acme","job_id":"none"}`,
		messages.JobsList:    `{"connection":"acme","page_size":2}`,
		messages.JobsResults: `{"connection":"acme","job_id":"none","page":1}`,
		messages.JobsCancel:  `{"connection":"acme","job_id":"none"}`,
		messages.JobsRetry:   `{"connection":"acme","job_id":"none","new_job_id":"new"}`,
		messages.JobsDelete:  `{"connection":"acme","job_id":"none"}`,
	}
	jobs := map[messages.Operation]string{
		messages.UsersGet: `{"user_id":"` + guid + `","encoding":"zstd"}`,
		messages.Accounts.Operation(messages.VerbSearch):  `{"connection":"acme","page_size":2,"parallel":false,"encoding":"zstd"}`,
		messages.Contacts.Operation(messages.VerbChanges): `{"page_size":2,"parallel":true}`,
	}
	maps.Copy(bodies, table("accounts", "account_id", `{"field":"employees","op":"between","value":[1,2]}`))
	maps.Copy(bodies, table("contacts", "contact_id", `{"field":"do_not_email","op":"ne","value":true}`))
	reasons := map[string]int{}
	made, least := 0, map[bool]int{false: 2000, true: 500}[raceDetector]
	hold := func(message string, op messages.Operation, m mutation, ask verdict) {
		t.Helper()
		if made++; raceDetector && made%4 != 0 { // the others show it no other code
			return
		}
		byDocument := document.Asked(message, nil, []byte(m.body))
		fault := ask(op, m.body)
		refused := fault != nil && fault.Code == messages.InvalidRequest
		reason := "both agree"
		switch {
		case refused && byDocument == nil:
			reason = contract.Unsayable(fault)
		case !refused && byDocument != nil:
			reason = ""
		}
		if reason == "" {
			t.Errorf("%s at %s = %s: the document says %v, the consumer %+v\n%s", message, m.place, m.value, byDocument, fault,
				m.body)
		}
		reasons[reason]++
	}
	for op, body := range bodies {
		message := string(op) + ".plain.request"
		if !slices.Contains(document.Messages(), message) {
			message = string(op) + ".request"
		}
		for m := range mutations(body, values()) {
			hold(message, op, m, asRequest)
		}
	}
	for op, body := range jobs {
		for m := range mutations(body, []string{"null", "true", "0", "1", "5001", "1.0", `""`, `"x"`, `"zstd"`, "[]"}) {
			hold(string(op)+".job", op, m, asJob)
		}
	}
	tried := 0
	for reason, n := range reasons {
		t.Logf("%5d %s", n, reason)
		tried += n
	}
	if tried < least {
		t.Errorf("only %d bodies were tried", tried)
	}
}

// A mutation is a body with one change.
type mutation struct{ place, value, body string }

// mutations yields the body itself and every change of one member, at any depth.
func mutations(text string, values []string) func(func(mutation) bool) {
	return func(yield func(mutation) bool) {
		var root map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &root); err != nil {
			panic(err)
		}
		if !yield(mutation{"", "as it is", text}) {
			return
		}
		var walk func(value json.RawMessage, place string, put func(string) string) bool
		walk = func(value json.RawMessage, place string, put func(string) string) bool {
			if place != "" {
				for _, v := range values {
					if !yield(mutation{place, v, put(v)}) {
						return false
					}
				}
			}
			var object map[string]json.RawMessage
			if json.Unmarshal(value, &object) == nil && object != nil {
				for _, name := range slices.Sorted(maps.Keys(object)) {
					without := maps.Clone(object)
					delete(without, name)
					inner := strings.TrimPrefix(place+"."+name, ".")
					if !yield(mutation{inner, "absent", put(string(marshal(without)))}) {
						return false
					}
					if !walk(object[name], inner, func(v string) string {
						with := maps.Clone(object)
						with[name] = json.RawMessage(v)
						return put(string(marshal(with)))
					}) {
						return false
					}
				}
				with := maps.Clone(object)
				with["unknown"] = json.RawMessage("1")
				return yield(mutation{strings.TrimPrefix(place+".unknown", "."), "1", put(string(marshal(with)))})
			}
			var array []json.RawMessage
			if json.Unmarshal(value, &array) == nil {
				for i := range array {
					if !walk(array[i], fmt.Sprintf("%s[%d]", place, i), func(v string) string {
						with := slices.Clone(array)
						with[i] = json.RawMessage(v)
						return put(string(marshal(with)))
					}) {
						return false
					}
				}
			}
			return true
		}
		if !walk(json.RawMessage(text), "", func(v string) string { return v }) {
			return
		}
		if root["where"] == nil {
			return
		}
		leaf := `{"field":"name","op":"eq","value":"x"}`
		wide := `{"and":[` + strings.Repeat(leaf+",", 101) + leaf + `]}`
		deep := strings.Repeat(`{"not":`, 20) + leaf + strings.Repeat("}", 20)
		for name, where := range map[string]string{"deep": deep, "deep and wide": wide} {
			root["where"] = json.RawMessage(where)
			if !yield(mutation{"where", name, string(marshal(root))}) {
				return
			}
		}
	}
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// values are what members are replaced by.
func values() []string {
	return []string{"null", "true", "false", "0", "-1", "1", "2.5", "1.0", "1e2", "100", "1000", "1001", "5000", "5001",
		"9223372036854775807", "9223372036854775808", "1e300",
		`""`, `"x"`, `"stream"`, `"page"`, `"Page"`, `"eq"`, `"client_credentials"`, `"11111111-2222-3333-4444-555555555555"`, `"{11111111-2222-3333-4444-555555555555}"`,
		`"a b"`, `"` + strings.Repeat("a", 65) + `"`, "[]", "[1]", `["name"]`, `[null]`, "{}", `{"x":1}`, "[" + strings.Repeat(`"name",`, 101) + `"name"]`}
}
