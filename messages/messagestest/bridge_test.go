package messagestest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

var acme = messages.Target{Connection: "acme"}

// companies are n accounts, named 000, 001, …
func companies(n int) messagestest.Rows {
	rows := make([]messagestest.Row, n)
	for i := range rows {
		rows[i] = messagestest.Row{"name": fmt.Sprintf("%03d", i), "employees": i, "industry": i%3 + 1}
	}
	return messagestest.Rows{"accounts": rows}
}

// codeOf is the code of an error, "" for none.
func codeOf(err error) messages.Code {
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		return fault.Code
	}
	return ""
}

func names(rows []messages.Row) (all []string) {
	for _, row := range rows {
		all = append(all, row.Text("name"))
	}
	return all
}

func TestPages(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	search := messages.SearchRequest{Target: acme, Fields: []string{"name"}, OrderBy: []string{"-employees"},
		PageSize:     10,
		IncludeTotal: true}
	var got []string
	var sizes []int
	for page, err := range bridge.Client().Accounts().Pages(t.Context(), search) {
		if err != nil {
			t.Fatal(err)
		}
		got, sizes = append(got, names(page.Rows)...), append(sizes, len(page.Rows))
		if page.Total == nil || *page.Total != 25 || page.Connection != "acme" || page.RequestID == "" {
			t.Errorf("%+v", page)
		}
	}
	slices.Reverse(got)
	if !slices.Equal(sizes, []int{10, 10, 5}) || len(got) != 25 || got[0] != "000" ||
		!slices.IsSorted(got) {
		t.Errorf("%v %v", sizes, got)
	}
}

func TestAPageFitsOneMessage(t *testing.T) {
	bridge := messagestest.NewWith(t, messagestest.Options{MaxPayload: 4 << 10})
	rows := make([]messagestest.Row, 40)
	for i := range rows {
		rows[i] = messagestest.Row{"name": strings.Repeat("x", 300)}
	}
	bridge.Connect("acme", messagestest.Rows{"accounts": rows})
	seen, pages := 0, 0
	for page, err := range bridge.Client().Accounts().Pages(t.Context(), messages.SearchRequest{Target: acme}) {
		if err != nil {
			t.Fatal(err)
		}
		seen, pages = seen+len(page.Rows), pages+1
	}
	if seen != 40 || pages < 4 || pages > 8 {
		t.Errorf("%d rows in %d pages", seen, pages)
	}
	bridge.Connect("huge", messagestest.Rows{"accounts": {{"name": strings.Repeat("x", 5000)}}})
	_, err := bridge.Client().Accounts().Search(t.Context(),
		messages.SearchRequest{Target: messages.Target{Connection: "huge"}})
	if codeOf(err) != messages.TooLarge {
		t.Error(err)
	}
}

// Every code arrives as it was scripted, with the headers that NATS tools show.
func TestEveryCode(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(1))
	nc := bridge.Conn()
	for _, code := range messages.Codes() {
		bridge.Fail(messagestest.Fault{Operation: "accounts.count", Error: messagestest.Code(code,
			1500*time.Millisecond)})
		msg := nats.NewMsg("crm.accounts.count.request.acme")
		msg.Header.Set(messages.HeaderRequestID, "r-1")
		msg.Header.Set("Traceparent", "00-1")
		reply, err := nc.RequestMsg(msg, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for header, want := range map[string]string{messages.HeaderErrorCode: string(code),
			messages.HeaderRequestID:        "r-1",
			messages.HeaderServiceErrorCode: fmt.Sprint(code.Number()), messages.HeaderServiceError: code.Sentence(),
			messages.HeaderTraceParent: "00-1"} {
			if got := reply.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", code, header, got, want)
			}
		}
		if !strings.Contains(string(reply.Data), `"retry_after_ms":1500`) ||
			!strings.Contains(string(reply.Data), `"request_id":"r-1","connection":"acme"`) {
			t.Errorf("%s", reply.Data)
		}
	}
	if n, err := bridge.Client().Accounts().Count(t.Context(), messages.CountRequest{Target: acme}); n != 1 ||
		err != nil {
		t.Error(n, err)
	}
}

