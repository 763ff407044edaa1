package emulator_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// A secured column has no value for whom no profile lets read it: in rows, filters, orders and
// aggregates, without an error.
func TestSecuredColumns(t *testing.T) {
	const reader, other = "grace.okonkwo@contoso.example", "siobhan.orourke@contoso.example"
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 60})
	c := g.s.Control()
	admin, tok := g.signIn("").AccessToken, g.signIn(reader).AccessToken
	total := func(token, filter string) int {
		return len(g.query(token, "accounts?$select=name&$filter="+url.QueryEscape(filter)))
	}
	some := total(admin, "revenue ne null")
	if some == 0 || some == 60 {
		t.Fatal("the test needs accounts with and without revenue")
	}
	plain := g.api(tok, "accounts?$select=revenue").body
	if !c.Table("accounts").Secure("revenue", true) {
		t.Fatal("revenue cannot be secured")
	}
	check := func(when, user string, readable bool) {
		t.Helper()
		token := g.signIn(user).AccessToken
		want := 0
		if readable {
			want = some
		}
		n := 0
		for _, r := range g.query(token, "accounts?$select=revenue", "Prefer", `odata.include-annotations="*"`) {
			v, there := r["revenue"]
			if _, formatted := r["revenue@OData.Community.Display.V1.FormattedValue"]; !there || formatted != (v != nil) {
				t.Fatalf("%s: %v", when, r)
			}
			if v != nil {
				n++
			}
		}
		if n != want || total(token, "revenue ne null") != want || total(token, "revenue eq null") != 60-want ||
			total(token, "revenue gt 0") != want {
			t.Errorf("%s: %d revenues, %d by filter, want %d", when, n, total(token, "revenue gt 0"), want)
		}
		sum := g.api(token, "accounts?$apply=aggregate(revenue%20with%20sum%20as%20all)").body
		if strings.Contains(sum, `"all"`) != readable {
			t.Errorf("%s: %s", when, sum)
		}
		byID := g.query(token, "accounts?$select=accountid")
		byRevenue := g.query(token, "accounts?$select=accountid&$orderby=revenue")
		same := true
		for i := range byID {
			same = same && byID[i]["accountid"] == byRevenue[i]["accountid"]
		}
		if same == readable {
			t.Errorf("%s: the order tells of revenues: %t", when, !same)
		}
	}
	check("no profile", reader, false)
	check("an administrator", emulator.DefaultUser, true)
	if err := c.PutProfile(emulator.FieldSecurityProfile{Name: "Revenue", Users: []string{other}, Teams: []string{"Key Accounts"}, Read: []string{"accounts.revenue"}}); err != nil {
		t.Fatal(err)
	}
	check("by a team", reader, true)
	check("by name", other, true)
	check("neither", "leila.haddad@contoso.example", false)
	if got := g.api(tok, "accounts?$select=revenue").body; got != plain {
		t.Error("rows of who may read differ from those of an unsecured column")
	}
	metadata := "EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName,IsSecured&$filter=IsSecured%20eq%20true"
	for _, token := range []string{admin, tok} {
		if rows := g.query(token, metadata); len(rows) != 1 || rows[0]["LogicalName"] != "revenue" {
			t.Errorf("secured: %v", rows)
		}
	}
	if err := c.PutProfile(emulator.FieldSecurityProfile{Name: "Nobody"}); err != nil || !c.DeleteProfile("Revenue") ||
		c.DeleteProfile("Revenue") || c.DeleteProfile("System Administrator") {
		t.Errorf("%v, or profiles that cannot be deleted were", err)
	}
	check("the profile is gone", reader, false)
	if !c.Table("accounts").Secure("revenue", false) || c.Table("accounts").Secure("accountid", true) ||
		c.Table("accounts").Secure("statecode", true) || c.Table("roles").Secure("name", true) {
		t.Error("what can be secured")
	}
	check("unsecured", reader, true)
}

// Profiles and permissions are rows that a client reads to know what a user may read.
func TestProfilesAsRows(t *testing.T) {
	const user = "field.reader@contoso.example"
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5,
		Users: []emulator.User{{Name: "Field Reader", UserName: user, Roles: []string{"Field Security Reader"}}}})
	c := g.s.Control()
	for _, column := range []string{"emailaddress1", "birthdate"} {
		if !c.Table("contacts").Secure(column, true) {
			t.Fatal(column)
		}
	}
	if err := c.PutProfile(emulator.FieldSecurityProfile{Name: "Mail", Users: []string{user}, Read: []string{"contacts.emailaddress1"}}); err != nil {
		t.Fatal(err)
	}
	tok := g.signIn(user).AccessToken
	var me string
	for _, u := range c.Users() {
		if u.UserName == user {
			me = u.ID
		}
	}
	rows := g.query(tok, "fieldpermissions?$select=entityname,attributelogicalname,canread,_fieldsecurityprofileid_value&$expand=fieldsecurityprofileid($select=name)&$filter="+
		url.QueryEscape("entityname eq 'contact' and attributelogicalname eq 'emailaddress1' and canread eq 4"))
	names := map[any]bool{}
	for _, r := range rows {
		profile := r["fieldsecurityprofileid"].(map[string]any)
		if profile["fieldsecurityprofileid"] != r["_fieldsecurityprofileid_value"] {
			t.Errorf("%v", r)
		}
		names[profile["name"]] = true
	}
	if len(rows) != 2 || !names["Mail"] || !names["System Administrator"] {
		t.Errorf("permissions: %v", rows)
	}
	if rows := g.query(tok, "fieldpermissions?$filter=_fieldsecurityprofileid_value%20eq%20572329c1-a042-4e22-be47-367c6374ea45"); len(rows) != 2 {
		t.Errorf("the administrators' profile has every secured column: %v", rows)
	}
	mine := g.query(tok, "systemusers("+me+
		")/systemuserprofiles_association?$select=name&$expand=lk_fieldpermission_fieldsecurityprofileid($select=attributelogicalname;$filter="+
		url.QueryEscape("entityname eq 'contact'")+")")
	if len(mine) != 1 || mine[0]["name"] != "Mail" ||
		len(mine[0]["lk_fieldpermission_fieldsecurityprofileid"].([]any)) != 1 {
		t.Errorf("profiles of the user: %v", mine)
	}
	profile := mine[0]["fieldsecurityprofileid"].(string)
	if rows := g.query(tok, "fieldsecurityprofiles("+profile+")/systemuserprofiles_association?$select=fullname"); len(rows) != 1 || rows[0]["fullname"] != "Field Reader" {
		t.Errorf("users of the profile: %v", rows)
	}
	if rows := g.query(tok, "fieldsecurityprofiles("+profile+")/teamprofiles_association"); len(rows) != 0 {
		t.Errorf("teams of the profile: %v", rows)
	}
	permission := rows[0]["fieldpermissionid"].(string)
	if r := g.api(tok, "fieldpermissions("+permission+")/fieldsecurityprofileid?$select=name"); !strings.Contains(r.body, "$metadata#fieldsecurityprofiles(name)/$entity") {
		t.Errorf("%s", r.body)
	}
	for _, set := range []string{"fieldpermissions", "fieldsecurityprofiles"} {
		if r := g.api(g.signIn("siobhan.orourke@contoso.example").AccessToken, set); r.status != 403 ||
			!strings.Contains(r.body, "is missing prvReadField") {
			t.Errorf("%s of who is no administrator: %d %s", set, r.status, r.body)
		}
	}
}

