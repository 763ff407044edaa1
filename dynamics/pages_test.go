package dynamics_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/go-json-experiment/json/jsontext"
)

// everyType selects one column of each type, some under friendly names.
var everyType = dynamics.Query{PageSize: 50, Select: []dynamics.Output{
	{Column: column("accountid", dynamics.UniqueID), As: "id"},
	{Column: column("name", dynamics.Text), As: "name"},
	{Column: column("revenue", dynamics.Money), As: "revenue"},
	{Column: column("numberofemployees", dynamics.Integer), As: "employees"},
	{Column: column("industrycode", dynamics.Choice), As: "industry"},
	{Column: column("new_channels", dynamics.Choices), As: "new_channels", Labels: map[int]string{2: "Two", 3: "A; B"}},
	{Column: column("ownerid", dynamics.Lookup), As: "owner"},
	{Column: column("createdon", dynamics.DateTime), As: "created_at"},
	{Column: column("donotemail", dynamics.Boolean), As: "do_not_email"},
	{Column: column("name", dynamics.Text), As: "again"},
}}

const rowJSON = `{"@odata.etag":"W/\"81\"","accountid":"78914942-34CB-ED11-B596-0022481D68CD","name":"O'Brien \u0026 \"S\u00f6hne\" 🚀",` +
	`"revenue@OData.Community.Display.V1.FormattedValue":"$20,000.00","revenue":20000.0000,` +
	`"numberofemployees":12,"industrycode@OData.Community.Display.V1.FormattedValue":"Consulting","industrycode":7,` +
	`"new_channels@OData.Community.Display.V1.FormattedValue":"Two; A; B","new_channels":"2,3",` +
	`"_ownerid_value@OData.Community.Display.V1.FormattedValue":"Ada","_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser","_ownerid_value":"39E0DBE4-131b-e111-ba7e-78e7d1620f5e",` +
	`"createdon":"2023-04-07T21:59:01Z","donotemail":false,"_transactioncurrencyid_value":"x","extra":{"a":[1,{}]}}`

const rowWanted = `{"id":"78914942-34cb-ed11-b596-0022481d68cd","name":"O'Brien \u0026 \"S\u00f6hne\" 🚀","revenue":20000.0000,"employees":12,` +
	`"industry":{"value":7,"label":"Consulting"},"new_channels":[{"value":2,"label":"Two"},{"value":3,"label":"A; B"}],` +
	`"owner":{"id":"39e0dbe4-131b-e111-ba7e-78e7d1620f5e","name":"Ada","entity":"systemuser"},"created_at":"2023-04-07T21:59:01Z","do_not_email":false,` +
	`"again":"O'Brien \u0026 \"S\u00f6hne\" 🚀"}`

func pageOf(rows ...string) string {
	return `{"@odata.context":"x","@odata.count":3,"value":[` + strings.Join(rows, ",") + `]}`
}

func readOne(t *testing.T, q dynamics.Query, body string) (*dynamics.Page, error) {
	t.Helper()
	return firstPage(t.Context(), newRig(t, answer(200, body)).open(t), q)
}

