package emulator_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestChallenge(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	other := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	good := g.signIn("").AccessToken
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{"none": "", "junk": "x", "unsigned": parts[0] + "." + parts[1] + ".", "changed": parts[0] + "." + parts[1] + "x." + parts[2],
		"another server's": other.signIn("").AccessToken} {
		r := g.api(token, "WhoAmI")
		want := "Bearer authorization_uri=" + g.url + "/" + emulator.DefaultTenantID + "/oauth2/authorize, resource_id=" +
			g.url + "/"
		if r.status != 401 || r.header.Get("WWW-Authenticate") != want || strings.HasPrefix(r.body, "{") {
			t.Errorf("%s: %d %q %q", name, r.status, r.header.Get("WWW-Authenticate"), r.body)
		}
	}
	// The same server under another name is another environment.
	if r := g.do("GET", strings.Replace(g.url, "127.0.0.1", "localhost", 1)+"/api/data/v9.2/WhoAmI", good, nil); r.status != 401 {
		t.Errorf("another host name: %d", r.status)
	}
}

func TestErrorBodies(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 20})
	tok := g.signIn("").AccessToken
	const ghost = "018d0d88-05c2-46bb-ac83-63a910e8b1f1"
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "acounts", 404, `{"error":{"code":"0x80060888","message":"Resource not found for the segment 'acounts'."}}`},
		{"GET", "Accounts", 404, `{"error":{"code":"0x80060888","message":"Resource not found for the segment 'Accounts'."}}`},
		{"GET", "systemusers(" + ghost + ")", 404, `{"error":{"code":"0x80040217","message":"SystemUser With Id = ` + ghost + ` Does Not Exist"}}`},
		{"GET", "roles(" + ghost + ")", 404, `{"error":{"code":"0x80040217","message":"Entity 'role' With Id = ` + ghost + ` Does Not Exist"}}`},
		{"GET", "accounts(accountid=" + ghost + ")", 404, `{"error":{"code":"0x80040217","message":"account With Id = ` + ghost + ` Does Not Exist"}}`},
		{"GET", "accounts(x)", 400, `{"error":{"code":"0x80060888","message":"Error in query syntax."}}`},
		{"GET", "accounts?$select=nix", 400, `{"error":{"code":"0x80060888","message":"Could not find a property named 'nix' on type 'Microsoft.Dynamics.CRM.account'."}}`},
		{"GET", "accounts?$select=ownerid", 400, `{"error":{"code":"0x80060888","message":"Could not find a property named 'ownerid' on type 'Microsoft.Dynamics.CRM.account'."}}`},
		{"GET", "accounts?$skip=5", 400, `{"error":{"code":"0x80060888","message":"Skip Clause is not supported in CRM"}}`},
		{"GET", "accounts?$search=x", 400, `{"error":{"code":"0x80060888","message":"The query parameter $search is not supported"}}`},
		{"GET", "accounts?$format=json", 400, `{"error":{"code":"0x80060888","message":"The query parameter $format is not supported"}}`},
		{"GET", "accounts?$orderby=name,name%20desc", 400, `{"error":{"code":"0x80048d16","message":"The attribute 'name' is specified more than once in the order by clause."}}`},
		{"DELETE", "accounts", 405, `{"error":{"code":"","message":"The requested resource does not support http method 'DELETE'."}}`},
		{"POST", "WhoAmI", 404, `{"error":{"code":"","message":"No HTTP resource was found that matches the request URI '` + g.url + `/api/data/v9.2/WhoAmI'."}}`},
		{"GET", "EntityDefinitions?$top=1", 400, `{"error":{"code":"0x80060888","message":"The query parameter $top is not supported"}}`},
	} {
		r := g.do(c.method, "/api/data/v9.2/"+c.path, tok, nil)
		if r.status != c.status || r.body != c.body ||
			r.header.Get("Content-Type") != "application/json; odata.metadata=minimal" ||
			r.header.Get("OData-Version") != "4.0" {
			t.Errorf("%s %s: got %d %s\nwant %d %s", c.method, c.path, r.status, r.body, c.status, c.body)
		}
	}
	if r := g.api(tok, "accounts?$select="+strings.Repeat("name,", 7000)+"name"); r.status != 404 ||
		!strings.HasPrefix(r.body, "<!DOCTYPE html") {
		t.Errorf("a URL over 32 KB: %d", r.status)
	}
	if r := g.do("GET", "/api/data/v8.0/WhoAmI", tok, nil); r.status != 404 {
		t.Errorf("an old version: %d", r.status)
	}
	r := g.api(tok, "acounts", "Prefer", `odata.include-annotations="*"`)
	if !strings.Contains(r.body, `"@Microsoft.PowerApps.CDS.HelpLink":"http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a80060888&client=platform"`) {
		t.Errorf("error details: %s", r.body)
	}
}

