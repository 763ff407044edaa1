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
	if list, err := e.Connections(t.Context(), messages.ConnectionsListRequest{Target: acme}); err != nil ||
		len(list.Connections) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	e.connect(t)
	got, err := e.Connection(t.Context(), "acme")
	if err != nil || got.ID != "acme" || got.Status != messages.StatusActive ||
		got.Grant != messages.GrantClientCredentials || got.UserID == "" || got.AccessTokenExpiresAt == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	reply, err := e.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "globex"},
		EnvironmentURL: e.url})
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
	if list, err := e.Connections(t.Context(), messages.ConnectionsListRequest{Target: acme}); err != nil ||
		len(list.Connections) != 1 {
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
		"login_hint":      func(in *messages.AuthorizeRequest) { in.LoginHint = strings.Repeat("x", messages.MaxLoginHint+1) },
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
	byEmail, err := e.User(t.Context(), messages.UserGetRequest{Target: acme,
		Email: strings.ToUpper(emulator.DefaultUser)})
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
		{messages.UserGetRequest{Email: strings.Repeat("x", messages.MaxEmail+1)}, messages.InvalidRequest},
		{messages.UserGetRequest{UserID: nobody}, messages.NotFound},
		{messages.UserGetRequest{Email: "nobody@example.org"}, messages.NotFound},
	} {
		c.in.Target = acme
		_, err := e.User(t.Context(), c.in)
		as(t, err, c.code)
	}
}

// Every permission is tried, and what is missing is named with what mends it.
func TestChecks(t *testing.T) {
	e := emulate(t, 10)
	_, err := e.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "acme"}})
	as(t, err, messages.ConnectionNotFound)
	e.connect(t)
	who, err := e.WhoAmI(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	failed := func() map[string]messages.PermissionCheck {
		checks, err := e.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "acme"}})
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
	if got := failed(); len(got) != 1 || got[messages.CheckTeamsRead].MissingPrivilege != "prvReadTeam" ||
		!strings.Contains(got[messages.CheckTeamsRead].HowToFix, "Team") {
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
