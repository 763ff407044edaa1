package messages_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/crmbridge/crmbridge/messages"
)

func resolved(t *testing.T, body reflect.Type) *jsonschema.Resolved {
	t.Helper()
	text, err := messages.Schema(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	ready, err := schema.Resolve(nil)
	if err != nil {
		t.Fatalf("%s: %v\n%s", body, err, text)
	}
	return ready
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
	search := reflect.TypeFor[messages.AccountsSearchRequest]()
	for _, test := range []struct {
		body reflect.Type
		text string
		ok   bool
	}{
		{search, `{"conection":"acme"}`, false},
		{search, `{"page_size":"10"}`, false},
		{search, `{"page_size":1.5}`, false},
		{search, `{"where":null}`, false},
		{search, `{"where":{}}`, false},
		{search, `{"where":{"and":[]}}`, false},
		{search, `{"where":{"field":"name","op":"like","value":"x"}}`, false},
		{search, `{"where":{"field":"name","op":"eq","value":"x","and":[]}}`, false},
		{search, `{"where":{"and":[{"not":{"field":"name"}}]}}`, false},
		{search, `{}`, true},
		{search, `{"where":{"and":[{"not":{"field":"name","op":"eq","value":"x"}},{"or":[{"field":"phone","op":"is_null"}]}]},"order_by":["-revenue"],"page_size":5,"mode":"stream"}`, true},
		{reflect.TypeFor[messages.AccountGetRequest](), `{"connection":"acme"}`, false},
		{reflect.TypeFor[messages.AccountGetRequest](), `{"account_id":"1","fields":["name"]}`, false},
		{reflect.TypeFor[messages.AccountsCountRequest](), `{"where":{}}`, false},
		{reflect.TypeFor[messages.AccountsCountRequest](), `{"fields":["name"]}`, false},
		{reflect.TypeFor[messages.AccountsCountRequest](), `{"where":{"field":"name","op":"eq","value":"x"}}`, true},
		{reflect.TypeFor[messages.AuthorizeRequest](), `{"connection":"acme"}`, false},
		{reflect.TypeFor[messages.AuthorizeRequest](), `{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com","allow_user_change":true}`, true},
		{reflect.TypeFor[messages.CompleteRequest](), `{"code":"x"}`, false},
		{reflect.TypeFor[messages.CompleteRequest](), `{"state":"x","code":"y"}`, true},
		{reflect.TypeFor[messages.ConnectionRequest](), `{"connection":1}`, false},
		{reflect.TypeFor[messages.ConnectionRequest](), `{"connection":"acme"}`, true},
		{reflect.TypeFor[messages.ConnectionsListRequest](), `{"limit":1}`, false},
		{reflect.TypeFor[messages.ConnectionsListRequest](), `{"page_size":1,"cursor":"x"}`, true},
		{reflect.TypeFor[messages.UserGetRequest](), `{"mail":"a@b"}`, false},
		{reflect.TypeFor[messages.UserGetRequest](), `{"email":"a@b"}`, true},
	} {
		if err := validate(t, resolved(t, test.body), test.text); (err == nil) != test.ok {
			t.Errorf("%s %s: %v", test.body.Name(), test.text, err)
		}
	}
}

// Every reply as crmbridge encodes it fits its schema, and still does with a
// member that a newer crmbridge added.
func TestReplySchemas(t *testing.T) {
	now, total := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), int64(3)
	connection := messages.Connection{ID: "acme", Grant: messages.GrantAuthorizationCode, Status: messages.StatusActive, CreatedAt: now, RefreshedAt: &now}
	account := messages.Account{"name": jsontext.Value(`"A"`), "industry": jsontext.Value(`{"value":1,"label":"x"}`), "phone": jsontext.Value(`null`)}
	for _, reply := range []messages.Reply{
		&messages.ErrorReply{Error: messages.Invalid("a", "b").After(time.Second)},
		&messages.AuthorizeReply{ConnectURL: "https://crm.example/connect/x", ExpiresAt: now},
		&messages.AuthorizeReply{Connection: messages.AuthorizedConnection{Made: &connection}},
		&messages.ConnectionReply{Connection: connection},
		&messages.ConnectionsListReply{Connections: []messages.Connection{connection}},
		&messages.ConnectionsListReply{},
		&messages.DeletedReply{Deleted: true},
		&messages.WhoAmIReply{UserID: "u"},
		&messages.UserReply{User: messages.User{Roles: []messages.Role{{ID: "1", Via: messages.RoleDirect}}}},
		&messages.AccountsPage{Accounts: []messages.Account{account}, Total: &total, NextCursor: "c"},
		&messages.AccountsPage{},
		&messages.AccountReply{Account: account},
		&messages.AccountsCountReply{Count: 3},
	} {
		schema := resolved(t, reflect.TypeOf(reply).Elem())
		reply.SetHead("r1", "acme")
		encoded, err := jsonv2.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, schema, string(encoded)); err != nil {
			t.Errorf("%T %s: %v", reply, encoded, err)
		}
		if err := validate(t, schema, `{"newer":1,`+string(encoded[1:])); err != nil {
			t.Errorf("%T with another member: %v", reply, err)
		}
		if err := validate(t, schema, `{"connection":"acme"}`); err == nil {
			t.Errorf("%T: a reply without its members fits", reply)
		}
	}
}

func TestSchemaOfNoBody(t *testing.T) {
	if text, err := messages.Schema(reflect.TypeFor[struct{ C chan int }]()); err == nil {
		t.Errorf("a channel has the schema %s", text)
	}
}
