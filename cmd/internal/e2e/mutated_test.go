package e2e

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/contract"
	"github.com/crmbridge/crmbridge/messages"
)

// A request with one change, of each operation and each kind of rule, is invalid by the document
// exactly when crmbridge says invalid_request, without an exception.
func TestMutatedRequests(t *testing.T) {
	t.Parallel()
	w, asRequest, asJob := mutated(t)
	document, err := contract.Of()
	if err != nil {
		t.Fatal(err)
	}
	const guid = "11111111-2222-3333-4444-555555555555"
	search, get := messages.Accounts.Operation(messages.VerbSearch), messages.Contacts.Operation(messages.VerbGet)
	count, fields := messages.Leads.Operation(messages.VerbCount), messages.Opportunities.Operation(messages.VerbFields)
	changes, job := messages.Accounts.Operation(messages.VerbChanges), messages.Contacts.Operation(messages.VerbSearch)
	filter := func(leaf string) string { return `{"connection":"acme","where":` + leaf + `}` }
	url := `"environment_url":"` + w.EmulatorURL + `"`
	for _, c := range []struct {
		op    messages.Operation
		body  string
		valid bool
	}{
		// types
		{search, `{"connection":"acme","page_size":2}`, true},
		{search, `{"connection":"acme","page_size":"2"}`, false},
		{search, `{"connection":"acme","page_size":2.0}`, true},
		{search, `{"connection":"acme","page_size":2.5}`, false},
		{search, `{"connection":"acme","page_size":null,"limit":null,"where":null,"fields":null,"order_by":null,"mode":null,"cursor":null,"include_total":null}`, true},
		{search, `{"connection":"acme","include_total":1}`, false},
		{search, `{"connection":"acme","fields":"name"}`, false},
		{search, `{"connection":"acme","fields":[1]}`, false},
		{search, `{"connection":"acme","order_by":{"name":1}}`, false},
		{search, `["acme"]`, false},
		{messages.UsersWhoAmI, `{"connection":5}`, false},
		{messages.JobsGet, `{"connection":"acme","job_id":5}`, false},
		{messages.ConnectionsAuthorize, `{"connection":"new",` + url + `,"allow_user_change":"yes"}`, false},
		// members
		{search, `{"connection":"acme","pagesize":2}`, false},
		{get, `{"connection":"acme","contact_id":"` + guid + `","id":"x"}`, false},
		{count, `{"connection":"acme","fields":["name"]}`, false},
		{fields, `{"connection":"acme","custom":true}`, false},
		{changes, `{"connection":"acme","where":{"field":"name","op":"not_null"}}`, false},
		{messages.ConnectionsGet, `{"connection":"acme","verbose":true}`, false},
		{messages.ConnectionsList, `{"limit":5}`, false},
		{messages.JobsDelete, `{"connection":"acme","job_id":"none","page":1}`, false},
		{search, `{"connection":"acme","parallel":false}`, false},
		{search, filter(`{"field":"name","op":"eq","value":"x","case":true}`), false},
		{search, filter(`{"field":"name","op":"eq","value":"x","and":[]}`), false},
		// enumerations
		{search, `{"connection":"acme","mode":"page"}`, true},
		{search, `{"connection":"acme","mode":"Page"}`, false},
		{search, filter(`{"field":"name","op":"like","value":"x"}`), false},
		{search, filter(`{"field":"name","op":"like","value":["x"]}`), false},
		{messages.ConnectionsAuthorize, `{"connection":"new",` + url + `,"grant":"password"}`, false},
		{messages.ConnectionsAuthorize, `{"connection":"new",` + url + `,"prompt":"always"}`, false},
		{messages.ConnectionsCheck, `{"connection":"acme","tables":["products"]}`, false},
		// bounds
		{search, `{"connection":"acme","page_size":0}`, false},
		{search, `{"connection":"acme","page_size":5000}`, true},
		{search, `{"connection":"acme","page_size":5001}`, false},
		{search, `{"connection":"acme","limit":0}`, false},
		{search, `{"connection":"acme","fields":[]}`, false},
		{search, `{"connection":"acme","fields":[` + strings.Repeat(`"name",`, 100) + `"name"]}`, false},
		{search, `{"connection":"acme","order_by":[` + strings.Repeat(`"name",`, 10) + `"name"]}`, false},
		{search, `{"connection":"acme","cursor":"` + strings.Repeat("c", messages.MaxCursor+1) + `"}`, false},
		{search, filter(`{"and":[` + strings.Repeat(`{"field":"name","op":"not_null"},`, 99) + `{"field":"name","op":"not_null"}]}`), true},
		{search, filter(`{"and":[` + strings.Repeat(`{"field":"name","op":"not_null"},`, 100) + `{"field":"name","op":"not_null"}]}`), false},
		{search, filter(`{"or":[]}`), false},
		{count, filter(`{"field":"name","op":"in","value":[` + strings.Repeat(`"x",`, 500) + `"x"]}`), false},
		{changes, `{"connection":"acme","page_size":5001}`, false},
		{get, `{"connection":"acme","contact_id":"` + guid[1:] + `"}`, false},
		{messages.ConnectionsList, `{"page_size":1001}`, false},
		{messages.JobsList, `{"page_size":1001}`, false},
		{messages.JobsResults, `{"connection":"acme","job_id":"none","page":0}`, false},
		{messages.JobsCancel, `{"connection":"acme","job_id":"` + strings.Repeat("j", 65) + `"}`, false},
		{messages.ConnectionsDelete, `{"connection":"a.b"}`, false},
		{messages.ConnectionsLimits, `{"connection":"` + strings.Repeat("c", 65) + `"}`, false},
		{messages.UsersGet, `{"connection":"acme","email":"` + strings.Repeat("e", messages.MaxEmail+1) + `"}`, false},
		{messages.ConnectionsAuthorize, `{"connection":"new",` + url + `,"daily_calls":1000000001}`, false},
		// what is required, and what goes together
		{search, `{}`, false},
		{get, `{"connection":"acme","contact_id":"` + guid + `"}`, true}, // not_found
		{get, `{"connection":"acme"}`, false},
		{count, `{"connection":"acme"}`, true},
		{fields, `{"connection":""}`, false},
		{search, filter(`{}`), false},
		{search, filter(`{"and":null,"or":null,"not":null,"field":"name","op":"eq","value":"x"}`), true},
		{search, filter(`{"and":[{"field":"name","op":"not_null","value":null}],"or":null,"field":null,"op":null,"value":null}`), true},
		{search, filter(`{"and":[{"field":"name","op":"not_null"}],"value":"x"}`), false},
		{search, filter(`{"and":null}`), false},
		{search, filter(`{"op":"eq","value":"x"}`), false},
		{search, filter(`{"field":"name","value":"x"}`), false},
		{search, filter(`{"field":"name","op":"eq"}`), false},
		{search, filter(`{"field":"name","op":"eq","value":""}`), false},
		{search, filter(`{"field":"name","op":"is_null"}`), true},
		{search, filter(`{"field":"name","op":"is_null","value":"x"}`), false},
		{search, filter(`{"field":"employees","op":"between","value":[1]}`), false},
		{search, filter(`{"field":"name","op":"in","value":"x"}`), false},
		{messages.UsersGet, `{"connection":"acme"}`, false},
		{messages.UsersGet, `{"connection":"acme","email":"a@b","user_id":"` + guid + `"}`, false},
		{messages.UsersGet, `{"connection":"acme","user_id":"` + guid + `"}`, true}, // not_found
		{messages.ConnectionsComplete, `{"state":"x"}`, false},
		{messages.ConnectionsComplete, `{"code":"y"}`, false},
		{messages.ConnectionsComplete, `{"state":"x","code":"y"}`, true}, // invalid_state
		{messages.ConnectionsAuthorize, `{"connection":"new"}`, false},
		{messages.ConnectionsAuthorize, `{` + url + `}`, false},
		{messages.JobsResults, `{"connection":"acme","job_id":"none"}`, false},
		{messages.JobsResults, `{"connection":"acme","job_id":"none","page":null}`, false},
		{messages.JobsGet, `{"connection":"acme","job_id":null}`, false},
		{messages.ConnectionsAuthorize, `{"connection":"new","environment_url":null}`, false},
		{messages.JobsRetry, `{"connection":"acme","new_job_id":"new"}`, false},
		{messages.JobsList, `{}`, true},
	} {
		message := string(c.op) + ".plain.request"
		if !strings.Contains(strings.Join(document.Messages(), "\n")+"\n", message+"\n") {
			message = string(c.op) + ".request"
		}
		agree(t, document.Asked(message, nil, []byte(c.body)), asRequest(c.op, c.body), c.valid, message, c.body)
	}
	for _, c := range []struct {
		op    messages.Operation
		body  string
		valid bool
	}{
		{job, `{"parallel":false,"encoding":"zstd"}`, true},
		{job, `{"connection":"acme","parallel":null}`, true},
		{job, `{"parallel":"no"}`, false},
		{job, `{"encoding":"gzip"}`, false},
		{job, `{"paralel":true}`, false},
		{job, `{"cursor":"x"}`, false},
		{job, `{"page_size":5001}`, false},
		{job, `{"limit":-1}`, false},
		{job, `{"mode":"all"}`, false},
		{job, filter(`{"field":"name","op":"eq"}`), false},
		{changes, `{"fields":[]}`, false},
		{count, `{"where":{"and":[]}}`, false},
		{get, `{}`, false},
		{fields, `{"custom_only":"yes"}`, false},
		{messages.UsersGet, `{}`, false},
		{messages.UsersWhoAmI, `{"job_id":"x"}`, false},
	} {
		agree(t, document.Asked(string(c.op)+".job", nil, []byte(c.body)), asJob(c.op, c.body), c.valid, string(c.op)+
			".job", c.body)
	}
}

// agree fails unless document and consumer say of a body what is wanted.
func agree(t *testing.T, byDocument error, fault *messages.Error, valid bool, message, body string) {
	t.Helper()
	byConsumer := fault == nil || fault.Code != messages.InvalidRequest
	if (byDocument == nil) != valid || byConsumer != valid {
		t.Errorf("%s %.200s: want valid %v; the document says %v, the consumer %v", message, body, valid, byDocument, fault)
	}
}