func TestARowInEveryType(t *testing.T) {
	r := newRig(t, answer(200, pageOf(rowJSON, rowJSON)))
	p, err := firstPage(t.Context(), r.open(t), everyType)
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 2 || string(p.Row(0)) != rowWanted || string(p.Row(1)) != rowWanted {
		t.Errorf("%d rows\n got %s\nwant %s", p.Len(), p.Row(0), rowWanted)
	}
	if n, ok := p.Count(); p.ID(1) != someID || p.ETag(1) != `W/"81"` || p.NextLink() != "" || n != 3 || !ok {
		t.Errorf("id %q, etag %q, next %q, count %d %v", p.ID(1), p.ETag(1), p.NextLink(), n, ok)
	}
	req := r.seen[0]
	for header, want := range map[string]string{
		"Accept": "application/json", "Odata-Version": "4.0", "Odata-Maxversion": "4.0", "If-None-Match": "null", "User-Agent": "rig/1", "Authorization": "Bearer " + canaryToken,
		"Prefer": `odata.maxpagesize=50,odata.include-annotations="OData.Community.Display.V1.FormattedValue,Microsoft.Dynamics.CRM.lookuplogicalname"`,
	} {
		if got := req.Header.Values(header); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	if len(req.Header.Get("X-Ms-Client-Request-Id")) != 36 || req.Method != http.MethodGet {
		t.Error("request id or method")
	}
}

func TestRowShapes(t *testing.T) {
	idMember := `"accountid":"` + someID + `"`
	for _, c := range []struct{ name, row, want string }{
		{"nulls and absences", `{` + idMember + `,"name":null}`, `{"id":"` + someID + `","name":null,"revenue":null,"employees":null,"industry":null,"new_channels":null,"owner":null,"created_at":null,"do_not_email":null,"again":null}`},
		{"labels behind", `{"industrycode":7,"industrycode@OData.Community.Display.V1.FormattedValue":"C",` + idMember + `}`, `"industry":{"value":7,"label":"C"}`},
		{"no label", `{"industrycode":7,` + idMember + `}`, `"industry":{"value":7,"label":""}`},
		{"labels that cannot be split", `{"new_channels":"2,3","new_channels@OData.Community.Display.V1.FormattedValue":"Two; A; B",` + idMember + `}`, `"new_channels":[{"value":2,"label":"Two"},{"value":3,"label":"A; B"}]`},
		{"unknown choice", `{"new_channels":"2,9",` + idMember + `}`, `"new_channels":[{"value":2,"label":"Two"},{"value":9,"label":""}]`},
		{"no choices", `{"new_channels":"",` + idMember + `}`, `"new_channels":[]`},
		{"bare lookup", `{"_ownerid_value":"` + someID + `",` + idMember + `}`, `"owner":{"id":"` + someID + `","name":null,"entity":null}`},
		{"digits kept", `{"revenue":12345678901234567890.10,` + idMember + `}`, `"revenue":12345678901234567890.10`},
		{"half an emoji", `{"name":"cut \ud83d",` + idMember + `}`, `"name":"cut ` + "\uFFFD" + `"`},
		{"a whole emoji", `{"name":"\ud83d\ude80",` + idMember + `}`, `"name":"` + "\U0001F680" + `"`},
		{"escaped name", `{"n\u0061me":"x",` + idMember + `}`, `"name":"x"`},
	} {
		p, err := readOne(t, everyType, pageOf(rowJSON, c.row, rowJSON, c.row))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(p.Row(3)); !strings.Contains(got, c.want) || got != string(p.Row(1)) ||
			string(p.Row(2)) != rowWanted {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestUnusablePages(t *testing.T) {
	idMember := `"accountid":"` + someID + `"`
	for _, body := range []string{
		``, `null`, `[]`, `"x"`, `{}`, `{"value":null}`, `{"value":{}}`, `{"value":[1]}`, `{"value":[null]}`, `{"value":[]}x`, `{"value":[]}{}`, `{"value":[],"value":[]}`,
		`{"value":[` + rowJSON + `],"error":{"code":"0x80040216","message":"late"}}`, `{"value":[],"@odata.nextLink":5}`, `{"value":[],"@odata.count":"many"}`, "<html>",
		pageOf(`{"name":"x"}`), pageOf(`{"accountid":null}`), pageOf(`{"accountid":"x"}`),
		pageOf(`{` + idMember + `,` + idMember + `}`),
		pageOf(`{` + idMember + `,"name":5}`), pageOf(`{` + idMember + `,"name":{"a":1}}`),
		pageOf(`{` + idMember + `,"name":"` + "\xff" + `"}`), pageOf(`{` + idMember + `,"name":"` + "\n" + `"}`),
		pageOf(`{` + idMember + `,"revenue":"5"}`), pageOf(`{` + idMember + `,"numberofemployees":5.5}`),
		pageOf(`{` + idMember + `,"numberofemployees":007}`), pageOf(`{` + idMember + `,"industrycode":"7"}`),
		pageOf(`{` + idMember + `,"industrycode":7,"industrycode@OData.Community.Display.V1.FormattedValue":7}`),
		pageOf(`{` + idMember + `,"new_channels":"2,x"}`), pageOf(`{` + idMember + `,"new_channels":"2,"}`),
		pageOf(`{` + idMember + `,"_ownerid_value":"x"}`), pageOf(`{` + idMember + `,"donotemail":"false"}`),
		pageOf(`{` + idMember + `,"createdon":5}`), pageOf(`{"@odata.etag":5,` + idMember + `}`),
	} {
		p, err := readOne(t, everyType, body)
		kind(t, err, dynamics.Upstream)
		if p != nil {
			t.Errorf("%s: half a page", body)
		}
	}
}

func TestTruncatedPages(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it cuts an answer in many places")
	}
	whole := pageOf(rowJSON, rowJSON)
	for cut := 0; cut < len(whole); cut += 7 {
		clean := newRig(t, answer(200, whole[:cut])) // ends as if complete
		_, err := firstPage(t.Context(), clean.open(t), everyType)
		kind(t, err, dynamics.Upstream)
		if n := len(clean.uris()); n != 1 {
			t.Fatalf("cut at %d: broken JSON was asked for %d times", cut, n)
		}
		torn := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = io.WriteString(w, whole[:cut])
		})
		_, err = firstPage(t.Context(), torn.open(t), everyType)
		kind(t, err, dynamics.Upstream)
		if n := len(torn.uris()); n != 3 {
			t.Fatalf("cut at %d: a torn answer was asked for %d times, want 3", cut, n)
		}
	}
}

func TestABodyHasABound(t *testing.T) {
	body := pageOf(rowJSON)
	for _, c := range []struct {
		max  int64
		want dynamics.Kind
	}{{int64(len(body)), 0}, {int64(len(body)) - 1, dynamics.TooLarge}, {10, dynamics.TooLarge}} {
		r := newRig(t, answer(200, body), func(c2 *dynamics.Config) { c2.MaxBody = c.max })
		_, err := firstPage(t.Context(), r.open(t), everyType)
		if c.want != 0 {
			kind(t, err, c.want)
		} else if err != nil {
			t.Error(err)
		}
		if got := r.calls[0]; got.Op != "accounts.page" || got.Status != 200 || got.Kind != c.want || got.Bytes == 0 ||
			got.Bytes > c.max+1 {
			t.Errorf("call %+v", got)
		}
	}
}

func TestACompressedBodyIsBoundedAsItIsRead(t *testing.T) {
	bomb := pageOf(strings.Repeat(" ", 8<<20) + rowJSON)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, bomb)
		_ = z.Close()
	}, func(c *dynamics.Config) { c.MaxBody = 1 << 20 })
	_, err := firstPage(t.Context(), r.open(t), everyType)
	kind(t, err, dynamics.TooLarge)
	if n := r.calls[0].Bytes; n > 1<<20+1 {
		t.Errorf("%d bytes were read", n)
	}
}

