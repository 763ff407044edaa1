package messages_test

import (
	"encoding/json"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/crmbridge/crmbridge/messages"
)

func schemas(t *testing.T, op messages.Operation, tables []messages.Table) messages.Schemas {
	t.Helper()
	both, err := op.Schemas(tables)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return both
}

// request is the schema of an operation's requests, reply that of its replies.
func request(t *testing.T, op messages.Operation) *jsonschema.Resolved {
	t.Helper()
	return resolved(t, schemas(t, op, messages.Tables()).Request)
}

func reply(t *testing.T, op messages.Operation) *jsonschema.Resolved {
	t.Helper()
	return resolved(t, schemas(t, op, messages.Tables()).Reply)
}

func resolved(t *testing.T, text string) *jsonschema.Resolved {
	t.Helper()
	schema := parsed(t, text)
	ready, err := schema.Resolve(nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return ready
}

func parsed(t *testing.T, text string) *jsonschema.Schema {
	t.Helper()
	var schema jsonschema.Schema
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &schema
}

func validate(t *testing.T, schema *jsonschema.Resolved, body string) error {
	t.Helper()
	var instance any
	if err := json.Unmarshal([]byte(body), &instance); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return schema.Validate(instance)
}

func TestRequestSchemas(t *testing.T) {
	search := messages.Accounts.Operation(messages.VerbSearch)
	get, count := messages.Accounts.Operation(messages.VerbGet), messages.Accounts.Operation(messages.VerbCount)
	for _, test := range []struct {
		op   messages.Operation
		text string
		ok   bool
	}{
		{search, `{"conection":"acme"}`, false},
		{search, `{"page_size":"10"}`, false},
		{search, `{"page_size":1.5}`, false},
		{search, `{"where":null}`, true},
		{search, `{"where":{"field":"name","op":"eq"}}`, false},
		{search, `{"where":{"field":"name","op":"eq","value":null}}`, false},
		{search, `{"where":{"field":"name","op":"eq","value":""}}`, false},
		{search, `{"where":{"field":"name","op":"ne","value":["x"]}}`, false},
		{search, `{"where":{"field":"name","op":"eq","value":["x"]}}`, true}, // of several choices
		{search, `{"where":{"field":"name","op":"contains","value":5}}`, false},
		{search, `{"where":{"field":"name","op":"lt","value":true}}`, false},
		{search, `{"where":{"field":"name","op":"between","value":[1]}}`, false},
		{search, `{"where":{"field":"name","op":"between","value":[1,2]}}`, true},
		{search, `{"where":{"field":"name","op":"in","value":[]}}`, false},
		{search, `{"where":{"field":"name","op":"in","value":"x"}}`, false},
		{search, `{"where":{"field":"name","op":"in","value":["x",7]}}`, true},
		{search, `{"where":{"field":"name","op":"is_null","value":"x"}}`, false},
		{search, `{"where":{"field":"name","op":"is_null","value":null}}`, true},
		{search, `{"mode":null,"page_size":2.0,"fields":null}`, true},
		{search, `{"mode":""}`, true},
		{search, `{"where":{}}`, false},
		{search, `{"where":{"and":[]}}`, false},
		{search, `{"where":{"field":"name","op":"like","value":"x"}}`, false},
		{search, `{"where":{"field":"name","op":"eq","value":"x","and":[]}}`, false},
		{search, `{"where":{"and":[{"not":{"field":"name"}}]}}`, false},
		{search, `{}`, true},
		{search, `{"where":{"and":[{"not":{"field":"name","op":"eq","value":"x"}},{"or":[{"field":"phone","op":"is_null"}]}]},"order_by":["-revenue"],"page_size":5,"mode":"stream"}`, true},
		{get, `{"connection":"acme"}`, false},
		{get, `{"account_id":"11111111-2222-3333-4444-555555555555"}`, true},
		{get, `{"id":"11111111-2222-3333-4444-555555555555"}`, false},
		{messages.ConnectionsCheck, `{"tables":["contacts"]}`, true},
		{messages.ConnectionsCheck, `{"tables":["widgets"]}`, false},
		{messages.ConnectionsCheck, `{"tables":[]}`, false},
		{get, `{"account_id":"1","fields":["name"]}`, false},
		{count, `{"where":{}}`, false},
		{count, `{"fields":["name"]}`, false},
		{count, `{"where":{"field":"name","op":"eq","value":"x"}}`, true},
		{messages.ConnectionsAuthorize, `{"connection":"acme"}`, false},
		{messages.ConnectionsAuthorize, `{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com","allow_user_change":true}`, true},
		{messages.ConnectionsComplete, `{"code":"x"}`, false},
		{messages.ConnectionsComplete, `{"state":"x","code":"y"}`, true},
		{messages.ConnectionsGet, `{"connection":1}`, false},
		{messages.ConnectionsGet, `{"connection":"acme"}`, true},
		{messages.ConnectionsGet, `{"connect_url":"https://crm.example/connect/x"}`, true},
		{messages.ConnectionsList, `{"limit":1}`, false},
		{messages.ConnectionsList, `{"page_size":1,"cursor":"x"}`, true},
		{messages.UsersGet, `{"mail":"a@b"}`, false},
		{messages.UsersGet, `{}`, false},
		{messages.UsersGet, `{"email":"a@b","user_id":"11111111-2222-3333-4444-555555555555"}`, false},
		{messages.UsersGet, `{"email":"","user_id":"11111111-2222-3333-4444-555555555555"}`, true},
		{messages.ConnectionsComplete, `{"state":"x"}`, false},
		{messages.ConnectionsComplete, `{"state":"x","code":"y","error":"z"}`, false},
		{messages.ConnectionsAuthorize, `{"environment_url":"https://x","grant":"client_credentials","prompt":"login"}`, false},
		{messages.UsersGet, `{"email":"a@b"}`, true},
		{messages.UsersGet, `{"email":"a@b","encoding":"zstd"}`, false},
		{messages.JobsGet, `{"connection":"acme","job_id":"01J"}`, true},
		{messages.JobsGet, `{"connection":"acme"}`, false},
		{messages.JobsGet, `{"job_id":"a.b"}`, false},
		{messages.JobsList, `{"page_size":1000,"cursor":"x"}`, true},
		{messages.JobsList, `{"page_size":1001}`, false},
		{messages.JobsResults, `{"job_id":"01J","page":1}`, true},
		{messages.JobsResults, `{"job_id":"01J","page":0}`, false},
		{messages.JobsResults, `{"job_id":"01J"}`, false},
		{messages.JobsRetry, `{"job_id":"01J","new_job_id":"02K"}`, true},
		{messages.JobsRetry, `{"job_id":"01J","new_job_id":"a b"}`, false},
	} {
		if err := validate(t, request(t, test.op), test.text); (err == nil) != test.ok {
			t.Errorf("%s %s: %v", test.op, test.text, err)
		}
	}
}

// A job's body is the request with the options of jobs.
func TestJobSchemas(t *testing.T) {
	for _, test := range []struct {
		op   messages.Operation
		text string
		ok   bool
	}{
		{messages.Accounts.Operation(messages.VerbSearch),
			`{"where":{"field":"name","op":"is_null"},"parallel":false,"encoding":"zstd"}`, true},
		{messages.Accounts.Operation(messages.VerbSearch), `{"parallel":"no"}`, false},
		{messages.Accounts.Operation(messages.VerbSearch), `{"encoding":"gzip"}`, false},
		{messages.Accounts.Operation(messages.VerbSearch), `{"paralel":true}`, false},
		{messages.Accounts.Operation(messages.VerbSearch), `{"cursor":"x"}`, false},
		{messages.Accounts.Operation(messages.VerbChanges), `{"cursor":"x"}`, true},
		{messages.UsersGet, `{"email":"a@b","encoding":"zstd"}`, true},
	} {
		text, err := test.op.JobSchema(messages.Tables())
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, resolved(t, text), test.text); (err == nil) != test.ok {
			t.Errorf("%s %s: %v", test.op, test.text, err)
		}
	}
}

