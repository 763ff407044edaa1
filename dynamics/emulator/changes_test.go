package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// delta is a page under change tracking.
type delta struct {
	Context string `json:"@odata.context"`
	Count   *int   `json:"@odata.count"`
	Value   []struct {
		Context         string `json:"@odata.context"`
		Etag            string `json:"@odata.etag"`
		ID              string
		Reason          string
		AccountID, Name string
	}
	NextLink  string `json:"@odata.nextLink"`
	DeltaLink string `json:"@odata.deltaLink"`
}

func (g *rig) delta(token, target string, prefer ...string) (delta, reply) {
	g.Helper()
	var header []string
	for _, p := range prefer {
		header = append(header, "Prefer", p)
	}
	r := g.do("GET", target, token, nil, header...)
	var d delta
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || r.status != 200 {
		g.Fatalf("%s: %d %s", target, r.status, r.body)
	}
	return d, r
}

// chain follows the links to the end; what it says is name, or -id for a deletion.
func (g *rig) chain(token, target string, between func(page int), prefer ...string) (said []string, link string) {
	g.Helper()
	for page := 1; ; page++ {
		d, _ := g.delta(token, target, prefer...)
		for _, v := range d.Value {
			if v.Reason != "" {
				said = append(said, "-"+v.ID)
			} else {
				said = append(said, v.Name)
			}
		}
		if (d.NextLink == "") == (d.DeltaLink == "") {
			g.Fatalf("page %d must have one link: %q and %q", page, d.NextLink, d.DeltaLink)
		}
		if d.DeltaLink != "" {
			return said, d.DeltaLink
		}
		if between != nil {
			between(page)
		}
		target = d.NextLink
	}
}

const track = "odata.track-changes"