func TestStreams(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(25))
	stream := func() (pages []int, err error) {
		search := messages.SearchRequest{Target: acme, PageSize: 10, OrderBy: []string{"name"}}
		for page, err := range bridge.Client().Accounts().Stream(t.Context(), search) {
			if err != nil {
				return pages, err
			}
			pages = append(pages, len(page.Rows))
		}
		return pages, nil
	}
	if pages, err := stream(); !slices.Equal(pages, []int{10, 10, 5}) || err != nil {
		t.Error(pages, err)
	}
	bridge.Fail(messagestest.Fault{Skip: 1, Error: messagestest.Code(messages.Throttled, time.Second)})
	if pages, err := stream(); !slices.Equal(pages, []int{10}) || codeOf(err) != messages.Throttled {
		t.Error(pages, err)
	}
	bridge.Fail(messagestest.Fault{Skip: 1, Lost: true})
	if pages, err := stream(); !slices.Equal(pages, []int{10}) || codeOf(err) != messages.Unavailable ||
		!strings.Contains(err.Error(), "message 2 of the answer is missing") {
		t.Error(pages, err)
	}
}

func TestSlowAndLostAnswers(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(1))
	for name, fault := range map[string]messagestest.Fault{"slow": {Delay: time.Hour}, "lost": {Lost: true}} {
		bridge.Fail(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := bridge.Client().Accounts().Count(ctx, messages.CountRequest{Target: acme})
		cancel()
		if codeOf(err) != messages.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A request that waits when the bridge stops is answered.
	bridge.Fail(messagestest.Fault{Delay: time.Hour})
	inbox := nats.NewInbox()
	nc := bridge.Conn()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("crm.accounts.count.request.acme", inbox, nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for len(bridge.Faults()) > 0 {
		time.Sleep(time.Millisecond)
	}
	bridge.Stop()
	if msg, err := sub.NextMsg(time.Minute); err != nil || msg.Header.Get(messages.HeaderErrorCode) != "unavailable" {
		t.Error(msg, err)
	}
}

func TestNoResponders(t *testing.T) {
	bridge := messagestest.NewWith(t, messagestest.Options{Tables: []messages.Table{messages.Accounts}})
	bridge.Connect("acme", companies(2))
	client, nc := bridge.Client(), bridge.Conn()
	if _, err := client.Contacts().Count(t.Context(), messages.CountRequest{Target: acme}); !errors.Is(err,
		nats.ErrNoResponders) {
		t.Errorf("of a table that is not served: %v", err)
	}
	for range 2 {
		bridge.Stop()
		if _, err := nc.Request("crm.accounts.count.request.acme", nil, time.Minute); !errors.Is(err,
			nats.ErrNoResponders) {
			t.Errorf("while stopped: %v", err)
		}
		bridge.Start()
		if n, err := client.Accounts().Count(t.Context(), messages.CountRequest{Target: acme}); n != 2 || err != nil {
			t.Error(n, err)
		}
	}
}

// What the decoder refuses is refused with its sentence.
func TestInvalidRequests(t *testing.T) {
	bridge := messagestest.New(t)
	bridge.Connect("acme", companies(3))
	nc := bridge.Conn()
	for _, c := range []struct{ subject, body, says string }{
		{"accounts.search.request.acme", `{"wher":{}}`, `wher: there is no such member; did you mean where?`},
		{"accounts.search.request.acme", `{"page_size":5001}`, "page_size: must be from 1 to 5000"},
		{"accounts.search.request.acme", `{"page_size":0}`, "page_size: must be a whole number from 1 on"},
		{"accounts.search.request.acme", `{"where":{"field":"industri","op":"eq","value":1}}`,
			`where.field: there is no field "industri"; did you mean industry?`},
		{"accounts.search.request.acme", `{"where":{"field":"employees","op":"contains","value":"1"}}`,
			"where.op: employees is of type whole number"},
		{"accounts.search.request.acme", `{"where":{"field":"industry","op":"eq","value":"Nothing"}}`,
			"where.value: industry has no option with this label; the operation fields lists its 33 options, such as 1 A"},
		{"accounts.search.request.acme", `{"where":{"field":"industry","op":"eq","value":"Consultng"}}`,
			"where.value: industry has no option with this label; did you mean Consulting?"},
		{"accounts.search.request.acme", `{"where":{"field":"created_at","op":"eq","value":"yesterday"}}`,
			`where.value: created_at (date and time), operator "eq": a value is not an RFC 3339`},
		{"accounts.search.request.acme", `{"where":{"and":[{"field":"name","op":"in","value":["a",""]}]}}`,
			"where.and[0].value[1]: is empty"},
		{"accounts.search.request.acme", `{"fields":["name","name"]}`, "fields[1]: name is named twice"},
		{"accounts.search.request.acme", `{"order_by":["revenue desc"]}`, `order_by[0]: there is no field "revenue desc"; did you mean -revenue?`},
		{"accounts.search.request.acme", `{"order_by":["name ASC"]}`, `order_by[0]: there is no field "name ASC"; did you mean name?`},
		{"accounts.search.request.acme", `{"order_by":["name","-name"]}`, "order_by[1]: name is named twice"},
		{"accounts.search.request.acme", `{"cursor":"AAAA"}`, "cursor: is not a cursor of this connection"},
		{"accounts.search.request.acme", `{"mode":"all"}`, "mode: must be page or stream"},
		{"accounts.search.request.acme", `{"connection":"other"}`, "connection: the body names another connection"},
		{"accounts.search.request", `{}`, "connection: is missing"},
		{"accounts.get.request.acme", `{"account_id":"7"}`, "account_id: is not a GUID"},
		{"users.get.request.acme", `{}`, "user_id: is missing"},
		{"jobs.results.request.acme", `{"job_id":"j"}`, "page: is missing"},
		{"connections.authorize.request.new", `{"environment_url":"http://x.example"}`,
			"environment_url: is not the origin"},
	} {
		reply, err := nc.Request("crm."+c.subject, []byte(c.body), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if says := reply.Header.Get(messages.HeaderServiceError); reply.Header.Get(messages.HeaderErrorCode) != "invalid_request" ||
			!strings.HasPrefix(says, c.says) {
			t.Errorf("%s %s: %s", c.subject, c.body, says)
		}
	}
}

func TestChanges(t *testing.T) {
	bridge := messagestest.New(t)
	connection := bridge.Connect("acme", companies(5))
	client := bridge.Client()
	in := messages.ChangesRequest{Target: acme, Fields: []string{"id", "name"}, PageSize: 2}
	next := func() (rows, deleted int, more bool) {
		t.Helper()
		reply, err := client.Accounts().Changes(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		in.Cursor = reply.NextCursor
		return len(reply.Rows), len(reply.Deleted), reply.HasMore
	}
	for _, want := range []struct {
		rows int
		more bool
	}{{2, true}, {2, true}, {1, false}, {0, false}} {
		if rows, deleted, more := next(); rows != want.rows || deleted != 0 || more != want.more {
			t.Errorf("%d rows, %d deleted, %v; want %v", rows, deleted, more, want)
		}
	}
	ids := connection.Put("accounts", messagestest.Row{"name": "new"}, messagestest.Row{"name": "gone"})
	connection.Put("accounts", messagestest.Row{"id": ids[0], "name": "newer"})
	connection.Delete("accounts", ids[1])
	if rows, deleted, more := next(); rows != 1 || deleted != 1 || more {
		t.Errorf("%d rows, %d deleted, %v", rows, deleted, more)
	}
	bridge.Fail(messagestest.Fault{Operation: "accounts.changes", Error: messagestest.Code(messages.CursorExpired, 0)})
	if _, err := client.Accounts().Changes(t.Context(), in); codeOf(err) != messages.CursorExpired {
		t.Error(err)
	}
}

func TestConnections(t *testing.T) {
	bridge := messagestest.New(t)
	client := bridge.Client()
	asked, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: acme,
		EnvironmentURL: "https://contoso.crm4.dynamics.com", DailyCalls: 100})
	if err != nil || asked.ConnectURL == "" || asked.Connection.ID != "acme" {
		t.Fatal(asked, err)
	}
	if _, err := client.WhoAmI(t.Context(), "acme"); codeOf(err) != messages.ReauthorizationRequired {
		t.Errorf("while pending: %v", err)
	}
	is := func(phase string) {
		t.Helper()
		reply, err := client.SignIn(t.Context(), "acme", asked.ConnectURL)
		if err != nil || reply.SignIn.Phase != phase || (reply.SignIn.Error != nil) != (phase == messages.SignInFailed) {
			t.Errorf("%+v %v, want %s", reply, err, phase)
		}
	}
	is(messages.SignInWaiting)
	bridge.Decline("acme")
	is(messages.SignInFailed)
	if _, err := client.SignIn(t.Context(), "acme", asked.ConnectURL+"x"); codeOf(err) != messages.InvalidRequest {
		t.Error(err)
	}
	bridge.Approve("acme").Put("accounts", messagestest.Row{"name": "Contoso"})
	is(messages.SignInConnected)
	if limits, err := client.Limits(t.Context(), "acme"); err != nil || limits.DailyCalls != 100 {
		t.Error(limits, err)
	}
	if connection, err := client.Connection(t.Context(), "acme"); err != nil ||
		connection.Status != messages.StatusActive {
		t.Error(connection, err)
	}
	_, err = client.Authorize(t.Context(), messages.AuthorizeRequest{Target: acme,
		EnvironmentURL: "https://other.crm.dynamics.com"})
	if codeOf(err) != messages.ConnectionExists {
		t.Error(err)
	}
	bridge.Connect("narrow", messagestest.Tables{"accounts"},
		messagestest.Users{{ID: "11111111-2222-3333-4444-555555555555",
			Name: "Ada", Email: "ada@narrow.example"}})
	narrow := messages.Target{Connection: "narrow"}
	if _, err := client.Contacts().Count(t.Context(),
		messages.CountRequest{Target: narrow}); codeOf(err) != messages.ConsentRequired {
		t.Error(err)
	}
	if user, err := client.User(t.Context(), messages.UserGetRequest{Target: narrow,
		Email: "ADA@narrow.example"}); err != nil || user.Name != "Ada" {
		t.Error(user, err)
	}
	list, err := client.Connections(t.Context(), messages.ConnectionsListRequest{PageSize: 1})
	if err != nil || len(list.Connections) != 1 || list.NextCursor == "" {
		t.Error(list, err)
	}
	if checks, err := client.Check(t.Context(), messages.CheckRequest{Target: narrow}); err != nil ||
		len(checks) != 8 || !checks[0].OK {
		t.Error(checks, err)
	}
	if there, err := client.DeleteIfThere(t.Context(), "acme"); !there || err != nil {
		t.Error(there, err)
	}
	if _, err := client.WhoAmI(t.Context(), "acme"); codeOf(err) != messages.ConnectionNotFound {
		t.Error(err)
	}
}

func TestFieldsOfAnEnvironment(t *testing.T) {
	bridge := messagestest.New(t)
	tier := messagestest.Column{Name: "cb_tier", Label: "Tier", Type: messages.FieldChoices,
		Options: []messages.Choice{{Value: 1, Label: "Gold"}, {Value: 2, Label: "Silver"}}}
	secret := messagestest.Column{Name: "cb_secret", Type: messages.FieldText, Hidden: true}
	bridge.Connect("acme", messagestest.Rows{"accounts": {{"name": "a", "cb_tier": []string{"gold", "Silver"},
		"cb_secret": "x"},
		{"name": "b", "cb_tier": []int{2}}}}, messagestest.Columns{"accounts": {tier, secret}})
	client := bridge.Client()
	fields, err := client.Accounts().Fields(t.Context(), messages.FieldsRequest{Target: acme, CustomOnly: true})
	if err != nil || len(fields.Fields) != 2 || fields.Fields[0].Readable || fields.Fields[1].Label != "Tier" ||
		len(fields.Fields[1].Options) != 2 {
		t.Error(fields, err)
	}
	where := messages.Leaf("cb_tier", messages.ContainsAny, []string{"GOLD"})
	page, err := client.Accounts().Search(t.Context(), messages.SearchRequest{Target: acme, Where: &where,
		Fields: []string{"name", "cb_tier", "cb_secret"}})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Text("cb_tier") != "Gold; Silver" ||
		string(page.Rows[0]["cb_secret"]) != "null" {
		t.Error(page, err)
	}
	where = messages.Leaf("cb_secret", messages.Eq, "x")
	if _, err := client.Accounts().Count(t.Context(), messages.CountRequest{Target: acme,
		Where: &where}); codeOf(err) != messages.InvalidRequest {
		t.Error(err)
	}
}
