package emulator_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// query reads a collection, and fails unless it is answered.
func (g *rig) query(token, path string, header ...string) []map[string]any {
	g.Helper()
	r := g.api(token, path, header...)
	var body struct {
		Value []map[string]any `json:"value"`
	}
	if err := json.Unmarshal([]byte(r.body), &body); r.status != 200 || err != nil {
		g.Fatalf("%s: %d %.300s", path, r.status, r.body)
	}
	return body.Value
}

// The contacts are people of the accounts, and differ in everything that a campaign asks for.
func TestContactsOfAccounts(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 400})
	tok := g.signIn("").AccessToken
	rows := g.query(tok, "contacts", "Prefer", `odata.include-annotations="*"`)
	if len(rows) != 1000 {
		t.Fatalf("%d contacts of 400 accounts", len(rows))
	}
	const logical = "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"
	const navigation = "_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"
	seen := map[string]int{}
	names := map[string]string{}
	for _, r := range rows {
		names[r["contactid"].(string)], _ = r["fullname"].(string)
		switch kind, _ := r[logical].(string); kind {
		case "account", "contact":
			seen["of "+kind]++
			if r[navigation] != "parentcustomerid_"+kind {
				t.Fatalf("%v: %v", r["fullname"], r[navigation])
			}
		case "":
			seen["alone"]++
		default:
			t.Fatalf("%v belongs to a %s", r["fullname"], kind)
		}
		for _, flag := range []string{"donotemail", "donotbulkemail", "merged"} {
			if r[flag].(bool) {
				seen[flag]++
			}
		}
		if r["statecode"].(float64) == 1 {
			seen["inactive"]++
		} else if r["merged"].(bool) {
			t.Errorf("%v is merged and active", r["fullname"])
		}
		for _, column := range []string{"jobtitle", "department", "emailaddress1", "telephone1", "mobilephone", "cb_persona", "cb_interests", "_masterid_value",
			"_transactioncurrencyid_value", "firstname"} {
			if r[column] != nil {
				seen[column]++
			}
		}
	}
	for _, what := range []string{"of account", "of contact", "alone", "donotemail", "donotbulkemail", "merged", "inactive", "jobtitle", "department",
		"emailaddress1", "telephone1", "mobilephone", "cb_persona", "cb_interests", "_masterid_value", "_transactioncurrencyid_value", "firstname"} {
		if n := seen[what]; n == 0 || n == len(rows) {
			t.Errorf("%s: %d of %d", what, n, len(rows))
		}
	}
	primary := 0
	for _, a := range g.query(tok, "accounts?$select=_primarycontactid_value", "Prefer", `odata.include-annotations="*"`) {
		id, ok := a["_primarycontactid_value"].(string)
		if !ok {
			continue
		}
		primary++
		if name := a["_primarycontactid_value@OData.Community.Display.V1.FormattedValue"]; names[id] == "" ||
			names[id] != name {
			t.Fatalf("the primary contact %s is %q, not %v", id, names[id], name)
		}
		if r := g.query(tok, "contacts?$select=_parentcustomerid_value&$filter=contactid%20eq%20"+id); r[0]["_parentcustomerid_value"] != a["accountid"] {
			t.Fatalf("%s is primary contact of %v and belongs to %v", id, a["accountid"], r[0]["_parentcustomerid_value"])
		}
	}
	if primary < 200 || primary == 400 {
		t.Errorf("%d of 400 accounts have a primary contact", primary)
	}
}