func TestWhoMayNotRead(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5})
	for user, c := range map[string]struct{ path, code, text string }{
		"henrik.dahl@contoso.example":   {"WhoAmI", "0x80040225", "The specified user(Id = {0}) is disabled. Consider enabling this user. Additional Details: {1}"},
		"guest.visitor@partner.example": {"WhoAmI", "0x80072560", "The user is not a member of the organization."},
		"no.roles@contoso.example":      {"WhoAmI", "0x80042f09", "has not been assigned any roles"},
		"no.accounts@contoso.example":   {"accounts", "0x80040220", "is missing prvReadAccount privilege (Id=886b280c-6396-4d56-a0a3-2c1b0a50ceb0) on OTC=1 for entity 'account' (LocalizedName='Account'). context.Caller="},
		"no.users@contoso.example":      {"systemusers", "0x80040220", "is missing prvReadUser privilege"},
		"no.rolereader@contoso.example": {"systemusers?$expand=systemuserroles_association", "0x80040220", "is missing prvReadRole privilege"},
		"no.teams@contoso.example":      {"teams", "0x80040220", "is missing prvReadTeam privilege"},
	} {
		r := g.api(g.signIn(user).AccessToken, c.path)
		if r.status != 403 || !strings.Contains(r.body, `"code":"`+c.code+`"`) || !strings.Contains(message(t, r), c.text) {
			t.Errorf("%s: %d %s", user, r.status, r.body)
		}
	}
	// A team's role counts: Jürgen himself may read no accounts.
	if r := g.api(g.signIn("juergen.weiss@contoso.example").AccessToken, "accounts?$select=name"); r.status != 200 {
		t.Errorf("a team's privilege: %d %s", r.status, r.body)
	}
}

func TestRowsOnTheWire(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1,
		Now: func() time.Time { return time.Date(2023, 4, 7, 21, 59, 1, 0, time.UTC) }})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	ada := c.Users()[0].ID
	id := c.PutAccount(emulator.Account{ID: "78914942-34CB-ED11-B596-0022481D68CD", Name: "Litware, Inc. (sample)",
		Revenue:      ptr(int64(200_000_000)),
		CustomerType: ptr(int32(1)), Employees: ptr(int32(9500)), OwnerID: ada, Channels: []int32{100000000, 100000002},
		City: "Redmond", LeadScore: ptr(int64(-5))})
	var etag = regexp.MustCompile(`W/\\"\d+\\"`)
	norm := func(r reply) string {
		return strings.ReplaceAll(etag.ReplaceAllString(r.body, `W/\"1\"`), g.url, "[org]")
	}
	const meta = `{"@odata.context":"[org]/api/data/v9.2/$metadata#accounts`
	r := g.api(tok, "accounts("+id+")?$select=name,revenue,customertypecode,modifiedon", "Prefer",
		`odata.include-annotations="OData.Community.Display.V1.FormattedValue"`)
	want := meta + `(name,revenue,customertypecode,modifiedon)/$entity","@odata.etag":"W/\"1\"","name":"Litware, Inc. (sample)",` +
		`"revenue@OData.Community.Display.V1.FormattedValue":"$20,000.00","revenue":20000.0000,` +
		`"customertypecode@OData.Community.Display.V1.FormattedValue":"Competitor","customertypecode":1,` +
		`"modifiedon@OData.Community.Display.V1.FormattedValue":"4/7/2023 2:59 PM","modifiedon":"2023-04-07T21:59:01Z",` +
		`"_transactioncurrencyid_value@OData.Community.Display.V1.FormattedValue":"US Dollar","_transactioncurrencyid_value":"228f42f8-e646-e111-8eb7-78e7d162ced1",` +
		`"accountid":"78914942-34cb-ed11-b596-0022481d68cd"}`
	if norm(r) != want {
		t.Errorf("got  %s\nwant %s", norm(r), want)
	}
	r = g.api(tok, "accounts?$select=numberofemployees,cb_channels,donotemail,industrycode,address1_city,_ownerid_value,cb_leadscore", "Prefer", `odata.include-annotations="*"`)
	want = meta + `(numberofemployees,cb_channels,donotemail,industrycode,address1_city,_ownerid_value,cb_leadscore)","@Microsoft.Dynamics.CRM.totalrecordcount":-1,` +
		`"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":false,"@Microsoft.Dynamics.CRM.globalmetadataversion":"6012567","value":[{"@odata.etag":"W/\"1\"",` +
		`"numberofemployees@OData.Community.Display.V1.FormattedValue":"9,500","numberofemployees":9500,` +
		`"cb_channels@OData.Community.Display.V1.FormattedValue":"Email; Trade Fair","cb_channels":"100000000,100000002",` +
		`"donotemail@OData.Community.Display.V1.FormattedValue":"Allow","donotemail":false,"industrycode":null,"address1_city":"Redmond",` +
		`"_ownerid_value@OData.Community.Display.V1.FormattedValue":"Ada Lindqvist","_ownerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty":"ownerid",` +
		`"_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser","_ownerid_value":"` + ada + `",` +
		`"cb_leadscore@OData.Community.Display.V1.FormattedValue":"-0.00","cb_leadscore":-0.0005000000,` +
		`"address1_composite":"Redmond","accountid":"78914942-34cb-ed11-b596-0022481d68cd"}]}`
	if norm(r) != want {
		t.Errorf("got  %s\nwant %s", norm(r), want)
	}
	tag := g.api(tok, "accounts("+id+")?$select=name").header.Get("ETag")
	if r := g.api(tok, "accounts("+id+")?$select=name", "If-None-Match", tag); r.status != 304 || r.body != "" {
		t.Errorf("If-None-Match: %d %q", r.status, r.body)
	}
	if r := g.api(tok, "accounts("+id+")?$select=name", "If-None-Match", "null"); r.status != 200 {
		t.Errorf("If-None-Match: null: %d", r.status)
	}
}

