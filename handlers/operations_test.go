package handlers

import (
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

const nobody = "00000000-0000-0000-0000-000000000001"

// A connection of the application is made, listed, read and deleted over NATS.
func TestConnections(t *testing.T) {
	e := emulate(t, -1)
	_, err := e.Connection(t.Context(), "acme")
	as(t, err, messages.ConnectionNotFound)
	if list, err := e.Connections(t.Context(), messages.ConnectionsListRequest{Target: acme}); err != nil || len(list.Connections) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	e.connect(t)
	got, err := e.Connection(t.Context(), "acme")
	if err != nil || got.ID != "acme" || got.Status != messages.StatusActive || got.Grant != messages.GrantClientCredentials || got.UserID == "" || got.AccessTokenExpiresAt == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	reply, err := e.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "globex"}, EnvironmentURL: e.url})
	if err != nil || !strings.HasPrefix(reply.ConnectURL, "http://127.0.0.1:1/") || reply.State != "" {
		t.Fatalf("%+v, %v", reply, err)
	}
	var ids []string
	in := messages.ConnectionsListRequest{PageSize: 1}
	for range 3 {
		list, err := e.Connections(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, connection := range list.Connections {
			ids = append(ids, connection.ID+" "+connection.Status)
		}
		if in.Cursor = list.NextCursor; in.Cursor == "" {
			break
		}
	}
	if !slices.Equal(ids, []string{"acme active", "globex pending"}) {
		t.Errorf("%q", ids)
	}
	if list, err := e.Connections(t.Context(), messages.ConnectionsListRequest{Target: acme}); err != nil || len(list.Connections) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if deleted, err := e.DeleteIfThere(t.Context(), "acme"); err != nil || deleted != want {
			t.Errorf("%v, %v", deleted, err)
		}
	}
	_, err = e.Accounts().Search(t.Context(), messages.SearchRequest{Target: acme})
	as(t, err, messages.ConnectionNotFound)
}

// What is wrong with a request about connections is named, and nothing is asked of anybody.
func TestRequestsAboutConnectionsThatAreRefused(t *testing.T) {
	e := emulate(t, -1)
	valid := messages.AuthorizeRequest{Target: acme, EnvironmentURL: e.url}
	for path, change := range map[string]func(*messages.AuthorizeRequest){
		"environment_url": func(in *messages.AuthorizeRequest) { in.EnvironmentURL = "https://example.org" },
		"grant":           func(in *messages.AuthorizeRequest) { in.Grant = "password" },
		"prompt":          func(in *messages.AuthorizeRequest) { in.Prompt = "please" },
		"login_hint":      func(in *messages.AuthorizeRequest) { in.LoginHint = strings.Repeat("x", maxHint+1) },
	} {
		in := valid
		change(&in)
		_, err := e.Authorize(t.Context(), in)
		if fault := as(t, err, messages.InvalidRequest); len(fault.Details) != 1 || fault.Details[0].Path != path {
			t.Errorf("%s: %+v", path, fault)
		}
	}
	for _, change := range []func(*messages.AuthorizeRequest){
		func(in *messages.AuthorizeRequest) { in.LoginHint = "somebody" },
		func(in *messages.AuthorizeRequest) { in.Prompt = "login" },
	} {
		in := valid
		in.Grant = messages.GrantClientCredentials
		change(&in)
		_, err := e.Authorize(t.Context(), in)
		as(t, err, messages.InvalidRequest)
	}
	_, err := e.Authorize(t.Context(), messages.AuthorizeRequest{Target: acme})
	as(t, err, messages.InvalidRequest)
	for _, in := range []messages.ConnectionsListRequest{{PageSize: messages.MaxConnectionsPageSize + 1}, {Cursor: "!"}} {
		_, err := e.Connections(t.Context(), in)
		as(t, err, messages.InvalidRequest)
	}
	_, err = e.Complete(t.Context(), messages.CompleteRequest{Target: acme, State: "x", Code: "x"})
	as(t, err, messages.NotSupported)
	e.operations.BusCompletion = true
	for _, in := range []messages.CompleteRequest{{Code: "x"}, {State: "x"}, {State: "x", Code: "x", Error: "x"}} {
		in.Target = acme
		_, err := e.Complete(t.Context(), in)
		as(t, err, messages.InvalidRequest)
	}
	if _, err := e.Complete(t.Context(), messages.CompleteRequest{Target: acme, State: "unknown", Code: "x"}); err == nil {
		t.Error("an authorization that was never begun was completed")
	}
}

