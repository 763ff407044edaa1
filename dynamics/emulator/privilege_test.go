package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

const attributes = "EntityDefinitions(LogicalName='account')/Attributes"

// Whoever lacks a privilege is refused by the routes that need it, in Microsoft's words, and by no other.
func TestEachPrivilegeInTurn(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5})
	c, tok, me := g.s.Control(), g.signIn("").AccessToken, g.s.Control().Users()[0].ID
	routes := map[string][]string{
		"prvReadAccount":      {"accounts", "accounts?$select=name&$count=true", "accounts/$count", "accounts?$apply=aggregate($count%20as%20c)", "accounts(" + me + ")"},
		"prvReadUser":         {"systemusers", "systemusers(" + me + ")"},
		"prvReadRole":         {"roles", "systemusers(" + me + ")/systemuserroles_association", "systemusers?$expand=systemuserroles_association($select=name)", "RetrieveRolePrivilegesRole(RoleId=@r)?@r=" + me},
		"prvReadTeam":         {"teams", "systemusers(" + me + ")/teammembership_association"},
		"prvReadBusinessUnit": {"businessunits"},
		"prvReadPrivilege":    {"privileges"},
		"prvReadOrganization": {"organizations"},
		"prvReadUserSettings": {"usersettingscollection", "usersettingscollection(" + me + ")"},
		"prvReadEntity":       {"EntityDefinitions", "EntityDefinitions(LogicalName='account')", attributes},
		"prvReadAttribute":    {attributes, attributes + "(LogicalName='industrycode')", attributes + "/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet"},
	}
	for privilege, paths := range routes {
		if !c.Withhold(emulator.DefaultUser, privilege) {
			t.Fatal(privilege, "is not known")
		}
		for _, path := range paths {
			r := g.api(tok, path)
			if r.status != 403 || !strings.Contains(r.body, `"code":"0x80040220"`) ||
				!strings.Contains(r.body, "is missing "+privilege+" privilege (Id=") {
				t.Errorf("%s without %s: %d %s", path, privilege, r.status, r.body)
			}
		}
		if r := g.api(tok, "WhoAmI"); r.status != 200 {
			t.Errorf("WhoAmI without %s: %d", privilege, r.status)
		}
		for other, more := range routes {
			if needsBoth := other == "prvReadAttribute" && privilege == "prvReadEntity"; other != privilege && !needsBoth {
				if r := g.api(tok, more[0]); r.status != 200 {
					t.Errorf("%s without %s: %d %s", more[0], privilege, r.status, r.body)
				}
			}
		}
		c.Restore(emulator.DefaultUser, privilege)
		if r := g.api(tok, paths[0]); r.status != 200 {
			t.Errorf("%s with %s again: %d", paths[0], privilege, r.status)
		}
	}
	c.Withhold(emulator.DefaultUser, "prvReadAccount")
	want := fmt.Sprintf(`{"error":{"code":"0x80040220","message":"Principal user (Id=%s, type=8, roleCount=1, privilegeCount=%d, accessMode=0), is missing prvReadAccount privilege `+
		`(Id=886b280c-6396-4d56-a0a3-2c1b0a50ceb0) on OTC=1 for entity 'account' (LocalizedName='Account'). context.Caller=%s"}}`, me, len(emulator.Privileges())-1, me)
	if r := g.api(tok, "accounts"); r.body != want {
		t.Errorf("got  %s\nwant %s", r.body, want)
	}
}

