package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

type page struct {
	Value []struct {
		AccountID, Name string
	}
	NextLink string `json:"@odata.nextLink"`
}

func (g *rig) page(token, target string, size int) page {
	g.Helper()
	r := g.do("GET", target, token, nil, "Prefer", fmt.Sprintf("odata.maxpagesize=%d", size))
	if r.status != 200 {
		g.Fatalf("%s: %d %s", target, r.status, r.body)
	}
	if got := r.header.Get("Preference-Applied"); got != fmt.Sprintf("odata.maxpagesize=%d", size) {
		g.Errorf("Preference-Applied: %q", got)
	}
	var p page
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		g.Fatal(err)
	}
	return p
}

// The shape of the real sample, for the key alone.
var linkForm = regexp.MustCompile(`^http://[^/]+/api/data/v9\.2/accounts\?\$select=name,websiteurl&\$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22` +
	`%253ccookie%2520page%253d%25221%2522%253e%253caccountid%2520last%253d%2522%257b[0-9A-F-]{36}%257d%2522%2520first%253d%2522%257b[0-9A-F-]{36}%257d%2522%2520%252f%253e%253c%252fcookie%253e` +
	`%22%20istracking=%22False%22%20/%3E$`)

func TestNextLinkHasDataversesForm(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 50})
	p := g.page(g.signIn("").AccessToken, "/api/data/v9.2/accounts?$select=name,websiteurl", 7)
	if !linkForm.MatchString(p.NextLink) {
		t.Errorf("got %s", p.NextLink)
	}
}

// pagedTables are the tables whose pages are read in every order, with a lookup whose target may be gone.
var pagedTables = []struct {
	set, key, lookup, targets string
	orders                    []string
}{
	{"accounts", "accountid", "parentaccountid", "accounts", []string{"", "name", "name desc", "revenue desc,name", "industrycode,cb_leadscore desc",
		"_ownerid_value", "_parentaccountid_value desc,name", "cb_lastcampaign desc", "createdon", "donotemail desc,cb_channels", "accountid desc",
		"address1_composite", "revenue_base desc", "_primarycontactid_value"}},
	{"contacts", "contactid", "parentcustomerid", "accounts", []string{"", "fullname", "lastname desc,firstname", "annualincome desc,jobtitle",
		"_parentcustomerid_value desc,lastname", "_masterid_value", "cb_lastcampaign desc", "modifiedon", "merged desc,cb_interests", "contactid desc",
		"cb_persona,cb_engagement desc", "birthdate", "department,jobtitle desc"}},
	{"leads", "leadid", "parentaccountid", "accounts", []string{"", "fullname desc", "companyname,lastname", "revenue desc", "leadqualitycode,leadsourcecode desc",
		"_parentcontactid_value,_parentaccountid_value desc", "cb_interests", "statuscode desc,createdon"}},
}

func TestPagesHoldEveryRowOnceInEveryOrder(t *testing.T) {
	for _, table := range pagedTables {
		t.Run(table.set, func(t *testing.T) {
			g := start(t, emulator.Options{AutoConsent: true, Accounts: 1000, Contacts: 1000})
			tok, c := g.signIn("").AccessToken, g.s.Control()
			gone := 0
			for row := range c.Table(table.set).Rows() { // lookups that lead nowhere sort like null ones
				if id, _ := row[table.lookup].(string); id != "" && gone < 20 && c.Table(table.targets).Delete(id) {
					gone++
				}
			}
			want := 0
			for range c.Table(table.set).Rows() {
				want++
			}
			if gone == 0 || want < 400 {
				t.Fatalf("%d rows, %d gone", want, gone)
			}
			for _, order := range table.orders {
				g.everyRowOnce(tok, table.set, table.key, order, want)
			}
		})
	}
}