// Who the connection is, and users by id and address, come from Dataverse.
func TestUsers(t *testing.T) {
	e := emulate(t, -1).connect(t)
	who, err := e.WhoAmI(t.Context(), "acme")
	if err != nil || who.UserID == "" || who.OrganizationID == "" || who.BusinessUnitID == "" {
		t.Fatalf("%+v, %v", who, err)
	}
	byID, err := e.User(t.Context(), messages.UserGetRequest{Target: acme, UserID: strings.ToUpper(who.UserID)})
	if err != nil || !strings.EqualFold(byID.ID, who.UserID) || len(byID.Roles) == 0 {
		t.Fatalf("%+v, %v", byID, err)
	}
	byEmail, err := e.User(t.Context(), messages.UserGetRequest{Target: acme, Email: strings.ToUpper(emulator.DefaultUser)})
	if err != nil || byEmail.Name == "" {
		t.Errorf("%+v, %v", byEmail, err)
	}
	for _, c := range []struct {
		in   messages.UserGetRequest
		code messages.Code
	}{
		{messages.UserGetRequest{}, messages.InvalidRequest},
		{messages.UserGetRequest{UserID: nobody, Email: "x"}, messages.InvalidRequest},
		{messages.UserGetRequest{UserID: "7"}, messages.InvalidRequest},
		{messages.UserGetRequest{Email: strings.Repeat("x", maxEmail+1)}, messages.InvalidRequest},
		{messages.UserGetRequest{UserID: nobody}, messages.NotFound},
		{messages.UserGetRequest{Email: "nobody@example.org"}, messages.NotFound},
	} {
		c.in.Target = acme
		_, err := e.User(t.Context(), c.in)
		as(t, err, c.code)
	}
}