func TestDepths(t *testing.T) {
	const emea = "leila.haddad@contoso.example" // of Contoso EMEA
	const root = "tomas.ferreira@contoso.example"
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Users: []emulator.User{
		{Name: "Basic", UserName: "basic@x.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Own Accounts Reader"}},
		{Name: "Deep", UserName: "deep@x.example", Roles: []string{"Unit Tree Accounts Reader"}},
		{Name: "Low", UserName: "low@x.example", BusinessUnit: "Contoso Asia-Pacific", Roles: []string{"Unit Tree Accounts Reader"}},
	}})
	c := g.s.Control()
	users := map[string]string{}
	for _, u := range c.Users() {
		users[u.UserName] = u.ID
	}
	var teams struct {
		Value []struct{ TeamID, Name string }
	}
	if err := json.Unmarshal([]byte(g.api(g.signIn("").AccessToken, "teams").body), &teams); err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{"of the root": users[root], "of emea": users[emea],
		"of asia": users["misaki.tanaka@contoso.example"], "of basic": users["basic@x.example"], "of nobody": ""}
	for _, x := range teams.Value {
		if x.Name == "Key Accounts" {
			owners["of a team"] = x.TeamID
		}
	}
	ids := map[string]string{}
	for name, owner := range owners {
		ids[name] = c.PutAccount(emulator.Account{Name: name, OwnerID: owner})
	}
	all := []string{"of a team", "of asia", "of basic", "of emea", "of nobody", "of the root"}
	for _, x := range []struct {
		user string
		cut  emulator.Depth
		want []string
	}{
		{"basic@x.example", emulator.DepthGlobal, []string{"of basic"}},
		{"unit.accounts@contoso.example", emulator.DepthGlobal, []string{"of basic", "of emea"}},
		{"deep@x.example", emulator.DepthGlobal, all},
		{"deep@x.example", emulator.DepthLocal, []string{"of a team", "of nobody", "of the root"}},
		{"low@x.example", emulator.DepthGlobal, []string{"of asia"}},
		{emulator.DefaultUser, emulator.DepthGlobal, all},
		{emulator.DefaultUser, emulator.DepthLocal, []string{"of a team", "of nobody", "of the root"}},
		{emulator.DefaultUser, emulator.DepthBasic, nil},
		{root, emulator.DepthBasic, []string{"of a team", "of the root"}},
		{emea, emulator.DepthLocal, []string{"of basic", "of emea"}},
		{"juergen.weiss@contoso.example", emulator.DepthLocal, []string{"of basic", "of emea"}}, // by his teams' roles
	} {
		name := fmt.Sprintf("%s at %s", x.user, x.cut)
		if !c.Limit(x.user, "prvReadAccount", x.cut) {
			t.Fatal(name)
		}
		tok := g.signIn(x.user).AccessToken
		got := g.names(tok, "statecode eq 0")
		slices.Sort(got)
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: sees %q, want %q", name, got, x.want)
		}
		if r := g.api(tok, "accounts/$count"); r.body != fmt.Sprintf("\ufeff%d", len(x.want)) {
			t.Errorf("%s: counts %q", name, r.body)
		}
		if r := g.api(tok, "accounts?$apply=aggregate($count%20as%20c)"); !strings.Contains(r.body, fmt.Sprintf(`"c":%d}`, len(x.want))) {
			t.Errorf("%s: aggregates %s", name, r.body)
		}
		for row, id := range ids {
			r, seen := g.api(tok, "accounts("+id+")?$select=name"), slices.Contains(x.want, row)
			refusal := `{"error":{"code":"0x80048306","message":"Principal with id ` + users[x.user] +
				` does not have ReadAccess right(s) for record with id ` + id + ` of entity account"}}`
			if seen && r.status != 200 || !seen && (r.status != 403 || r.body != refusal) {
				t.Errorf("%s: %s: %d %s", name, row, r.status, r.body)
			}
		}
		// Change tracking needs the whole organization.
		missing := strings.Contains(g.api(tok, "accounts", "Prefer", "odata.track-changes").body,
			"is missing prvReadAccount privilege")
		if organization := x.cut == emulator.DepthGlobal && x.user == emulator.DefaultUser; missing == organization {
			t.Errorf("%s: change tracking refused: %t", name, missing)
		}
		c.Restore(x.user, "prvReadAccount")
	}
}