func trackRow(i int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", i) }

func tracking(t *testing.T, rows int, o emulator.Options) (*rig, string) {
	o.AutoConsent, o.Accounts = true, -1
	g := start(t, o)
	for i := range rows {
		g.s.Control().PutAccount(emulator.Account{ID: trackRow(i + 1), Name: fmt.Sprint("row ", i+1)})
	}
	return g, g.signIn("").AccessToken
}

func TestChangeTrackingIsRefused(t *testing.T) {
	g, tok := tracking(t, 3, emulator.Options{})
	_, link := g.chain(tok, "/api/data/v9.2/accounts?$select=name", nil, track)
	token := link[strings.Index(link, "$deltatoken="):]
	for path, want := range map[string]string{
		"accounts?$filter=" + url.QueryEscape("name eq 'x'"): `The "$filter" query parameter isn't supported when Change Tracking is enabled.`,
		"accounts?$orderby=name":                             `The "$orderby" query parameter isn't supported when Change Tracking is enabled.`,
		"accounts?$expand=primarycontactid":                  `The "$expand" query parameter isn't supported when Change Tracking is enabled.`,
		"accounts?$top=3":                                    `The "$top" query parameter isn't supported when Change Tracking is enabled.`,
		"accounts?$top=3&" + token:                           `The "$top" query parameter isn't supported when Change Tracking is enabled.`,
		"accounts/$count?$filter=" + url.QueryEscape("name eq 'x'") + "&" + token: `The "$filter" query parameter isn't supported when Change Tracking is enabled.`,
		"systemusers":            "Change tracking is not enabled for the entity 'systemuser'. Enable change tracking for the entity to use the odata.track-changes preference.",
		"roles?" + token:         "Change tracking is not enabled for the entity 'role'.",
		"accounts?$deltatoken=1": "Error in query syntax.",
		"accounts?$deltatoken=1!13%2f22%2f2017%2008%3a10%3a44": "Error in query syntax.",
		"accounts?$select=nix&" + token:                        "Could not find a property named 'nix'",
		"accounts?" + token + "&$skiptoken=%3Ccookie":          "Malformed XML in the Paging Cookie",
	} {
		r := g.api(tok, path, "Prefer", track)
		if r.status != 400 || !strings.Contains(r.body, `"code":"0x80060888"`) || !strings.Contains(message(t, r), want) ||
			r.header.Get("Preference-Applied") != "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := g.api(g.signIn("no.accounts@contoso.example").AccessToken, "accounts", "Prefer", track); r.status != 403 ||
		!strings.Contains(r.body, "prvReadAccount") {
		t.Errorf("without the privilege: %d %s", r.status, r.body)
	}
	// A chain that began without tracking cannot be given a delta link that is true.
	if p := g.page(tok, "/api/data/v9.2/accounts?$select=name", 2); g.do("GET", p.NextLink, tok, nil, "Prefer", track).status != 400 {
		t.Error("tracking began on the second page")
	}
	definition := "EntityDefinitions(LogicalName='account')?$select=ChangeTrackingEnabled"
	if r := g.api(tok, definition); !strings.Contains(r.body, `"ChangeTrackingEnabled":true`) {
		t.Errorf("metadata: %s", r.body)
	}
	if r := g.do("POST", "/_emulator/tracking?off=1", "", nil); r.status != 200 {
		t.Fatal(r.body)
	}
	for _, path := range []string{"accounts", "accounts?" + token, "accounts/$count?" + token} {
		if r := g.api(tok, path, "Prefer", track); r.status != 400 ||
			!strings.Contains(message(t, r), "Change tracking is not enabled for the entity 'account'.") {
			t.Errorf("switched off, %s: %d %s", path, r.status, r.body)
		}
	}
	if r := g.api(tok, definition); !strings.Contains(r.body, `"ChangeTrackingEnabled":false`) {
		t.Errorf("metadata: %s", r.body)
	}
	g.do("POST", "/_emulator/tracking", "", nil)
	if said, _ := g.chain(tok, link, nil); len(said) != 0 {
		t.Errorf("switched on again: %q", said)
	}
	off, tok := tracking(t, 0, emulator.Options{NoChangeTracking: true})
	if r := off.api(tok, "accounts", "Prefer", track); r.status != 400 {
		t.Errorf("off from the start: %d", r.status)
	}
}

func TestDeltaTokensExpire(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Unix())
	g, _ := tracking(t, 3, emulator.Options{Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	expired := func(link string, want bool) {
		t.Helper()
		r := g.do("GET", link, g.signIn("").AccessToken, nil, "Prefer", track)
		is := r.status == 400 && strings.Contains(r.body,
			`{"error":{"code":"0x80044352","message":"Version stamp associated with the client has expired. Please perform a full sync."}}`)
		if is != want || !want && r.status != 200 {
			t.Errorf("expired is %t, want %t: %d %s", is, want, r.status, r.body)
		}
	}
	first := func() string {
		t.Helper()
		_, link := g.chain(g.signIn("").AccessToken, "/api/data/v9.2/accounts?$select=name", nil, track)
		return link
	}
	link := first()
	if !strings.HasSuffix(link, "%2103%2f04%2f2026%2005%3a06%3a07") {
		t.Errorf("the moment of the token: %s", link)
	}
	clock.Add(7 * 24 * 3600)
	expired(link, false)
	clock.Add(1)
	expired(link, true)
	link = first()
	g.s.Control().ExpireChangeTokens()
	expired(link, true)
	expired(first(), false) // though nothing has changed
	link = first()
	if r := g.do("POST", "/_emulator/expire-changes", "", nil); r.status != 200 {
		t.Fatal(r.body)
	}
	expired(link, true)
	expired(regexp.MustCompile(`deltatoken=\d+`).ReplaceAllString(first(), "deltatoken=999999999999"), true) // another database's
	expired(regexp.MustCompile(`deltatoken=\d+`).ReplaceAllString(first(), "deltatoken=1"), true)
}

func TestChangesOnTheWire(t *testing.T) {
	g, tok := tracking(t, 3, emulator.Options{Now: func() time.Time { return time.Date(2026, 8, 22, 8, 10, 44, 0, time.UTC) }})
	c := g.s.Control()
	path := "/api/data/v9.2/accounts?$select=name,telephone1"
	_, r := g.delta(tok, path, "odata.maxpagesize=5, odata.track-changes")
	if got := r.header.Get("Preference-Applied"); got != "odata.maxpagesize=5,odata.track-changes" {
		t.Errorf("Preference-Applied: %q", got)
	}
	prefix := `{"@odata.context":"` + g.url + `/api/data/v9.2/$metadata#accounts(name,telephone1)`
	form := regexp.MustCompile(`^` + regexp.QuoteMeta(prefix+`","@odata.deltaLink":"`+g.url+path) +
		`&\$deltatoken=\d+%2108%2f22%2f2026%2008%3a10%3a44","value":\[\{"@odata.etag":"W/\\"\d+\\"","name":"row 1"`)
	if !form.MatchString(r.body) {
		t.Errorf("the first reading: %s", r.body)
	}
	var first delta
	if err := json.Unmarshal([]byte(r.body), &first); err != nil {
		t.Fatal(err)
	}
	d, r := g.delta(tok, first.DeltaLink)
	if !strings.HasSuffix(r.body, `"value":[]}`) || d.DeltaLink != first.DeltaLink ||
		r.header.Get("Preference-Applied") != "" {
		t.Errorf("nothing has changed: %s", r.body)
	}
	c.PutAccount(emulator.Account{ID: trackRow(2), Name: "changed", Phone: "555"})
	c.PutAccount(emulator.Account{ID: trackRow(4), Name: "new"})
	c.DeleteAccount(trackRow(1))
	c.PutAccount(emulator.Account{ID: trackRow(5), Name: "brief"})
	c.DeleteAccount(trackRow(5))
	_, r = g.delta(tok, first.DeltaLink, "odata.include-annotations=\"*\"")
	body := regexp.MustCompile(`W/\\"\d+\\"`).ReplaceAllString(r.body, "W")
	body = regexp.MustCompile(`deltatoken=\d+%`).ReplaceAllString(body, "deltatoken=N%")
	gone := func(i int) string {
		return `{"@odata.context":"` + g.url + `/api/data/v9.2/$metadata#accounts/$deletedEntity","id":"` + trackRow(i) +
			`","reason":"deleted"}`
	}
	want := prefix + `/$delta","@Microsoft.Dynamics.CRM.totalrecordcount":-1,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":false,"@Microsoft.Dynamics.CRM.globalmetadataversion":"6012567",` +
		`"@odata.deltaLink":"` + g.url + path + `&$deltatoken=N%2108%2f22%2f2026%2008%3a10%3a44","value":[` +
		`{"@odata.etag":"W","name":"changed","telephone1":"555","accountid":"` + trackRow(2) + `"},{"@odata.etag":"W","name":"new","telephone1":null,"accountid":"` + trackRow(4) + `"},` +
		gone(1) + "," + gone(5) + "]}"
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	token := first.DeltaLink[strings.Index(first.DeltaLink, "$deltatoken="):]
	if r := g.api(tok, "accounts/$count?"+token); r.body != "\ufeff4" || r.header.Get("Content-Type") != "text/plain" {
		t.Errorf("the count of changes: %q", r.body)
	}
	if d, _ := g.delta(tok, first.DeltaLink+"&$count=true"); d.Count == nil || *d.Count != 4 ||
		!strings.Contains(d.DeltaLink, "$count=true&$deltatoken=") {
		t.Errorf("with $count: %+v", d)
	}
	// A row that comes back is a changed one and no deletion.
	c.PutAccount(emulator.Account{ID: trackRow(1), Name: "back"})
	said, _ := g.chain(tok, first.DeltaLink, nil)
	if got := strings.Join(said, " "); got != "changed new back -"+trackRow(5) {
		t.Errorf("after the row came back: %s", got)
	}
	if r := g.api(tok, "accounts("+trackRow(1)+")?$select=name", "Prefer", "odata.track-changes,odata.maxpagesize=5"); r.header.Get("Preference-Applied") != "odata.maxpagesize=5" {
		t.Errorf("tracking applied to a single row: %q", r.header.Get("Preference-Applied"))
	}
}

// Pages cross from rows to deletions, the links have their forms, and what changes while they are
// read comes with the next chain.
func TestChangesPageByPage(t *testing.T) {
	g, tok := tracking(t, 7, emulator.Options{})
	c := g.s.Control()
	prefer := []string{track, "odata.maxpagesize=3"}
	first, _ := g.delta(tok, "/api/data/v9.2/accounts?$select=name", prefer...)
	if len(first.Value) != 3 || first.DeltaLink != "" ||
		!strings.Contains(first.NextLink, "istracking=%22True%22%20/%3E") {
		t.Errorf("the first page: %+v", first)
	}
	said, link := g.chain(tok, "/api/data/v9.2/accounts?$select=name", func(page int) {
		if page == 1 {
			c.PutAccount(emulator.Account{ID: trackRow(1), Name: "row 1 again"}) // delivered before
			c.PutAccount(emulator.Account{ID: trackRow(0), Name: "row 0"})       // behind the cursor
			c.DeleteAccount(trackRow(2))                                         // delivered before
			c.DeleteAccount(trackRow(6))                                         // yet to come
		}
	}, prefer...)
	if got := strings.Join(said, ","); got != "row 1,row 2,row 3,row 4,row 5,row 7" {
		t.Errorf("the first reading: %s", got)
	}
	said, next := g.chain(tok, link, nil, prefer...)
	if got, want := strings.Join(said, ","), "row 1 again,row 0,-"+trackRow(2)+",-"+trackRow(6); got != want {
		t.Errorf("the changes: %s, want %s", got, want)
	}
	for i := 10; i < 15; i++ {
		c.PutAccount(emulator.Account{ID: trackRow(i), Name: fmt.Sprint("row ", i)})
	}
	c.DeleteAccount(trackRow(3))
	c.DeleteAccount(trackRow(4))
	c.DeleteAccount(trackRow(5))
	d, _ := g.delta(tok, next, prefer...)
	if !strings.Contains(d.NextLink, "&$deltatoken="+next[strings.Index(next, "$deltatoken=")+12:]+"&$skiptoken=%3Ccookie%20pagenumber=%222%22") || !strings.Contains(d.NextLink, "istracking=%22True%22") {
		t.Errorf("the link within a delta: %s", d.NextLink)
	}
	said, last := g.chain(tok, next, func(page int) {
		switch page {
		case 1:
			c.PutAccount(emulator.Account{ID: trackRow(14), Name: "row 14 again"}) // was yet to come
			c.PutAccount(emulator.Account{ID: trackRow(5), Name: "row 5 back"})    // its deletion was yet to come
		case 2:
			c.DeleteAccount(trackRow(10))
		}
	}, "odata.maxpagesize=2") // no preference for tracking: the token says it
	if got, want := strings.Join(said, ","), "row 10,row 11,row 12,row 13,-"+trackRow(3)+",-"+trackRow(4); got != want {
		t.Errorf("while it changes: %s, want %s", got, want)
	}
	said, _ = g.chain(tok, last, nil, "odata.maxpagesize=1")
	if got, want := strings.Join(said, ","), "row 14 again,row 5 back,-"+trackRow(10); got != want {
		t.Errorf("the rest: %s, want %s", got, want)
	}
}

// A hundred changes of every kind give exactly those, whatever the size of the pages.
func TestChangesAreExact(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 500})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	said, link := g.chain(tok, "/api/data/v9.2/accounts?$select=name", nil, track, "odata.maxpagesize=77")
	if len(said) != 500 {
		t.Fatalf("%d rows", len(said))
	}
	want := map[string]bool{}
	i := 0
	for a := range c.Accounts() {
		switch i++; i % 5 {
		case 0:
			a.Name = fmt.Sprint("changed ", i)
			c.PutAccount(a)
			want[a.Name] = true
		case 1:
			c.DeleteAccount(a.ID)
			want["-"+a.ID] = true
		case 2:
			name := fmt.Sprint("new ", i)
			c.PutAccount(emulator.Account{Name: name})
			want[name] = true
		}
	}
	for _, size := range []int{1, 13, 5000} {
		said, _ := g.chain(tok, link, nil, fmt.Sprintf("odata.maxpagesize=%d", size))
		got := map[string]bool{}
		for _, s := range said {
			if got[s] || !want[s] {
				t.Errorf("pages of %d: %q twice or unasked", size, s)
			}
			got[s] = true
		}
		if len(got) != len(want) {
			t.Errorf("pages of %d: %d changes, want %d", size, len(got), len(want))
		}
	}
}