func TestCounts(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5300})
	tok := g.signIn("").AccessToken
	if r := g.api(tok, "accounts/$count"); r.body != "\ufeff5000" || r.header.Get("Content-Type") != "text/plain" {
		t.Errorf("$count: %q", r.body)
	}
	r := g.api(tok, "accounts?$select=name&$count=true&$top=1", "Prefer",
		`odata.include-annotations="Microsoft.Dynamics.CRM.*"`)
	if !strings.Contains(r.body, `"@odata.count":5000,"@Microsoft.Dynamics.CRM.totalrecordcount":5000,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":true`) {
		t.Errorf("%.400s", r.body)
	}
	if r := g.api(tok, "accounts?$apply=aggregate($count%20as%20c)"); !strings.HasSuffix(r.body, `"value":[{"c":5300}]}`) {
		t.Errorf("aggregate: %s", r.body)
	}
	n := 0
	for a := range g.s.Control().Accounts() {
		if a.Industry != nil && *a.Industry == 7 {
			n++
		}
	}
	var got struct{ Value []struct{ C int } }
	r = g.api(tok, "accounts?$apply="+url.QueryEscape("filter(industrycode eq 7)/aggregate($count as C)"))
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || len(got.Value) != 1 || got.Value[0].C != n || n == 0 {
		t.Errorf("filtered aggregate: %s, want %d", r.body, n)
	}
	if r := g.api(tok, "accounts?$apply="+url.QueryEscape("groupby((industrycode),aggregate($count as n))")); strings.Count(r.body, `"n":`) != 34 {
		t.Errorf("33 industries and null: %s", r.body)
	}
	big := start(t, emulator.Options{AutoConsent: true, Accounts: 50_001})
	if r := big.api(big.signIn("").AccessToken, "accounts?$apply=aggregate($count%20as%20c)"); r.status != 400 ||
		!strings.Contains(r.body, "0x8004E023") {
		t.Errorf("beyond 50,000: %d %s", r.status, r.body)
	}
}