// Rows are read by id, counted, and found by columns that only the metadata knows.
func TestRows(t *testing.T) {
	e := emulate(t, 300).connect(t)
	accounts := e.Accounts()
	page, err := accounts.Search(t.Context(), messages.SearchRequest{Target: acme, PageSize: 3, OrderBy: []string{"name"}, IncludeTotal: true})
	if err != nil || len(page.Rows) != 3 || page.Total == nil || page.NextCursor == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if n, err := accounts.Count(t.Context(), messages.CountRequest{Target: acme}); err != nil || n != *page.Total {
		t.Errorf("%d, %v, want %d", n, err, *page.Total)
	}
	id, name := idsOf(t, page.Rows)[0], string(page.Rows[0]["name"])
	row, err := accounts.Get(t.Context(), messages.GetRequest{Target: acme, ID: strings.ToUpper(id)})
	if err != nil || string(row["name"]) != name || len(row) != len(messages.DefaultFields()) {
		t.Errorf("%+v, %v", row, err)
	}
	for _, c := range []struct {
		in   messages.GetRequest
		code messages.Code
	}{
		{messages.GetRequest{}, messages.InvalidRequest},
		{messages.GetRequest{ID: "7"}, messages.InvalidRequest},
		{messages.GetRequest{ID: id, Fields: []string{"nmae"}}, messages.InvalidRequest},
		{messages.GetRequest{ID: nobody}, messages.NotFound},
	} {
		c.in.Target = acme
		_, err := accounts.Get(t.Context(), c.in)
		as(t, err, c.code)
	}
	// A column of the customer's, with a label, in a filter, an order and the fields.
	where := messages.Where{Field: "cb_channels", Op: messages.ContainsAny, Value: []byte(`["email"]`)}
	custom, err := accounts.Search(t.Context(), messages.SearchRequest{Target: acme, Where: &where, Fields: []string{"id", "cb_channels", "cb_lastcampaign"},
		OrderBy: []string{"-cb_lastcampaign"}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := accounts.Count(t.Context(), messages.CountRequest{Target: acme, Where: &where})
	if err != nil || n == 0 || n == *page.Total || int64(len(custom.Rows)) != min(n, messages.DefaultPageSize) {
		t.Errorf("%d rows of %d, %v", len(custom.Rows), n, err)
	}
	_, err = accounts.Count(t.Context(), messages.CountRequest{Target: acme, Where: &messages.Where{}})
	as(t, err, messages.InvalidRequest)
}

// The fields of the table come in messages that fit, each once, and the cursor goes on
// where the last one ended.
func TestFields(t *testing.T) {
	e := emulate(t, 1).connect(t)
	list := func(in messages.FieldsRequest) (names []string, replies int) {
		in.Target = acme
		for replies < 100 {
			reply, err := e.Accounts().Fields(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			replies++
			for _, field := range reply.Fields {
				names = append(names, field.LogicalName)
				if field.LogicalName == "industrycode" && (field.Name != "industry" || field.Type != messages.FieldChoice || len(field.Options) < 30) {
					t.Errorf("%+v", field)
				}
			}
			if in.Cursor = reply.NextCursor; in.Cursor == "" {
				break
			}
			in.CustomOnly = false // it is in the cursor
		}
		return names, replies
	}
	all, _ := list(messages.FieldsRequest{})
	custom, _ := list(messages.FieldsRequest{CustomOnly: true})
	if !slices.IsSorted(all) || !slices.Contains(all, "accountid") || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("%q", all)
	}
	if !slices.Contains(custom, "cb_channels") || slices.Contains(custom, "accountid") || len(custom) >= len(all) {
		t.Errorf("%q", custom)
	}
	// A choice whose options take more than a message is cut, and the rest follows.
	for value := range 2000 {
		if !e.control.AddOption("cb_channels", 1_000_000+value, map[int]string{1033: strings.Repeat("x", 50)}) {
			t.Fatal("no option was added")
		}
	}
	if _, err := e.DeleteIfThere(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	e.connect(t)
	again, replies := list(messages.FieldsRequest{})
	if !slices.Equal(again, all) || replies < 2 {
		t.Errorf("%d fields in %d replies, want %d in several", len(again), replies, len(all))
	}
	_, err := e.Accounts().Fields(t.Context(), messages.FieldsRequest{Target: acme, Cursor: "x"})
	as(t, err, messages.InvalidRequest)
}

// A column that the environment gets, renames or loses is known soon, and a filter that
// Dataverse no longer knows is planned anew.
func TestColumnsThatComeAndGo(t *testing.T) {
	e := emulate(t, 10).connect(t)
	where := messages.HasValue("cb_lastcampaign")
	search := func() error {
		_, err := e.Accounts().Search(t.Context(), messages.SearchRequest{Target: acme, Fields: []string{"id"}, Where: &where})
		return err
	}
	if err := search(); err != nil {
		t.Fatal(err)
	}
	if !e.control.RemoveColumn("cb_lastcampaign") {
		t.Fatal("nothing was removed")
	}
	fault := as(t, search(), messages.InvalidRequest)
	if len(fault.Details) != 1 || fault.Details[0].Path != "where.field" {
		t.Errorf("%+v", fault)
	}
}

// Every permission is tried, and what is missing is named with what mends it.
func TestChecks(t *testing.T) {
	e := emulate(t, 10)
	_, err := e.Check(t.Context(), "acme")
	as(t, err, messages.ConnectionNotFound)
	e.connect(t)
	who, err := e.WhoAmI(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	failed := func() map[string]messages.PermissionCheck {
		checks, err := e.Check(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]messages.PermissionCheck{}
		for _, check := range checks {
			if !check.OK {
				out[check.Name] = check
			}
		}
		return out
	}
	if got := failed(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	var application string
	for _, user := range e.control.Users() {
		if strings.EqualFold(user.ID, who.UserID) {
			application = user.UserName
		}
	}
	if !e.control.Withhold(application, "prvReadTeam") {
		t.Fatalf("nothing was withheld from %q", application)
	}
	if got := failed(); len(got) != 1 || got[messages.CheckTeamsRead].MissingPrivilege != "prvReadTeam" || !strings.Contains(got[messages.CheckTeamsRead].HowToFix, "Team") {
		t.Errorf("%+v", got)
	}
	e.control.Restore(application, "prvReadTeam")
	e.control.SetChangeTracking(false)
	if got := failed(); len(got) != 1 || !strings.Contains(got["accounts.changes"].HowToFix, "Track changes") {
		t.Errorf("%+v", got)
	}
	_, err = e.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme})
	as(t, err, messages.NotSupported)
}