// Who may read which secured columns is told of users and teams by one function, each column once,
// by the MetadataId of its metadata.
func TestAttributePrivileges(t *testing.T) {
	const reader, team = "grace.okonkwo@contoso.example", "Key Accounts" // of which he is a member
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	for _, set := range []string{"accounts", "contacts"} {
		if !c.Table(set).Secure("telephone1", true) {
			t.Fatal("telephone1 cannot be secured")
		}
	}
	for _, p := range []emulator.FieldSecurityProfile{
		{Name: "his", Users: []string{reader}, Read: []string{"accounts.telephone1"}},
		{Name: "of his team", Teams: []string{team}, Read: []string{"accounts.telephone1", "contacts.telephone1"}},
	} {
		if err := c.PutProfile(p); err != nil {
			t.Fatal(err)
		}
	}
	id := func(entity string) string {
		rows := g.query(tok, "EntityDefinitions(LogicalName='"+entity+
			"')/Attributes?$select=MetadataId,IsSecured,CanBeSecuredForRead&$filter="+url.QueryEscape("LogicalName eq 'telephone1'"))
		if len(rows) != 1 || rows[0]["IsSecured"] != true || rows[0]["CanBeSecuredForRead"] != true {
			t.Fatalf("%v", rows)
		}
		return rows[0]["MetadataId"].(string)
	}
	user := func(name string) string {
		for _, u := range c.Users() {
			if u.UserName == name {
				return "systemusers(" + u.ID + ")"
			}
		}
		t.Fatal(name)
		return ""
	}
	teams := "teams(" + g.query(tok, "teams?$select=teamid&$filter="+
		url.QueryEscape("name eq '"+team+"'"))[0]["teamid"].(string) + ")"
	const function = "/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()"
	entry := func(entity, write string) string {
		return `{"AttributeId":"` + id(entity) + `","CanCreate":` + write +
			`,"CanRead":4,"CanReadUnMasked":0,"CanUpdate":` + write + `}`
	}
	for principal, want := range map[string]string{
		user(reader):                            entry("account", "0") + "," + entry("contact", "0"),
		teams:                                   entry("account", "0") + "," + entry("contact", "0"),
		user(emulator.DefaultUser):              entry("account", "4") + "," + entry("contact", "4"),
		user("siobhan.orourke@contoso.example"): "",
	} {
		r := g.api(tok, principal+function)
		if want = `RetrievePrincipalAttributePrivilegesResponse","AttributePrivileges":[` + want + `]}`; r.status != 200 ||
			!strings.HasSuffix(strings.TrimSpace(r.body), want) {
			t.Errorf("%s: %d %s\nwant %s", principal, r.status, r.body, want)
		}
	}
	if r := g.api(g.signIn("no.users@contoso.example").AccessToken, user(reader)+function); r.status != 403 ||
		!strings.Contains(r.body, "is missing prvReadUser privilege") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.api(tok, "accounts("+user(reader)[12:]+function); r.status == 200 {
		t.Errorf("bound to an account: %s", r.body)
	}
}

// A role that Microsoft ships is told by its template, in every business unit; others have none.
func TestRoleTemplates(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 1})
	tok := g.signIn("").AccessToken
	names := func(filter string) string {
		var list []string
		for _, row := range g.query(tok, "roles?$select=name,_roletemplateid_value&$orderby=name&$filter="+url.QueryEscape(filter)) {
			list = append(list, row["name"].(string))
		}
		return strings.Join(list, ",")
	}
	const administrator = "System Administrator"
	if got := names("_roletemplateid_value eq 627090ff-40a3-4053-8790-584edc5be201"); got != administrator+","+
		administrator+","+administrator {
		t.Error(got)
	}
	if got := names("_roletemplateid_value eq null and name eq 'Campaign Reader'"); got != "Campaign Reader,Campaign Reader,Campaign Reader" {
		t.Error(got)
	}
	if got := names("_roletemplateid_value eq null and name eq 'Salesperson'"); got != "" {
		t.Error(got)
	}
}