// everyRowOnce reads the table page by page, and compares with all rows at once.
func (g *rig) everyRowOnce(token, set, key, order string, rows int) {
	g.Helper()
	read := func(target string, size int) (ids []string, next string) {
		r := g.do("GET", target, token, nil, "Prefer", fmt.Sprint("odata.maxpagesize=", size))
		var body struct {
			Value []map[string]any `json:"value"`
			Next  string           `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal([]byte(r.body), &body); r.status != 200 || err != nil {
			g.Fatalf("order %q: %d %.300s", order, r.status, r.body)
		}
		for _, v := range body.Value {
			ids = append(ids, v[key].(string))
		}
		return ids, body.Next
	}
	target := "/api/data/v9.2/" + set + "?$select=" + key + "&$count=true&$orderby=" + url.QueryEscape(order)
	seen, all := map[string]bool{}, []string{}
	for next, pages := target, 0; next != ""; pages++ {
		var ids []string
		ids, next = read(next, 333)
		for _, id := range ids {
			if seen[id] {
				g.Fatalf("order %q: %s twice", order, id)
			}
			seen[id] = true
		}
		all = append(all, ids...)
		if pages > 4 {
			g.Fatal("too many pages")
		}
	}
	if one, _ := read(target, 5000); !slices.Equal(one, all) {
		g.Fatalf("order %q: page by page and at once differ", order)
	}
	if len(all) != rows {
		g.Errorf("order %q: %d rows, want %d", order, len(all), rows)
	}
}

func TestPagingContinuesByValueWhenRowsComeAndGo(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.s.Control()
	ids := map[string]string{}
	for i := range 10 {
		n := fmt.Sprintf("row %02d", i)
		ids[n] = c.PutAccount(emulator.Account{Name: n})
	}
	tok := g.signIn("").AccessToken
	first := g.page(tok, "/api/data/v9.2/accounts?$select=name&$orderby=name", 4)
	c.PutAccount(emulator.Account{Name: "row 00 new"}) // before the cursor: not seen
	c.PutAccount(emulator.Account{Name: "row 05 new"}) // after it: seen
	if !c.DeleteAccount(ids["row 01"]) || !c.DeleteAccount(ids["row 03"]) || !c.DeleteAccount(ids["row 07"]) {
		t.Fatal("rows to delete are missing")
	}
	var names []string
	for link := first.NextLink; link != ""; {
		p := g.page(tok, link, 4)
		for _, v := range p.Value {
			names = append(names, v.Name)
		}
		link = p.NextLink
	}
	if got := strings.Join(names, ","); got != "row 04,row 05,row 05 new,row 06,row 08,row 09" {
		t.Errorf("after the first page: %s", got)
	}
}

func TestBadCookies(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 50})
	tok := g.signIn("").AccessToken
	good := g.page(tok, "/api/data/v9.2/accounts?$select=name", 7).NextLink
	for name, c := range map[string]struct{ link, code, text string }{
		"encoded once more": {strings.ReplaceAll(good, "%", "%25"), "0x80060888", "Malformed XML in the Paging Cookie"},
		"cut":               {good[:len(good)-40], "0x80060888", "Malformed XML in the Paging Cookie"},
		"empty":             {good[:strings.Index(good, "$skiptoken=")+11], "0x80060888", "Malformed XML in the Paging Cookie"},
		"page zero":         {strings.Replace(good, "pagenumber=%222", "pagenumber=%220", 1), "0x8004112A", "Invalid page number in paging cookie."},
		"another order":     {good + "&$orderby=name", "0x80041129", "Order by columns do not match those in paging cookie."},
		"a bad GUID":        {strings.Replace(good, "last%253d%2522%257b", "last%253d%2522%257bZZ", 1), "0x80060888", "Malformed XML in the Paging Cookie"},
		"no last":           {strings.Replace(good, "last%253d", "lost%253d", 1), "0x80060888", "Value for attribute last was not specified, and it was not null either."},
	} {
		r := g.do("GET", c.link, tok, nil)
		if r.status != 400 || !strings.Contains(r.body, `"code":"`+c.code+`"`) || !strings.Contains(message(t, r), c.text) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestTopAndPageSize(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5100})
	tok := g.signIn("").AccessToken
	r := g.api(tok, "accounts?$select=name&$top=3")
	if strings.Count(r.body, "@odata.etag") != 3 || strings.Contains(r.body, "nextLink") {
		t.Errorf("$top=3: %.300s", r.body)
	}
	if p := g.page(tok, "/api/data/v9.2/accounts?$select=name&$top=3", 5); len(p.Value) != 5 || p.NextLink == "" {
		t.Errorf("with maxpagesize $top is ignored, got %d rows", len(p.Value))
	}
	r = g.api(tok, "accounts?$select=name&$top=5050")
	if strings.Count(r.body, "@odata.etag") != 5000 || strings.Contains(r.body, "nextLink") {
		t.Errorf("$top=5050: %d rows", strings.Count(r.body, "@odata.etag"))
	}
	for _, top := range []string{"-1", "x", "99999999999999999999"} {
		if r := g.api(tok, "accounts?$select=name&$top="+top); r.status != 400 {
			t.Errorf("$top=%s: %d", top, r.status)
		}
	}
	if p := g.page(tok, "/api/data/v9.2/accounts?$select=name", 9000); len(p.Value) != 5000 || p.NextLink == "" {
		t.Errorf("a page holds 5000 rows at most, got %d", len(p.Value))
	}
}

// Pages that are ordered by a lookup have a number and no cookie, and end where
// Dataverse ends them.
func TestPagesWithoutCookies(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 100, SimplePagingRows: 60})
	tok := g.signIn("").AccessToken
	link := "/api/data/v9.2/accounts?$select=name&$orderby=name,_ownerid_value"
	for number := 2; number <= 4; number++ {
		p := g.page(tok, link, 20)
		if want := fmt.Sprintf("&$skiptoken=%%3Ccookie%%20pagenumber=%%22%d%%22%%20istracking=%%22False%%22%%20/%%3E", number); len(p.Value) != 20 || !strings.HasSuffix(p.NextLink, want) {
			t.Fatalf("%d rows, then %s", len(p.Value), p.NextLink)
		}
		link = p.NextLink
	}
	r := g.do("GET", link, tok, nil, "Prefer", "odata.maxpagesize=20")
	if r.status != 400 || !strings.Contains(r.body, `"0x8004430a"`) ||
		!strings.Contains(r.body, "Paging cookie is required") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.do("GET", strings.Replace(link, "pagenumber=%224", "pagenumber=%220", 1), tok, nil); r.status != 400 {
		t.Errorf("page zero: %d %s", r.status, r.body)
	}
}