func TestPrivilegeFunctions(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	const planner = "tomas.ferreira@contoso.example"
	var me, him string
	for _, u := range c.Users() {
		switch u.UserName {
		case emulator.DefaultUser:
			me = u.ID
		case planner:
			him = u.ID
		}
	}
	mine := c.PutAccount(emulator.Account{Name: "mine", OwnerID: me})
	his := c.PutAccount(emulator.Account{Name: "his", OwnerID: him})
	c.Limit(planner, "prvReadAccount", emulator.DepthBasic)
	at := func(user, function string) string {
		return "systemusers(" + user + ")/Microsoft.Dynamics.CRM." + function
	}
	target := func(id string) string { return "?@t=" + url.QueryEscape("{'@odata.id':'accounts("+id+")'}") }
	for path, want := range map[string]string{
		at(me, "RetrieveUserPrivileges"):    `RetrieveUserPrivilegesResponse","RolePrivileges":[{"Depth":"Global","PrivilegeId":"`,
		at(him, "RetrieveUserPrivileges()"): `{"Depth":"Basic","PrivilegeId":"886b280c-6396-4d56-a0a3-2c1b0a50ceb0","BusinessUnitId":"`,
		at(him, "RetrieveUserSetOfPrivilegesByNames(PrivilegeNames=@p)") +
			`?@p=["prvReadAccount","prvNix"]`: `"PrivilegeName":"prvReadAccount","RecordFilterId":"00000000-0000-0000-0000-000000000000","RecordFilterUniqueName":null}]}`,
		at(him, "RetrieveUserSetOfPrivilegesByNames(PrivilegeNames=@p)") +
			`?@p=["prvDeleteAccount"]`: `"RolePrivileges":[]}`,
		at(me, "RetrievePrincipalAccess(Target=@t)") + target(mine):                                              `RetrievePrincipalAccessResponse","AccessRights":"ReadAccess, WriteAccess, DeleteAccess"}`,
		at(him, "RetrievePrincipalAccess(Target=@t)") + target(his):                                              `"AccessRights":"ReadAccess, WriteAccess"}`, // writing by his team's role
		at(him, "RetrievePrincipalAccess(Target=@t)") + target(mine):                                             `"AccessRights":"WriteAccess"}`,
		at(me, "RetrieveUserPrivileges(") + "x)":                                                                 "Error in query syntax.",
		at(me, "RetrieveEverything"):                                                                             "Resource not found for the segment 'Microsoft.Dynamics.CRM.RetrieveEverything'.",
		at(me, "RetrievePrincipalAccess(Target=@t)"):                                                             "Error in query syntax.",
		at(me, "RetrievePrincipalAccess(Target=@t)") + target(me):                                                `"code":"0x80040217"`,
		at(me, "RetrievePrincipalAccess(Target=@t)") + "?@t=" + url.QueryEscape("{'@odata.id':'nix("+me+")'}"):   `"code":"0x80040217"`,
		at("018d0d88-05c2-46bb-ac83-63a910e8b1f1", "RetrieveUserPrivileges"):                                     "Does Not Exist",
		"RetrieveRolePrivilegesRole(RoleId=@rid)?@rid=x":                                                         "Error in query syntax.",
		"RetrieveRolePrivilegesRole(RoleId=@rid)?@rid=018d0d88-05c2-46bb-ac83-63a910e8b1f1":                      "Entity 'role' With Id = 018d0d88-05c2-46bb-ac83-63a910e8b1f1 Does Not Exist",
		"privileges?$select=name,accessright&$filter=name%20eq%20'prvReadAccount'":                               `"name":"prvReadAccount","accessright":1,"privilegeid":"886b280c-6396-4d56-a0a3-2c1b0a50ceb0"}]}`,
		"businessunits?$select=name,_parentbusinessunitid_value&$filter=_parentbusinessunitid_value%20eq%20null": `"name":"Contoso","_parentbusinessunitid_value":null`,
	} {
		if r := g.api(tok, path); !strings.Contains(r.body, want) || !json.Valid([]byte(r.body)) ||
			(r.status == 200) != strings.Contains(r.body, "@odata.context") {
			t.Errorf("%s: %d %s\nwant %s", path, r.status, r.body, want)
		}
	}
	var row struct {
		Value []struct{ RoleID, TeamID string }
	}
	for path, function := range map[string]string{
		"roles?$filter=" + url.QueryEscape("name eq 'Account Reader Only'"): "RetrieveRolePrivilegesRole(RoleId=%s)",
		"teams?$filter=" + url.QueryEscape("name eq 'Key Accounts'"):        "teams(%s)/Microsoft.Dynamics.CRM.RetrieveTeamPrivileges()",
	} {
		if err := json.Unmarshal([]byte(g.api(tok, path).body), &row); err != nil {
			t.Fatal(err)
		}
		r := g.api(tok, fmt.Sprintf(function, row.Value[0].RoleID+row.Value[0].TeamID))
		if r.status != 200 || !strings.Contains(r.body, `"PrivilegeName":"prvReadAccount"`) ||
			!strings.Contains(r.body, `"RolePrivileges":[`) {
			t.Errorf("%s: %d %s", function, r.status, r.body)
		}
		row.Value = nil
	}
}

func TestUserControlOverHTTP(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 40})
	tok := g.signIn("").AccessToken
	post := func(path string) reply { return g.do("POST", "/_emulator/"+path, "", nil) }
	who := "user=" + emulator.DefaultUser
	for path, want := range map[string]string{
		"withhold": "user must be one of",
		"withhold?user=nobody&privilege=prvReadAccount": "user must be one of",
		"withhold?" + who:                                      "privilege must be one of prvCreateAccount, ",
		"withhold?" + who + "&privilege=prvReadX":              "privilege must be one of",
		"withhold?" + who + "&privilege=prvReadUser&depth=Far": "depth must be None, Basic, Local, Deep or Global",
		"language?" + who:                                      "lcid must be one of 1033 (English), 1031 (German), 1036 (French)",
		"language?" + who + "&lcid=1034":                       "lcid must be one of",
		"language?user=nobody&lcid=1031":                       "user must be one of",
	} {
		if r := post(path); r.status != 400 || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	count := func() string { return g.api(tok, "accounts?$apply=aggregate($count%20as%20c)").body }
	for _, step := range []struct{ path, want string }{
		{"withhold?" + who + "&privilege=prvReadAccount", "is missing prvReadAccount"},
		{"withhold?" + who + "&privilege=prvReadAccount&depth=Basic", `{"c":`},
		{"withhold?" + who + "&privilege=prvReadAccount&off=1", `{"c":40}`},
		{"app-blocked", `"code":"0x80095ffc","message":"Access to Dataverse API is restricted for this application Id : '` + emulator.DefaultClientID + `'. Please contact your administrator for more information."`},
		{"app-blocked?off=1", `{"c":40}`},
	} {
		if r := post(step.path); r.status != 200 || !strings.Contains(count(), step.want) {
			t.Errorf("%s: %d %s, then %s", step.path, r.status, r.body, count())
		}
	}
	if post("language?" + who + "&lcid=1031"); !strings.Contains(g.api(tok, attributes).body, `"UserLocalizedLabel":{"Label":"Branche","LanguageCode":1031`) {
		t.Error("the language stayed")
	}
	if d, ok := emulator.ParseDepth("deep"); !ok || d.String() != "Deep" || emulator.Depth(9).String() != "Depth(9)" {
		t.Error(d)
	}
}
