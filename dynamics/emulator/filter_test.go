package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func ptr[T any](v T) *T { return &v }

// names runs a filter and returns the names found, sorted.
func (g *rig) names(token, filter string, more ...string) []string {
	g.Helper()
	r := g.api(token, "accounts?$select=name&$filter="+url.QueryEscape(filter)+strings.Join(more, ""))
	if r.status != 200 {
		g.Fatalf("%s: %d %s", filter, r.status, r.body)
	}
	var page struct{ Value []struct{ Name string } }
	if err := json.Unmarshal([]byte(r.body), &page); err != nil {
		g.Fatal(err)
	}
	out := []string{}
	for _, v := range page.Value {
		out = append(out, v.Name)
	}
	slices.Sort(out)
	return out
}

// small is a server with five known rows.
func small(t *testing.T) (*rig, string) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	day := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	owner := g.s.Control().Users()[0].ID
	for i, a := range []emulator.Account{
		{Name: "a", City: "Köln", Industry: ptr(int32(7)), Employees: ptr(int32(10)), Revenue: ptr(int64(1000)), Channels: []int32{2, 3}, CreatedOn: day("2024-01-01T00:00:00Z"), OwnerID: owner},
		{Name: "b", City: "50%", Industry: ptr(int32(8)), Employees: ptr(int32(20)), Revenue: ptr(int64(200_000_000)), Channels: []int32{3}, CreatedOn: day("2024-01-01T12:30:00Z"), DoNotEmail: true},
		{Name: "c", City: "50x"},
		{Name: "d", City: "o'b [x]", Industry: ptr(int32(7)), Employees: ptr(int32(20)), LastCampaign: day("2024-05-01T00:00:00Z"), LeadScore: ptr(int64(12345))},
		{Name: "e", City: "KÖLN  ", Number: "KÖLN"},
	} {
		a.ID = fmt.Sprintf("00000000-0000-0000-0000-%012d", i+1)
		g.s.Control().PutAccount(a)
	}
	return g, g.signIn("").AccessToken
}