// Every reply as crmbridge encodes it fits its schema, and still does with a
// member that a newer crmbridge added.
func TestReplySchemas(t *testing.T) {
	now, total := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), int64(3)
	connection := messages.Connection{ID: "acme", Grant: messages.GrantAuthorizationCode, Status: messages.StatusActive,
		CreatedAt: now, RefreshedAt: &now}
	job := messages.Job{ID: "01J", Operation: messages.UsersGet, Connection: "acme", State: messages.JobFailed,
		Pages: 2, Rows: 3, Total: &total,
		QueuedAt: now, StartedAt: &now, RetryAt: &now, FinishedAt: &now,
		Error: messages.Invalid("email", "is missing"), RetryOf: "00J", Incarnation: "i"}
	account := messages.Row{"name": jsontext.Value(`"A"`), "industry": jsontext.Value(`{"value":1,"label":"x"}`),
		"phone": jsontext.Value(`null`)}
	search, get := messages.Accounts.Operation(messages.VerbSearch), messages.Accounts.Operation(messages.VerbGet)
	for _, test := range []struct {
		op   messages.Operation
		body messages.Reply
	}{
		{messages.ConnectionsAuthorize, &messages.AuthorizeReply{ConnectURL: "https://crm.example/connect/x", ExpiresAt: now}},
		{messages.ConnectionsAuthorize, &messages.AuthorizeReply{Connection: messages.AuthorizedConnection{Made: &connection}}},
		{messages.ConnectionsGet, &messages.ConnectionGetReply{Connection: connection}},
		{messages.ConnectionsList, &messages.ConnectionsListReply{Connections: []messages.Connection{connection}}},
		{messages.ConnectionsList, &messages.ConnectionsListReply{}},
		{messages.ConnectionsDelete, &messages.DeletedReply{Deleted: true}},
		{messages.ConnectionsCheck, &messages.ChecksReply{Checks: []messages.PermissionCheck{{Name: "accounts.read", Depth: messages.DepthLocal}}}},
		{messages.UsersWhoAmI, &messages.WhoAmIReply{UserID: "u"}},
		{messages.JobsGet, &messages.JobReply{Job: job}},
		{messages.JobsCancel, &messages.JobReply{Job: messages.Job{ID: "01J", State: messages.JobQueued,
			QueuedAt: now}}},
		{messages.JobsRetry, &messages.JobReply{Job: job}},
		{messages.JobsList, &messages.JobsListReply{Jobs: []messages.Job{job}, NextCursor: "x"}},
		{messages.JobsResults, &messages.JobResultsReply{}},
		{messages.JobsDelete, &messages.DeletedReply{Deleted: true}},
		{messages.UsersGet, &messages.UserReply{User: messages.User{Roles: []messages.Role{{ID: "1", Via: messages.RoleDirect}}}}},
		{search, &messages.Page{Rows: []messages.Row{account}, Total: &total, NextCursor: "c"}},
		{search, &messages.Page{}},
		{get, &messages.RowReply{Row: account}},
		{messages.Accounts.Operation(messages.VerbCount), &messages.CountReply{Count: 3}},
		{messages.Accounts.Operation(messages.VerbFields), &messages.FieldsReply{Fields: []messages.Field{{Name: "id", Type: messages.FieldGUID}}}},
		{messages.Accounts.Operation(messages.VerbChanges), &messages.ChangesReply{Rows: []messages.Row{account}, Deleted: []string{"1"}}},
	} {
		schema := reply(t, test.op)
		test.body.SetHead("r1", "acme")
		encoded, err := encode(test.body)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, schema, string(encoded)); err != nil {
			t.Errorf("%s %s: %v", test.op, encoded, err)
		}
		if err := validate(t, schema, `{"newer":1,`+string(encoded[1:])); err != nil {
			t.Errorf("%s with another member: %v", test.op, err)
		}
		if err := validate(t, schema, `{"connection":"acme"}`); err == nil {
			t.Errorf("%s: a reply without its members fits", test.op)
		}
	}
}

// encode writes a reply as it is for accounts.
func encode(body messages.Reply) ([]byte, error) {
	switch body := body.(type) {
	case *messages.Page:
		return messages.CodecFor[messages.Page](messages.Accounts).Encode(body)
	case *messages.RowReply:
		return messages.CodecFor[messages.RowReply](messages.Accounts).Encode(body)
	case *messages.ChangesReply:
		return messages.CodecFor[messages.ChangesReply](messages.Accounts).Encode(body)
	}
	return jsonv2.Marshal(body)
}

func TestSchemasOfNothing(t *testing.T) {
	if text, err := messages.NewCodec[struct{ C chan int }]().Schema(); err == nil {
		t.Errorf("a channel has the schema %s", text)
	}
	if text, err := messages.NewCodec[messages.SearchRequest]().Schema(); err == nil {
		t.Errorf("a search of no table has the schema %s", text)
	}
	for _, op := range []messages.Operation{"contacts.search", "accounts.export", "accounts", ""} {
		if both, err := op.Schemas([]messages.Table{messages.Accounts}); err == nil {
			t.Errorf("%q has the schema %s", op, both.Request)
		}
	}
}