func TestOneAccount(t *testing.T) {
	r := newRig(t, answer(200, `{"@odata.context":"x",`+rowJSON[1:]))
	row, err := r.open(t).Row(t.Context(), accounts, strings.ToUpper(someID), everyType.Select[:2])
	if err != nil || string(row) != `{"id":"`+someID+`","name":"O'Brien \u0026 \"S\u00f6hne\" 🚀"}` {
		t.Errorf("%s, %v", row, err)
	}
	if got := r.uris()[0]; got != "/api/data/v9.2/accounts("+someID+")?$select=accountid,name" {
		t.Error(got)
	}
	for _, id := range []string{"", "x", someID + ")", "{" + someID + "}", "name='x'"} {
		_, err := r.open(t).Row(t.Context(), accounts, id, nil)
		kind(t, err, dynamics.Invalid)
	}
	if n := len(r.uris()); n != 1 {
		t.Errorf("%d requests", n)
	}
	_, err = r.open(t).Row(t.Context(), accounts, strings.Replace(someID, "7", "6", 1), nil)
	kind(t, err, dynamics.Upstream) // another row than asked for
}

func TestCount(t *testing.T) {
	r := newRig(t, answer(200, `{"value":[{"c":7346}]}`))
	n, err := r.open(t).Count(t.Context(), accounts, leaf(name, dynamics.Eq, "a&b"))
	if want := "/api/data/v9.2/accounts?$apply=filter(name%20eq%20'a%26b')%2Faggregate(%24count%20as%20c)"; err != nil ||
		n != 7346 || r.uris()[0] != want {
		t.Errorf("%d, %v, %s", n, err, r.uris()[0])
	}
	for _, body := range []string{`{}`, `{"value":[{}]}`, `{"value":[{"c":-1}]}`, `{"value":[{"c":1.5}]}`, `{"value":[{"c":1},{"c":2}]}`} {
		_, err := newRig(t, answer(200, body)).open(t).Count(t.Context(), accounts, nil)
		kind(t, err, dynamics.Upstream)
	}
}

func TestRefusedQueries(t *testing.T) {
	for _, q := range []dynamics.Query{
		{PageSize: -1}, {PageSize: 5001}, {Select: []dynamics.Output{output("name", dynamics.Unsupported)}}, {Select: []dynamics.Output{output("name,x", dynamics.Text)}},
		{Select: []dynamics.Output{output("name", dynamics.Text), output("name", dynamics.Text)}}, {Select: []dynamics.Output{{Column: name, As: "\xff"}}},
		{Select: []dynamics.Output{output("accountid", dynamics.Text)}}, {Select: []dynamics.Output{output("a", dynamics.Text), {Column: column("a", dynamics.Money), As: "b"}}},
		{OrderBy: []dynamics.Order{{Column: name}, {Column: name, Desc: true}}}, {OrderBy: []dynamics.Order{{Column: column("a desc", dynamics.Text)}}},
	} {
		_, err := readOne(t, q, emptyPage)
		kind(t, err, dynamics.Invalid)
	}
}

