package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// beyondSchema is what a JSON Schema cannot say, or says otherwise than the consumer:
// where both differ, the place and the value must be here. stricter is who refuses.
var beyondSchema = []struct {
	place    string // of the mutation, as a pattern
	value    string // that was put there, as a pattern
	stricter string // "consumer" or "schema"
	why      string
}{
	{`.*`, `^null$`, "schema", "null stands for absent, so that generated clients can send it"},
	{`^(mode|grant|prompt|account_id|user_id)$`, `^""$`, "schema", "an empty text stands for absent"},
	{`^(page_size|limit)$`, `^\d+(\.0+|[eE]\d+)$`, "consumer", "whole numbers are written as digits"},
	{`^limit$`, `^9223372036854775808$`, "consumer", "JSON Schema's numbers do not tell it from the greatest that is taken"},
	{`^connection$`, `^(absent|"")$`, "consumer", "the connection may stand in the subject instead"},
	{`^(fields|order_by)(\[\d+\])?$`, `^"`, "consumer", "which columns there are"},
	{`(^|\.)field$`, `^"`, "consumer", "which columns there are"},
	{`(^|\.)(value|op)(\[\d+\])?$`, `.*`, "consumer", "which values go with which operator and type of column"},
	{`^where(\.|$)`, `^deep`, "consumer", "the depth of the tree, its leaves and its values, counted over all of it"},
	{`^(user_id|email)$`, `.*`, "consumer", "one of two members, not both and not none"},
	{`^environment_url$`, `.*`, "consumer", "which hosts are allowed"},
	{`^(tenant|login_hint|prompt)$`, `.*`, "consumer", "forms of directories and users; nobody signs in for client_credentials"},
	{`^grant$`, `client_credentials`, "consumer", "which connections may be made without a person"},
}

// The schemas that the services API shows and the consumer agree on the same mutated
// bodies: types, members, enumerations, bounds, what is required.
func TestSchemasAreAsStrictAsTheConsumer(t *testing.T) {
	bridgetest.Long(t, "it sends thousands of bodies")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	_, nc := w.Client()
	accounts := messages.Accounts
	served := []messages.Table{accounts}
	bodies := map[messages.Operation]string{
		accounts.Operation(messages.VerbSearch): `{"connection":"acme","fields":["name","city"],"order_by":["-name"],"page_size":2,"limit":2,"include_total":true,"mode":"page",
			"where":{"and":[{"not":{"field":"name","op":"eq","value":"x"}},{"or":[{"field":"city","op":"is_null"},{"field":"employees","op":"between","value":[1,2]}]}]}}`,
		accounts.Operation(messages.VerbGet):     `{"connection":"acme","account_id":"11111111-2222-3333-4444-555555555555","fields":["name"]}`,
		accounts.Operation(messages.VerbCount):   `{"connection":"acme","where":{"field":"name","op":"eq","value":"x"}}`,
		accounts.Operation(messages.VerbFields):  `{"connection":"acme","custom_only":true}`,
		accounts.Operation(messages.VerbChanges): `{"connection":"acme","fields":["name"],"page_size":2}`,
		messages.ConnectionsCheck:                `{"connection":"acme","tables":["accounts"]}`,
		messages.UsersGet:                        `{"connection":"acme","email":"` + emulator.DefaultUser + `"}`,
		messages.UsersWhoAmI:                     `{"connection":"acme"}`,
		messages.ConnectionsList:                 `{"page_size":2}`,
		messages.ConnectionsAuthorize:            `{"connection":"new","environment_url":"` + w.EmulatorURL + `","grant":"authorization_code","prompt":"login","login_hint":"a@b","allow_user_change":true,"tenant":"organizations"}`,
	}
	used := map[int]bool{}
	tried := 0
	for op, body := range bodies {
		schemas, err := op.Schemas(served)
		if err != nil {
			t.Fatal(err)
		}
		text := schemas.Request
		var schema jsonschema.Schema
		if err := json.Unmarshal([]byte(text), &schema); err != nil {
			t.Fatal(err)
		}
		ready, err := schema.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, ":true") || schema.Title == "" {
			t.Errorf("%s: a bare true or no title: %s", op, text)
		}
		for m := range mutations(body) {
			tried++
			var instance any
			decoder := json.NewDecoder(strings.NewReader(m.body))
			if err := decoder.Decode(&instance); err != nil {
				t.Fatalf("%s: %v", m.body, err)
			}
			bySchema := ready.Validate(instance)
			reply, err := nc.Request(op.Subject(), []byte(m.body), 30*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			refused := reply.Header.Get(messages.HeaderErrorCode) == string(messages.InvalidRequest)
			if refused == (bySchema != nil) {
				continue
			}
			stricter := "consumer"
			if !refused {
				stricter = "schema"
			}
			known := slices.IndexFunc(beyondSchema, func(b struct{ place, value, stricter, why string }) bool {
				return b.stricter == stricter && regexp.MustCompile(b.place).MatchString(m.place) && regexp.MustCompile(b.value).MatchString(m.value)
			})
			if known < 0 {
				t.Errorf("%s: %s is stricter at %s = %s: schema %v, consumer %s\n%s", op, stricter, m.place, m.value, bySchema, reply.Data, m.body)
			}
			used[known] = true
		}
	}
	if tried < 800 {
		t.Errorf("only %d bodies were tried", tried)
	}
	for i, b := range beyondSchema {
		if !used[i] {
			t.Errorf("the schema says it after all: %s %s: %s", b.place, b.value, b.why)
		}
	}
	t.Logf("%d bodies", tried)
}

// A mutation is a body with one change.
type mutation struct{ place, value, body string }

// mutations yields the body itself and every change of one member, at any depth.
func mutations(text string) func(func(mutation) bool) {
	values := []string{"null", "true", "false", "0", "-1", "1", "2.5", "1.0", "1e2", "100", "1000", "1001", "5000", "5001", "9223372036854775807", "9223372036854775808", "1e300",
		`""`, `"x"`, `"stream"`, `"page"`, `"Page"`, `"eq"`, `"client_credentials"`, `"11111111-2222-3333-4444-555555555555"`, `"{11111111-2222-3333-4444-555555555555}"`,
		`"a b"`, `"` + strings.Repeat("a", 65) + `"`, "[]", "[1]", `["name"]`, `[null]`, "{}", `{"x":1}`, "[" + strings.Repeat(`"name",`, 101) + `"name"]`}
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