func TestUsersTeamsAndRoles(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	tok := g.signIn("").AccessToken
	r := g.api(tok, "systemusers?$select=fullname,isdisabled&$filter="+
		url.QueryEscape("internalemailaddress eq 'SALES.desk@contoso.example'"))
	if strings.Count(r.body, `"fullname"`) != 2 || strings.Count(r.body, `"isdisabled":true`) != 1 {
		t.Errorf("the shared mailbox: %s", r.body)
	}
	var juergen string
	for _, u := range g.s.Control().Users() {
		if u.Name == "Jürgen Weiß" {
			juergen = u.ID
		}
	}
	r = g.api(tok, "systemusers("+juergen+")?$select=fullname&$expand=systemuserroles_association($select=name)")
	want := `"systemuserroles_association@odata.nextLink":"` + g.url + `/api/data/v9.2/systemusers(` + juergen +
		`)/systemuserroles_association?$select=name"}`
	if !strings.Contains(r.body, `$metadata#systemusers(fullname,systemuserroles_association(name))/$entity"`) ||
		!strings.Contains(r.body, `"name":"Basic User"`) || !strings.HasSuffix(r.body, want) {
		t.Errorf("expand: %s", r.body)
	}
	r = g.api(tok, "systemusers("+juergen+")/teammembership_association?$select=name")
	var teams struct {
		Value []struct{ TeamID, Name string }
	}
	if err := json.Unmarshal([]byte(r.body), &teams); err != nil || len(teams.Value) != 2 {
		t.Fatalf("teams: %s", r.body)
	}
	r = g.api(tok, "teams("+teams.Value[0].TeamID+")/teamroles_association?$select=name")
	if strings.Count(r.body, `"roleid"`) != 2 {
		t.Errorf("a team's roles: %s", r.body)
	}
	r = g.api(tok, "roles?$select=name&$filter="+url.QueryEscape("name eq 'Salesperson'"))
	if strings.Count(r.body, `"roleid"`) != len(emulator.BusinessUnits()) {
		t.Errorf("one copy of a role per business unit: %s", r.body)
	}
}

func TestMetadata(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	tok := g.signIn("no.accounts@contoso.example").AccessToken // metadata needs no table privilege
	def := "EntityDefinitions(LogicalName='account')"
	for path, want := range map[string]string{
		def + "?$select=LogicalName,EntitySetName": `#EntityDefinitions(LogicalName,EntitySetName)/$entity","LogicalName":"account","EntitySetName":"accounts","MetadataId":"`,
		def + "/Attributes?$select=LogicalName":    `{"@odata.type":"#Microsoft.Dynamics.CRM.MoneyAttributeMetadata","LogicalName":"revenue","MetadataId":"`,
		def + "/Attributes(LogicalName='industrycode')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet": `"Name":"account_industrycode","IsGlobal":false`,
		def + "/Attributes/Microsoft.Dynamics.CRM.StateAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)":               `"@odata.type":"#Microsoft.Dynamics.CRM.StateOptionMetadata","DefaultStatus":1,"InvariantName":"Active","Value":0`,
		def + "/Attributes/Microsoft.Dynamics.CRM.StatusAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)":              `"State":1,"TransitionData":null,"Value":2`,
		def + "/Attributes/Microsoft.Dynamics.CRM.MultiSelectPicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)": `"LogicalName":"cb_channels"`,
		def + "/Attributes/Microsoft.Dynamics.CRM.BooleanAttributeMetadata?$select=LogicalName&$expand=OptionSet":                              `"FalseOption":{"Value":0`,
		def + "/Attributes?$select=LogicalName&$filter=IsCustomAttribute%20eq%20true":                                                          `"LogicalName":"cb_leadscore"`,
	} {
		if r := g.api(tok, path); r.status != 200 || !strings.Contains(r.body, want) || !json.Valid([]byte(r.body)) {
			t.Errorf("%s: %d %.600s", path, r.status, r.body)
		}
	}
	for path, want := range map[string]string{
		def + "/Attributes?$orderby=LogicalName":                         "The query parameter $orderby is not supported",
		def + "/Attributes?$select=Nix":                                  "Could not find a property named 'Nix'",
		def + "/Attributes?$filter=startswith(LogicalName,'a')":          `The "startswith" function isn't supported for Metadata Entities.`,
		def + "/Attributes/Microsoft.Dynamics.CRM.EnumAttributeMetadata": "is not supported",
		"EntityDefinitions(LogicalName='acount')":                        "The entity with a name = 'acount' with namemapping = 'Logical' was not found in the MetadataCache.",
	} {
		if r := g.api(tok, path); r.status < 400 || !strings.Contains(message(t, r), want) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}