func FuzzPage(f *testing.F) {
	f.Add(pageOf(rowJSON, rowJSON))
	f.Add(`{"value":[{"accountid":"` + someID + `"}],"@odata.nextLink":"x"}`)
	f.Add(`{"value":[{"accountid":"` + someID + `","new_channels":" 2, 3"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		p, err := readOne(t, everyType, body)
		if err != nil {
			kind(t, err, dynamics.Upstream)
			return
		}
		if !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatalf("a page from invalid JSON: %q", body)
		}
		for i := range p.Len() {
			if !jsontext.Value(p.Row(i)).IsValid() || len(p.ID(i)) != 36 ||
				!strings.HasPrefix(string(p.Row(i)), fmt.Sprintf(`{"id":"%s","name":`, p.ID(i))) {
				t.Fatalf("row %s", p.Row(i))
			}
		}
	})
}

// A link with a page's number and no cookie leads to pages that end at 50,000 rows.
func TestLinksWithoutACookie(t *testing.T) {
	for link, want := range map[string]bool{
		cookie: false,
		"$skiptoken=%3Ccookie%20pagenumber=%222%22%20/%3E":                          true,
		"$skiptoken=%3Ccookie%20PageNumber=%222%22%20istracking=%22False%22%20/%3E": true,
		"$skiptoken=%3Ccookie%20PageNumber=%222%22%20PagingCookie=%22x%22%20/%3E":   false,
		"$skiptoken=x": false,
	} {
		var r *rig
		r = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s/api/data/v9.2/accounts?%s"}`, r.URL, link)
		})
		if p, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil || p.WithoutCookie() != want {
			t.Errorf("%s: %v, want %t", link, err, want)
		}
	}
	if p, err := readOne(t, nameOnly, emptyPage); err != nil || p.WithoutCookie() {
		t.Errorf("the last page: %v", err)
	}
}

// What Dataverse did not count is no count.
func TestCountsOfPages(t *testing.T) {
	for member, want := range map[string]bool{`,"@odata.count":-1`: false, ``: false, `,"@odata.count":0`: true, `,"@odata.count":5000`: true} {
		p, err := readOne(t, nameOnly, `{"value":[]`+member+`}`)
		if err != nil {
			t.Fatal(err)
		}
		if n, counted := p.Count(); counted != want || want && `,"@odata.count":`+strconv.FormatInt(n, 10) != member {
			t.Errorf("%s: %d, %t", member, n, counted)
		}
	}
}

// Rows and deleted ids stand in pieces of 64: each is where it belongs, and no row can
// be written over by what is appended to another.
func TestManyRowsAndDeletedIDs(t *testing.T) {
	const n = 200
	rows := make([]string, 0, 2*n)
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"@odata.etag":"W/\"%d\"","accountid":%q,"name":"%d"}`, i, guid(i), i),
			deletedRow(guid(n+i)))
	}
	page, err := firstChanges(t.Context(), trackedRig(t, "@odata.deltaLink", deltaLink, rows...).open(t), changedNames)
	if err != nil || page.Len() != n || page.Deleted() != n {
		t.Fatal(err)
	}
	for i := range n {
		if row := page.Row(i); cap(row) != len(row) {
			t.Fatalf("row %d has room behind it", i)
		}
		_ = append(page.Row(i), "overwritten"...)
		if page.ID(i) != guid(i) || string(page.Row(i)) != fmt.Sprintf(`{"id":%q,"name":"%d"}`, guid(i), i) ||
			page.ETag(i) != fmt.Sprintf(`W/"%d"`, i) || page.DeletedID(i) != guid(n+i) {
			t.Errorf("row %d: %s, id %s, etag %s, deleted %s", i, page.Row(i), page.ID(i), page.ETag(i), page.DeletedID(i))
		}
	}
}

// Runs of rows are those rows with commas between, wherever a run begins and ends, also
// across rows that are too long to stand beside others.
func TestRunsOfRows(t *testing.T) {
	const n = 300
	rows := make([]string, n)
	for i := range rows {
		length := i
		if i%70 == 40 {
			length = 100 << 10
		}
		rows[i] = fmt.Sprintf(`{"@odata.etag":"W/\"%d\"","accountid":%q,"name":"%s"}`, i, guid(i),
			strings.Repeat("n", length))
	}
	page, err := readOne(t, nameOnly, pageOf(rows...))
	if err != nil || page.Len() != n {
		t.Fatal(err)
	}
	for _, first := range []int{0, 1, 39, 40, 41, 109, 110, 299, 300} {
		for _, rows := range []int{0, 1, 2, 30, 150, 300} {
			rows = min(rows, n-first)
			var want []string
			for i := range rows {
				want = append(want, string(page.Row(first+i)))
			}
			got := page.AppendRows([]byte("before"), first, rows)
			if string(got) != "before"+strings.Join(want, ",") || page.Size(first, rows) != len(got)-len("before") {
				t.Errorf("%d rows from %d on take %d bytes, of size %d", rows, first, len(got), page.Size(first, rows))
			}
		}
	}
}