func TestFilters(t *testing.T) {
	g, tok := small(t)
	for filter, want := range map[string]string{
		"address1_city eq 'köln'":                            "a e",
		"address1_city ne 'köln'":                            "b c d",
		"accountnumber ne 'x'":                               "a b c d e", // ne matches null
		"not (accountnumber eq 'x')":                         "a b c d e",
		"not (accountnumber ne 'x')":                         "",
		"accountnumber eq null":                              "a b c d",
		"accountnumber ne null":                              "e",
		"accountnumber eq address1_city":                     "e",
		"endswith(address1_city,'ln')":                       "a", // LIKE sees the trailing blanks of e
		"endswith(address1_city,'ln  ')":                     "e",
		"startswith(address1_city,'köln ')":                  "e",
		"contains(address1_city,'ln ')":                      "e",
		"not endswith(address1_city,'ln')":                   "b c d e",
		"contains(address1_city,'50%')":                      "b c", // the wildcard is active
		"contains(address1_city,'50[%]')":                    "b",
		"startswith(address1_city,'50_')":                    "b c",
		"contains(address1_city,'[a-c] ')":                   "d",
		"contains(address1_city,'[^k]ln')":                   "a e",
		"contains(address1_city,'[[]x]')":                    "d",
		"contains(address1_city,'o''B')":                     "d",
		"endswith(address1_city,'x')":                        "c",
		"not contains(address1_city,'50')":                   "a d e",
		"not contains(accountnumber,'x')":                    "a b c d e", // and so do the other negatives
		"contains(accountnumber,'x')":                        "",
		"contains(address1_city,'50') eq false":              "a d e",
		"industrycode eq 7":                                  "a d",
		"industrycode ne 7":                                  "b c e",
		"numberofemployees gt 10":                            "b d",
		"numberofemployees ge 10 and revenue lt 0.2":         "a",
		"revenue eq 0.1":                                     "a",
		"revenue gt 0.09999":                                 "a b",
		"revenue le 20000":                                   "a b",
		"revenue lt 99999999999999999999999":                 "a b",
		"not (numberofemployees gt 10)":                      "a", // unknown stays unknown
		"not (numberofemployees gt 10 or industrycode eq 7)": "",
		"10 lt numberofemployees":                            "b d",
		"numberofemployees eq 10 or industrycode eq 8":       "a b",
		"donotemail eq true":                                 "b",
		"createdon eq 2024-01-01":                            "a",
		"createdon ge 2024-01-01T12:00:00Z and createdon lt 2024-01-02T00:00:00+02:00": "b",
		"cb_lastcampaign eq 2024-05-01":                                                                     "d",
		"cb_leadscore eq 1.2345":                                                                            "d",
		"cb_channels eq '3,2'":                                                                              "a",
		"_ownerid_value ne null":                                                                            "a",
		"_parentaccountid_value eq null":                                                                    "a b c d e",
		"accountid eq 00000000-0000-0000-0000-000000000002":                                                 "b",
		"accountid lt 00000000-0000-0000-0000-000000000003":                                                 "a b",
		"_ownerid_value eq '00000000-0000-0000-0000-000000000009'":                                          "",
		`Microsoft.Dynamics.CRM.In(PropertyName='industrycode',PropertyValues=["7","9"])`:                   "a d",
		`Microsoft.Dynamics.CRM.NotIn(PropertyName='industrycode',PropertyValues=["7"])`:                    "b c e",
		`Microsoft.Dynamics.CRM.In(PropertyName='address1_city',PropertyValues=["O\u0027B \u005bx\u005d"])`: "d",
		`Microsoft.Dynamics.CRM.In(PropertyName='address1_city',PropertyValues=['50x','50%'])`:              "b c",
		`Microsoft.Dynamics.CRM.Between(PropertyName='numberofemployees',PropertyValues=["10","20"])`:       "a b d",
		`Microsoft.Dynamics.CRM.NotBetween(PropertyName='numberofemployees',PropertyValues=["11","99"])`:    "a",
		`Microsoft.Dynamics.CRM.ContainValues(PropertyName='cb_channels',PropertyValues=["2","9"])`:         "a",
		`Microsoft.Dynamics.CRM.DoesNotContainValues(PropertyName='cb_channels',PropertyValues=["2"])`:      "b c d e",
		`Microsoft.Dynamics.CRM.On(PropertyName='cb_lastcampaign',PropertyValue='2024-05-01')`:              "d",
		`Microsoft.Dynamics.CRM.EqualUserId(PropertyName='ownerid')`:                                        "a",
	} {
		if got := strings.Join(g.names(tok, filter), " "); got != want {
			t.Errorf("%s: got %q, want %q", filter, got, want)
		}
	}
	if got := strings.Join(g.names(tok, "revenue gt @p1 and address1_city ne @p2", "&@p1=0.2&@p2="+url.QueryEscape("'o''b'")), " "); got != "b" {
		t.Errorf("with aliases: %q", got)
	}
	for list, want := range map[string]string{`["A"]`: "a", `["x","O'B [x]"]`: "d"} {
		column := map[string]string{"a": "name", "d": "address1_city"}[want]
		if got := strings.Join(g.names(tok, `Microsoft.Dynamics.CRM.In(PropertyName=@a,PropertyValues=@b)`, "&@a='"+column+"'&@b="+url.QueryEscape(list)), " "); got != want {
			t.Errorf("a function with aliases: %q, want %q", got, want)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	g, tok := small(t)
	many := strings.TrimSuffix(strings.Repeat("name eq 'a' or ", 501), " or ")
	for filter, want := range map[string]string{
		"name eq 'O'Bryan'":            "There is an unterminated literal at position 17 in 'name eq 'O'Bryan''.",
		"name in ('a')":                "The query node In is not supported",
		"numberofemployees add 1 eq 2": "The query node BinaryOperator is not supported",
		"tolower(name) eq 'a'":         "An unknown function with name 'tolower' was found.",
		"name eq 5":                    "A binary operator with incompatible types was detected. Found operand types 'Edm.String' and 'Edm.Int32' for operator kind 'Equal'.",
		"accountid eq 'x'":             "operand types 'Edm.Guid' and 'Edm.String'",
		"nam eq 'a'":                   "Could not find a property named 'nam' on type 'Microsoft.Dynamics.CRM.account'.",
		"Name eq 'a'":                  "Could not find a property named 'Name'",
		"ownerid eq 'a'":               "Could not find a property named 'ownerid'",
		"(name eq 'a'":                 "Syntax error at position 12",
		"name eq":                      "Syntax error at position",
		"name":                         "Syntax error at position",
		"":                             "Syntax error at position",
		"contains(industrycode,'1')":   "No function signature for the function with name 'contains'",
		"primarycontactid/name eq 'x'": "Filters over related tables",
		strings.Repeat("(", 200):       "recursion limit",
		"createdon gt 2024-13-41":      "not a valid date",
		`not Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a"])`: "Not operator along with the Custom Named Condition operators is not allowed",
		`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['a''b'])`:  "Invalid JSON. A comma character ',' was expected in scope 'Array'.",
		`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['a'b'])`:   "Found an unbalanced bracket expression.",
		`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a'b"])`:   "Found an unbalanced bracket expression.",
		`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a[b"])`:   "Found an unbalanced bracket expression.",
		`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a]b"])`:   "Syntax error at position",
		`Microsoft.Dynamics.CRM.Under(PropertyName='name',PropertyValue='a')`:     "is not part of this emulator",
	} {
		r := g.api(tok, "accounts?$filter="+url.QueryEscape(filter))
		if r.status != 400 || !strings.Contains(r.body, `"code":"0x80060888"`) || !strings.Contains(message(t, r), want) {
			t.Errorf("%s: got %d %s, want %s", filter, r.status, r.body, want)
		}
	}
	if r := g.api(tok, "accounts?$filter="+url.QueryEscape(many)); r.status != 400 ||
		!strings.Contains(r.body, "0x8004430C") {
		t.Errorf("501 conditions: %d %s", r.status, r.body)
	}
	if r := g.api(tok, "accounts?$filter="+url.QueryEscape(`Microsoft.Dynamics.CRM.In(PropertyName='nix',PropertyValues=["a"])`)); !strings.Contains(r.body, `"code":"0x80041103","message":"'account' entity doesn't contain attribute with Name = 'nix' and NameMapping = 'Logical'."`) {
		t.Errorf("unknown attribute: %s", r.body)
	}
}

func message(t *testing.T, r reply) string {
	t.Helper()
	var b struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(r.body), &b); err != nil {
		t.Fatalf("not an error body: %s", r.body)
	}
	return b.Error.Message
}

func TestSpecialNamesAreFoundExactly(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3000})
	tok := g.signIn("").AccessToken
	like := strings.NewReplacer("[", "[[]", "%", "[%]", "_", "[_]")
	for _, name := range []string{`O'Brien & Söhne 100% "GmbH"`, `50_50 [x]`, `A+B=C`, `R&D #1 Labs`, `C:\Temp\Co`, `日本商事株式会社`, `Emoji 🚀 Rockets`, `חברת הגליל בע"מ`, `[^x]`, `name eq 'x'`} {
		quoted := strings.ReplaceAll(name, "'", "''")
		if got := g.names(tok, "name eq '"+quoted+"'"); len(got) != 1 || got[0] != name {
			t.Errorf("eq %s found %q", name, got)
		}
		got := g.names(tok, "contains(name,'"+like.Replace(quoted)+"')")
		if !slices.Contains(got, name) || slices.ContainsFunc(got, func(s string) bool { return !strings.Contains(strings.ToLower(s), strings.ToLower(name)) }) {
			t.Errorf("contains %s found %q", name, got)
		}
	}
	if got := g.names(tok, "name eq ''' or 1 eq 1 or name eq '''"); len(got) != 0 {
		t.Errorf("an injection found %q", got)
	}
}
