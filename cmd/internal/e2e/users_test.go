package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// users.get finds one enabled user by an address in any case, disabled users and
// application users by id, and tells of every role by which way it is held.
func TestUsersAndTheirRoles(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10, Users: []emulator.User{
		{Name: "Twin One", UserName: "twin.one@contoso.example", Email: "twins@contoso.example"},
		{Name: "Twin Two", UserName: "twin.two@contoso.example", Email: "twins@contoso.example"},
		{Name: "Twin Three", UserName: "twin.three@contoso.example", Email: "twins@contoso.example", Disabled: true},
	}})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	ids := map[string]string{}
	for _, user := range w.Emulator.Control().Users() {
		ids[user.Name] = user.ID
	}
	get := func(in messages.UserGetRequest) (*messages.User, error) {
		in.Target = messages.Target{Connection: "acme"}
		return client.User(t.Context(), in)
	}
	for _, c := range []struct {
		name string
		ask  messages.UserGetRequest
		ways []string
	}{
		{"Grace Okonkwo", messages.UserGetRequest{Email: "GRACE.Okonkwo@contoso.example"}, []string{"Basic User direct", "Salesperson Key Accounts", "Salesperson direct"}},
		{"Grace Okonkwo", messages.UserGetRequest{UserID: strings.ToUpper(ids["Grace Okonkwo"])}, []string{"Basic User direct", "Salesperson Key Accounts", "Salesperson direct"}},
		{"Marta Nowak", messages.UserGetRequest{Email: "sales.desk@contoso.example"}, []string{"Salesperson direct"}}, // the other one is disabled
		{"Henrik Dahl", messages.UserGetRequest{UserID: ids["Henrik Dahl"]}, []string{"Salesperson direct"}},
		{"# crmbridge integration", messages.UserGetRequest{UserID: ids["# crmbridge integration"]}, []string{"Campaign Reader direct"}},
		{"No Roles", messages.UserGetRequest{Email: "no.roles@contoso.example"}, nil},
	} {
		user, err := get(c.ask)
		if err != nil {
			t.Errorf("%+v: %v", c.ask, err)
			continue
		}
		var ways []string
		for _, role := range user.Roles {
			ways = append(ways, role.Name+" "+role.Via)
		}
		slices.Sort(ways)
		if user.Name != c.name || user.ID != ids[c.name] || user.Disabled != (c.name == "Henrik Dahl") || user.BusinessUnitID == "" || !slices.Equal(ways, c.ways) {
			t.Errorf("%+v: %+v with %q, want %s with %q", c.ask, user, ways, c.name, c.ways)
		}
	}
	for _, c := range []struct {
		ask  messages.UserGetRequest
		code messages.Code
		says []string
	}{
		{messages.UserGetRequest{Email: "twins@contoso.example"}, messages.InvalidRequest, []string{ids["Twin One"], ids["Twin Two"], ids["Twin Three"]}},
		{messages.UserGetRequest{Email: "twin.three@contoso.example"}, messages.InvalidRequest, []string{"no enabled user", ids["Twin Three"]}},
		{messages.UserGetRequest{Email: "nobody@contoso.example"}, messages.NotFound, nil},
		{messages.UserGetRequest{UserID: "11111111-2222-3333-4444-555555555555"}, messages.NotFound, nil},
	} {
		_, err := get(c.ask)
		fault, ok := errors.AsType[*messages.Error](err)
		if !ok || fault.Code != c.code || slices.ContainsFunc(c.says, func(s string) bool { return !strings.Contains(fault.Message, s) }) {
			t.Errorf("%+v: %v", c.ask, err)
		}
	}
}

// A user in thousands of access teams and in many others is read in few calls.
func TestUserInManyTeams(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10, Users: []emulator.User{
		{Name: "Popular", UserName: "popular@contoso.example", Roles: []string{"Basic User"}, AccessTeams: 3000, OwnerTeams: 120},
		{Name: "Everywhere", UserName: "everywhere@contoso.example", OwnerTeams: 510},
	}})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().ResetCounts()
	get := func(email string) *messages.User {
		t.Helper()
		user, err := client.User(t.Context(), messages.UserGetRequest{Target: messages.Target{Connection: "acme"}, Email: email})
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	user := get("popular@contoso.example")
	if len(user.Roles) != 121 || user.RolesTruncated || user.Roles[0].Via != messages.RoleDirect || user.Roles[120].Name != "Salesperson" {
		t.Errorf("%d roles, truncated %v", len(user.Roles), user.RolesTruncated)
	}
	calls := 0
	for _, n := range w.Emulator.Control().Counts().Data {
		calls += n
	}
	if calls > 8 {
		t.Errorf("%d calls: %v", calls, w.Emulator.Control().Counts().Data)
	}
	if user := get("everywhere@contoso.example"); len(user.Roles) != 500 || !user.RolesTruncated {
		t.Errorf("%d roles, truncated %v", len(user.Roles), user.RolesTruncated)
	}
}