// The same options give the same rows, whatever happens before somebody needs them, and rows that
// are made late are no changes.
func TestRowsAreMadeLate(t *testing.T) {
	all := func(before func(emulator.Control)) string {
		g := start(t, emulator.Options{AutoConsent: true, Accounts: 50, Seed: 7})
		before(g.s.Control())
		return g.api(g.signIn("").AccessToken, "contacts?$filter=contactid%20ne%2000000000-0000-0000-0000-000000000001").body
	}
	plain := all(func(emulator.Control) {})
	changed := all(func(c emulator.Control) {
		for a := range c.Accounts() {
			c.DeleteAccount(a.ID)
		}
	})
	strip := func(s string) string { return s[strings.Index(s, `"value"`):] }
	if strip(plain) != strip(changed) {
		t.Error("the contacts depend on what happened to the accounts")
	}
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 50})
	tok := g.signIn("").AccessToken
	first, _ := g.delta(tok, "/api/data/v9.2/accounts?$select=name", track)
	token := first.DeltaLink[strings.Index(first.DeltaLink, "$deltatoken"):]
	if r := g.api(tok, "contacts?$select=fullname&"+token); r.status != 200 || !strings.Contains(r.body, `"value":[]`) {
		t.Errorf("contacts that nobody had asked for are changes: %.300s", r.body)
	}
	id, err := g.s.Control().Table("contacts").Put(emulator.Row{"lastname": "New", "emailaddress1": "new@people.example"})
	if err != nil {
		t.Fatal(err)
	}
	if r := g.api(tok, "contacts?$select=fullname&"+token); !strings.Contains(r.body, id) ||
		strings.Count(r.body, "@odata.etag") != 1 {
		t.Errorf("the new one: %.300s", r.body)
	}
	if r := g.api(tok, "accounts?$select=name&"+token); strings.Contains(r.body, "etag") {
		t.Errorf("a contact is a change of accounts: %.300s", r.body)
	}
}

// Each table has its own privilege, depth, errors and changes.
func TestTablesArePrivilegedApart(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 200})
	count := func(user, set string) string {
		return strings.TrimPrefix(g.api(g.signIn(user).AccessToken, set+"/$count").body, "\ufeff")
	}
	for user, want := range map[string]string{"": "500", "no.accounts@contoso.example": "prvReadContact", "no.contacts@contoso.example": "OTC=2 for entity 'contact' (LocalizedName='Contact')"} {
		if got := count(user, "contacts"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", user, got)
		}
	}
	if n := count("own.contacts@contoso.example", "contacts"); n != "0" {
		t.Errorf("own.contacts sees %s contacts", n)
	}
	if n := count("own.contacts@contoso.example", "accounts"); n != "200" {
		t.Errorf("own.contacts sees %s accounts", n)
	}
	tok, c := g.signIn("own.contacts@contoso.example").AccessToken, g.s.Control()
	var me string
	for _, u := range c.Users() {
		if u.UserName == "own.contacts@contoso.example" {
			me = u.ID
		}
	}
	mine, err := c.Table("contacts").Put(emulator.Row{"lastname": "Mine", "ownerid": me})
	if err != nil {
		t.Fatal(err)
	}
	if rows := g.query(tok, "contacts?$select=fullname"); len(rows) != 1 || rows[0]["fullname"] != "Mine" {
		t.Errorf("own contacts: %v", rows)
	}
	access := "systemusers(" + me + ")/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)?@t=" +
		url.QueryEscape(`{"@odata.id":"contacts(`+mine+`)"}`)
	if r := g.api(tok, access); !strings.Contains(r.body, "ReadAccess") {
		t.Errorf("%s", r.body)
	}
	privileges := g.api(tok, "systemusers("+me+")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()").body
	for _, want := range []string{`"Depth":"Basic","PrivilegeId":"`, `"PrivilegeName":"prvReadContact"`, `"PrivilegeName":"prvReadAccount"`} {
		if !strings.Contains(privileges, want) {
			t.Errorf("%s is missing in %.600s", want, privileges)
		}
	}
	named := g.api(tok, "systemusers("+me+")/Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='prvReadContact')").body
	if strings.Count(named, "PrivilegeName\":") != 1 || !strings.Contains(named, `"Depth":"Basic"`) ||
		!strings.Contains(named, "prvReadContact") {
		t.Errorf("%s", named)
	}
	if r := g.api(tok, "contacts?$select=fullname", "Prefer", track); !strings.Contains(r.body, "is missing prvReadContact privilege") {
		t.Errorf("changes need the whole organization: %s", r.body)
	}
	if r := g.api(tok, "contacts(00000000-0000-0000-0000-000000000001)"); r.status != 404 ||
		!strings.Contains(r.body, "'contact' With Id") {
		t.Errorf("%d %s", r.status, r.body)
	}
	c.SetChangeTracking(false, "contacts")
	admin := g.signIn("").AccessToken
	if r := g.api(admin, "contacts?$select=fullname", "Prefer", track); r.status != 400 ||
		!strings.Contains(r.body, "'contact'") {
		t.Errorf("tracking is off: %s", r.body)
	}
	if r := g.api(admin, "accounts?$select=name", "Prefer", track); r.status != 200 {
		t.Errorf("tracking of accounts: %s", r.body)
	}
}
