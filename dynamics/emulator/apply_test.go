package emulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// valued is a server with rows whose sums do not fit a float64.
func valued(t *testing.T) (*rig, string) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	for i, a := range []emulator.Account{
		{Name: "A", Industry: ptr(int32(1)), Employees: ptr(int32(10)), Revenue: ptr(int64(9_000_000_000_000_000_001)), LeadScore: ptr(int64(1)), CreatedOn: time.Date(2023, 3, 25, 17, 42, 46, 0, time.UTC)},
		{Name: "a", Industry: ptr(int32(1)), Employees: ptr(int32(15)), Revenue: ptr(int64(9_000_000_000_000_000_001)), CreatedOn: time.Date(2023, 3, 25, 17, 42, 47, 0, time.UTC)},
		{Name: "b", Industry: ptr(int32(2)), Employees: ptr(int32(-7)), Revenue: ptr(int64(-12_345_678)), LeadScore: ptr(int64(2)), CreatedOn: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Name: "c", CreatedOn: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), StateCode: 1},
	} {
		a.ID = trackRow(i + 1)
		g.s.Control().PutAccount(a)
	}
	return g, g.signIn("").AccessToken
}

func TestApplyErrors(t *testing.T) {
	g, tok := valued(t)
	for query, want := range map[string]string{
		"$apply=" + url.QueryEscape("groupby((industrycode),aggregate($count as n))") + "&$orderby=n":             "The query node SingleValueOpenPropertyAccess is not supported",
		"$apply=" + url.QueryEscape("groupby((industrycode),aggregate($count as n))") + "&$orderby=n%20desc,name": "The query node SingleValueOpenPropertyAccess is not supported",
		"$apply=" + url.QueryEscape("groupby((industrycode),aggregate($count as n))") + "&$orderby=revenue":       "The query node SingleValueOpenPropertyAccess is not supported",
		"$apply=" + url.QueryEscape("groupby((industrycode))") + "&$top=1":                                        "$top is not supported together with $apply",
		"$apply=" + url.QueryEscape("groupby((industrycode))") + "&$filter=" + url.QueryEscape("name eq 'a'"):     "$filter is not supported together with $apply",
		"$apply=" + url.QueryEscape("groupby((nix))"):                                                             "Could not find a property named 'nix'",
		"$apply=" + url.QueryEscape("groupby((createdon))"):                                                       "Grouping by the date and time column 'createdon' is not supported.",
		"$apply=" + url.QueryEscape("aggregate(nix with sum as x)"):                                               "Could not find a property named 'nix'",
		"$apply=" + url.QueryEscape("aggregate(name with sum as x)"):                                              "The aggregation method 'sum' is not supported for the column 'name'.",
		"$apply=" + url.QueryEscape("aggregate(name with max as x)"):                                              "The aggregation method 'max' is not supported for the column 'name'.",
		"$apply=" + url.QueryEscape("aggregate(createdon with average as x)"):                                     "The aggregation method 'average' is not supported for the column 'createdon'.",
		"$apply=" + url.QueryEscape("aggregate(revenue with median as x)"):                                        "The aggregation method 'median' is not supported.",
		"$apply=" + url.QueryEscape("aggregate($count as x,revenue with sum as x)"):                               "already in use",
		"$apply=" + url.QueryEscape("aggregate(revenue)"):                                                         "is not part of this emulator",
		"$apply=" + url.QueryEscape("filter(nix eq 1)/aggregate($count as c)"):                                    "Could not find a property named 'nix'",
		"$apply=" + url.QueryEscape("filter(name eq 'a')/filter(name eq 'b')/aggregate($count as c)"):             "is not part of this emulator",
		"$apply=" + url.QueryEscape("filter(name eq 'a'/aggregate($count as c)"):                                  "is not part of this emulator",
		"$apply=" + url.QueryEscape("filter(not "+crmIn("name", "a")+")/aggregate($count as c)"):                  "Not operator along with the Custom Named Condition operators is not allowed",
	} {
		if r := g.api(tok, "accounts?"+query); r.status != 400 || !strings.Contains(message(t, r), want) {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

func crmIn(column string, values ...string) string {
	return `Microsoft.Dynamics.CRM.In(PropertyName='` + column + `',PropertyValues=["` +
		strings.Join(values, `","`) + `"])`
}

func TestApply(t *testing.T) {
	g, tok := valued(t)
	formatted := `odata.include-annotations="OData.Community.Display.V1.FormattedValue"`
	for text, c := range map[string]struct{ prefer, order, want string }{
		"aggregate($count as c)":                                          {"", "", `{"c":4}`},
		"filter(industrycode eq 1)/aggregate($count as c)":                {"", "", `{"c":2}`},
		"filter(name eq 'nobody')/aggregate($count as c)":                 {"", "", `{"c":0}`},
		"filter(name eq 'nobody')/aggregate(revenue with sum as s)":       {"", "", `{}`},
		"filter(name eq 'nobody')/groupby((name),aggregate($count as n))": {"", "", ``},
		"aggregate(revenue with sum as total)":                            {"", "", `{"total":1799999999998765.432400000}`},
		"filter(industrycode eq 2)/aggregate(revenue with sum as total)":  {formatted, "", `{"total@OData.Community.Display.V1.FormattedValue":"($1,234.57)","total":-1234.567800000}`},
		"aggregate(revenue with average as a)":                            {"", "", `{"a":599999999999588.477466667}`},
		"aggregate(revenue with min as lo,revenue with max as hi)":        {"", "", `{"lo":-1234.5678,"hi":900000000000000.0001}`},
		"aggregate(numberofemployees with sum as s)":                      {formatted, "", `{"s@OData.Community.Display.V1.FormattedValue":"18","s":18}`},
		"aggregate(numberofemployees with average as a)":                  {"", "", `{"a":6}`},
		"aggregate(cb_leadscore with average as a)":                       {"", "", `{"a":0.000150000}`},
		"aggregate(name with countdistinct as n)":                         {"", "", `{"n":3}`},
		"aggregate(industrycode with countdistinct as n)":                 {"", "", `{"n":2}`},
		"aggregate(createdon with max as last, createdon with min as first)": {formatted, "", `{"last@OData.Community.Display.V1.FormattedValue":"12/31/2023 5:00 PM","last":"2024-01-01T00:00:00Z",` +
			`"first@OData.Community.Display.V1.FormattedValue":"3/25/2023 10:42 AM","first":"2023-03-25T17:42:46Z"}`},
		"groupby((industrycode),aggregate($count as n))": {formatted, "industrycode desc", `{"industrycode@OData.Community.Display.V1.FormattedValue":"Agriculture and Non-petrol Natural Resource Extraction","industrycode":2,` +
			`"n@OData.Community.Display.V1.FormattedValue":"1","n":1},{"industrycode@OData.Community.Display.V1.FormattedValue":"Accounting","industrycode":1,"n@OData.Community.Display.V1.FormattedValue":"2","n":2},` +
			`{"n@OData.Community.Display.V1.FormattedValue":"1","n":1}`},
		"groupby((statecode,statuscode))":                                     {"", "statecode", `{"statecode":0,"statuscode":1},{"statecode":1,"statuscode":2}`},
		"groupby((name), aggregate(revenue with sum as s, $count as n))":      {"", "name", `{"name":"A","s":1800000000000000.000200000,"n":2},{"name":"b","s":-1234.567800000,"n":1},{"name":"c","n":1}`},
		"filter(" + crmIn("name", "b", "c") + ")/groupby((name))":             {"", "name desc", `{"name":"c"},{"name":"b"}`},
		"filter(contains(name,'/') or name eq 'b')/aggregate($count as with)": {"", "", `{"with":1}`},
	} {
		query := "accounts?$apply=" + url.QueryEscape(text)
		if c.order != "" {
			query += "&$orderby=" + url.QueryEscape(c.order)
		}
		r := g.api(tok, query, "Prefer", c.prefer)
		want := `{"@odata.context":"` + g.url + `/api/data/v9.2/$metadata#accounts","value":[` + c.want + `]}`
		if r.status != 200 || r.body != want {
			t.Errorf("%s: %d\ngot  %s\nwant %s", text, r.status, r.body, want)
		}
	}
}

func TestRetrieveTotalRecordCount(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 37,
		Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	tok := g.signIn("").AccessToken
	for path, c := range map[string]struct {
		status     int
		code, text string
	}{
		"RetrieveTotalRecordCount":                                           {404, "0x80060888", "Resource not found for the segment"},
		"RetrieveTotalRecordCount(EntityNames=@p1)":                          {400, "0x80040203", "Required field 'EntityNames' is missing"},
		`RetrieveTotalRecordCount(EntityNames=@p1)?@p1=account`:              {400, "0x80060888", "Invalid JSON"},
		`RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["account","acount"]`: {400, "0x80040203", "Entity acount was not found in the CRM system"},
	} {
		r := g.api(tok, path)
		if r.status != c.status || !strings.Contains(r.body, c.code) || !strings.Contains(message(t, r), c.text) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := g.do(http.MethodPost, "/api/data/v9.2/RetrieveTotalRecordCount(EntityNames=@p1)", tok, nil); r.status != 405 {
		t.Errorf("POST: %d", r.status)
	}
	ask := func(path, keys, values string) {
		t.Helper()
		want := `{"@odata.context":"` + g.url +
			`/api/data/v9.2/$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse","EntityRecordCountCollection":` + keys + `,"Values":[` + values + `]}}`
		if r := g.api(g.signIn("").AccessToken, path); r.status != 200 || r.body != want {
			t.Errorf("%s: %d\ngot  %s\nwant %s", path, r.status, r.body, want)
		}
	}
	alias := "RetrieveTotalRecordCount(EntityNames=@p1)?@p1=" + url.QueryEscape(`["account"]`)
	one := `{"Count":1,"IsReadOnly":false,"Keys":["account"]`
	ask(alias, one, "37")
	ask("RetrieveTotalRecordCount(EntityNames=['account','role'])",
		`{"Count":2,"IsReadOnly":false,"Keys":["account","role"]`, fmt.Sprint("37,", len(emulator.RoleNames())*len(emulator.BusinessUnits())))
	g.s.Control().PutAccount(emulator.Account{Name: "new"})
	clock.Add(24 * 3600)
	ask(alias, one, "37") // a snapshot
	clock.Add(1)
	ask(alias, one, "38")
}
