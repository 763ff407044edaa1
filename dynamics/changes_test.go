package dynamics_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

var changedNames = dynamics.ChangesQuery{Select: []dynamics.Output{
	{Column: column("accountid", dynamics.UniqueID), As: "id"}, output("name", dynamics.Text)}, PageSize: 2}

// The forms of Dataverse's links: a tracking cookie, and a token in lower-case hex.
const (
	trackingLink = `accounts?$select=accountid,name&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%22%20istracking=%22True%22%20/%3E`
	deltaLink    = `accounts?$select=accountid,name&$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44`
	otherID      = "18914942-34cb-ed11-b596-0022481d68cd"
)

const changedRow = `{"@odata.etag":"W/\"81\"","accountid":"` + someID + `","name":"A"}`

func deletedRow(id string) string {
	return `{"@odata.context":"https://o.crm.dynamics.com/api/data/v9.2/$metadata#accounts/$deletedEntity","id":"` + id +
		`","reason":"deleted"}`
}

// tracked answers every request with one page; links are relative to the API's root.
func tracked(member, link string, rows ...string) (r **rig, handler http.HandlerFunc) {
	r = new(*rig)
	return r, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Preference-Applied", "odata.track-changes,odata.maxpagesize=2")
		_, _ = fmt.Fprintf(w, `{"@odata.context":"x","value":[%s],"%s":"%s/api/data/v9.2/%s"}`, strings.Join(rows, ","),
			member, (*r).URL, link)
	}
}

func trackedRig(t *testing.T, member, link string, rows ...string) *rig {
	t.Helper()
	at, handler := tracked(member, link, rows...)
	*at = newRig(t, handler)
	return *at
}

func TestChangesAskWithTrackingOnEveryPage(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Add("Preference-Applied", "odata.maxpagesize=2")
		w.Header().Add("Preference-Applied", "odata.track-changes")
		member, link := "@odata.nextLink", trackingLink
		if strings.Contains(req.RequestURI, "token=") {
			member, link = "@odata.deltaLink", deltaLink
		}
		_, _ = fmt.Fprintf(w, `{"value":[%s],"%s":"%s/api/data/v9.2/%s"}`, changedRow, member, r.URL, link)
	})
	s := r.open(t)
	page, err := firstChanges(t.Context(), s, changedNames)
	if err != nil {
		t.Fatal(err)
	}
	if page.Len() != 1 || string(page.Row(0)) != `{"id":"`+someID+`","name":"A"}` || page.Deleted() != 0 ||
		page.DeltaLink() != "" {
		t.Errorf("%d rows, %s, %d deleted, delta %q", page.Len(), page.Row(0), page.Deleted(), page.DeltaLink())
	}
	if page, err = nextChanges(t.Context(), s, changedNames, page.NextLink()); err != nil {
		t.Fatal(err)
	}
	if want := r.URL + "/api/data/v9.2/" + deltaLink; page.NextLink() != "" || page.DeltaLink() != want {
		t.Errorf("next %q, delta %q", page.NextLink(), page.DeltaLink())
	}
	if page, err = nextChanges(t.Context(), s, changedNames, page.DeltaLink()); err != nil {
		t.Fatal(err)
	}
	// Where nothing changed, the same link comes back: no circle.
	if page.DeltaLink() == "" {
		t.Error("no delta link")
	}
	want := []string{"accounts?$select=accountid,name", trackingLink, deltaLink}
	for i, uri := range r.uris() {
		if uri != "/api/data/v9.2/"+want[i] {
			t.Errorf("on the wire: %s, want %s", uri, want[i])
		}
		if got := r.seen[i].Header.Values("Prefer"); !slices.Equal(got, []string{"odata.track-changes,odata.maxpagesize=2"}) {
			t.Errorf("Prefer %q", got)
		}
	}
	if r.calls[0].Op != "accounts.changes" {
		t.Errorf("op %q", r.calls[0].Op)
	}
}

func TestChangesTakeEveryTypeOfColumn(t *testing.T) {
	r := trackedRig(t, "@odata.deltaLink", deltaLink, rowJSON, deletedRow(otherID), rowJSON)
	page, err := firstChanges(t.Context(), r.open(t), dynamics.ChangesQuery{Select: everyType.Select, PageSize: 50})
	if err != nil {
		t.Fatal(err)
	}
	if page.Len() != 2 || string(page.Row(0)) != rowWanted || string(page.Row(1)) != rowWanted || page.Deleted() != 1 ||
		page.DeletedID(0) != otherID {
		t.Errorf("%d rows, %d deleted: %s", page.Len(), page.Deleted(), page.Row(0))
	}
	if got, want := r.seen[0].Header.Get("Prefer"),
		`odata.track-changes,odata.maxpagesize=50,odata.include-annotations="OData.Community.Display.V1.FormattedValue,Microsoft.Dynamics.CRM.lookuplogicalname"`; got != want {
		t.Errorf("Prefer %s", got)
	}
}

func TestDeletedRows(t *testing.T) {
	upper := strings.ToUpper(otherID)
	for _, c := range []struct{ name, row, want string }{
		{"bare", deletedRow(otherID), otherID},
		{"upper case", deletedRow(upper), otherID},
		{"an address", deletedRow("https://o.crm.dynamics.com/api/data/v9.2/accounts(" + upper + ")"), otherID},
		{"a relative address", deletedRow("accounts(" + otherID + ")"), otherID},
		{"escaped", `{"id":"` + otherID + `","reason":"deleted","@odata.context":"x#accounts\/\u0024deletedEntity"}`, otherID},
		{"another reason", strings.Replace(deletedRow(otherID), `"deleted"`, `"changed"`, 1), otherID},
		{"no reason", `{"@odata.context":"#accounts/$deletedEntity","id":"` + otherID + `"}`, otherID},
		{"no id", `{"@odata.context":"#accounts/$deletedEntity","accountid":"` + otherID + `"}`, ""},
		{"null", `{"@odata.context":"#accounts/$deletedEntity","id":null}`, ""},
		{"no GUID", deletedRow("5"), ""},
		{"an open address", deletedRow("accounts(" + otherID), ""},
		{"two ids", strings.Replace(deletedRow(otherID), `"id"`, `"id":"x","id"`, 1), ""},
		{"not said to be deleted", `{"id":"` + otherID + `","reason":"deleted"}`, ""},
		{"a context that goes on", `{"@odata.context":"x#accounts/$deletedEntity/$entity","id":"` + otherID + `","reason":"deleted"}`, ""},
		{"another context", `{"@odata.context":"x#accounts/$entity","id":"` + otherID + `","reason":"deleted"}`, ""},
	} {
		r := trackedRig(t, "@odata.deltaLink", deltaLink, changedRow, c.row, changedRow, c.row)
		page, err := firstChanges(t.Context(), r.open(t), changedNames)
		if c.want == "" {
			kind(t, err, dynamics.Upstream)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if page.Len() != 2 || page.Deleted() != 2 || page.DeletedID(0) != c.want || page.DeletedID(1) != c.want {
			t.Errorf("%s: %d rows, %d deleted", c.name, page.Len(), page.Deleted())
		}
	}
}

// A search that meets a deleted row has no page: only changes expect them.
func TestADeletedRowIsNoRowOfASearch(t *testing.T) {
	_, err := readOne(t, nameOnly, pageOf(changedRow, deletedRow(otherID)))
	kind(t, err, dynamics.Upstream)
}

// Tracking that was silently ignored must not look like "no changes".
func TestALastPageWithoutADeltaLink(t *testing.T) {
	for _, c := range []struct {
		applied []string
		want    dynamics.Kind
	}{
		{nil, dynamics.Untracked},
		{[]string{"odata.maxpagesize=2"}, dynamics.Untracked},
		{[]string{"odata.track-changes-not"}, dynamics.Untracked},
		{[]string{"odata.maxpagesize=2, ODATA.track-changes"}, dynamics.Upstream},
		{[]string{"odata.maxpagesize=2", "odata.track-changes"}, dynamics.Upstream},
	} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Preference-Applied"] = c.applied
			_, _ = io.WriteString(w, pageOf(changedRow))
		})
		_, err := firstChanges(t.Context(), r.open(t), changedNames)
		kind(t, err, c.want)
		_, err = nextChanges(t.Context(), r.open(t), changedNames, r.URL+"/api/data/v9.2/"+deltaLink)
		kind(t, err, c.want)
	}
}

// While there is a next page a reader must not go on behind the last one.
func TestALinkToLaterChangesIsForTheLastPage(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%[1]s/api/data/v9.2/%[2]s","@odata.deltaLink":"%[1]s/api/data/v9.2/%[3]s"}`, r.URL, trackingLink, deltaLink)
	})
	page, err := firstChanges(t.Context(), r.open(t), changedNames)
	if err != nil || page.DeltaLink() != "" || page.NextLink() == "" {
		t.Errorf("%v; next %q, delta %q", err, page.NextLink(), page.DeltaLink())
	}
}

// The first page tells whether changes are tracked, not the last of many.
func TestAFirstPageWithoutTracking(t *testing.T) {
	untracked := strings.Replace(trackingLink, "True", "False", 1)
	for _, c := range []struct {
		applied, link string
		want          dynamics.Kind // 0: no error
	}{
		{"odata.maxpagesize=2", untracked, dynamics.Untracked},
		{"", untracked, dynamics.Untracked},
		{"", "accounts?$skiptoken=x", dynamics.Untracked},
		{"", trackingLink, 0}, // the header was left out of the answer
		{"odata.track-changes,odata.maxpagesize=2", untracked, 0},
	} {
		var r *rig
		r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if c.applied != "" {
				w.Header().Set("Preference-Applied", c.applied)
			}
			_, _ = fmt.Fprintf(w, `{"value":[%s],"@odata.nextLink":"%s/api/data/v9.2/%s"}`, changedRow, r.URL, c.link)
		})
		_, err := firstChanges(t.Context(), r.open(t), changedNames)
		if got := dynamics.KindOf(err); got != c.want {
			t.Errorf("%q, %s: %v", c.applied, c.link, err)
		}
		// Of a later page nothing is said that the first has not told.
		if _, err := nextChanges(t.Context(), r.open(t), changedNames, r.URL+"/api/data/v9.2/"+deltaLink); err != nil {
			t.Errorf("%q, %s behind a link: %v", c.applied, c.link, err)
		}
	}
}

func TestRefusedChanges(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   dynamics.Kind
	}{
		{400, `{"error":{"code":"0x80044352","message":"Version stamp associated with the client has expired. Please perform a full sync."}}`, dynamics.Expired},
		{410, `{"error":{"code":"0x80044352","message":""}}`, dynamics.Expired},
		{500, `{"error":{"code":"0x80044352","message":"x"}}`, dynamics.Expired},
		{400, `{"error":{"code":"","message":"Version stamp associated with the client has expired. Please perform a full sync."}}`, dynamics.Expired},
		{400, `{"error":{"code":"0x80060888","message":"Change tracking is not enabled for the entity 'account'. Enable it."}}`, dynamics.Untracked},
		{400, `{"error":{"code":"0x80060888","message":"Could not find a property named 'name' on type 'Microsoft.Dynamics.CRM.account'."}}`, dynamics.UnknownColumn},
		{400, `{"error":{"code":"0x80060888","message":"Error in query syntax."}}`, dynamics.Invalid},
		{403, `{"error":{"code":"0x80040220","message":"Principal user (Id=x) is missing prvReadAccount privilege"}}`, dynamics.Forbidden},
	} {
		r := newRig(t, answer(c.status, c.body))
		_, err := nextChanges(t.Context(), r.open(t), changedNames, r.URL+"/api/data/v9.2/"+deltaLink)
		if e := kind(t, err, c.want); e.Op != "accounts.changes" {
			t.Errorf("op %q", e.Op)
		}
		if n := len(r.uris()); n != 1 {
			t.Errorf("%s: asked %d times", c.body, n)
		}
	}
	// In another operation the same text is what it is: a value of the request may say it.
	r := newRig(t, answer(400, `{"error":{"code":"0x80060888","message":"Change tracking is not enabled for the entity 'account'."}}`))
	_, err := firstPage(t.Context(), r.open(t), nameOnly)
	kind(t, err, dynamics.Invalid)
	for _, q := range []dynamics.ChangesQuery{{PageSize: -1}, {PageSize: 5001}, {Select: []dynamics.Output{output("name,x", dynamics.Text)}}} {
		_, err := firstChanges(t.Context(), r.open(t), q)
		kind(t, err, dynamics.Invalid)
	}
}

func TestAPageOfChangesWithAHostileLinkIsNoPage(t *testing.T) {
	for _, member := range []string{"@odata.nextLink", "@odata.deltaLink"} {
		for _, link := range []string{"https://evil.example/api/data/v9.2/accounts?x", "/api/data/v9.2/accounts?x", "ORG/api/data/v9.2/contacts?x",
			"ORG/api/data/v9.2/accounts", "ORG/api/data/v9.2/accounts?x y", "ORG@evil.example/api/data/v9.2/accounts?x"} {
			var r *rig
			r = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Preference-Applied", "odata.track-changes")
				_, _ = fmt.Fprintf(w, `{"value":[],"%s":"%s"}`, member, strings.Replace(link, "ORG", r.URL, 1))
			})
			s := r.open(t)
			page, err := firstChanges(t.Context(), s, changedNames)
			kind(t, err, dynamics.Upstream)
			if page != nil {
				t.Errorf("%s %s was delivered", member, link)
			}
			_, err = nextChanges(t.Context(), s, changedNames, strings.Replace(link, "ORG", r.URL, 1))
			kind(t, err, dynamics.Upstream)
			if n := len(r.uris()); n != 1 {
				t.Errorf("%s: %d requests", link, n)
			}
		}
	}
	r := newRig(t, answer(200, `{"value":[],"@odata.deltaLink":5}`))
	_, err := firstChanges(t.Context(), r.open(t), changedNames)
	kind(t, err, dynamics.Upstream)
}

// The same link may be read again with fewer rows, and not with as many.
func TestALinkOfChangesIsReadAgainOnlySmaller(t *testing.T) {
	r := trackedRig(t, "@odata.deltaLink", deltaLink, changedRow)
	s, q := r.open(t), changedNames
	link := r.URL + "/api/data/v9.2/" + trackingLink
	for _, size := range []int{100, 50, 1} {
		q.PageSize = size
		if _, err := nextChanges(t.Context(), s, q, link); err != nil {
			t.Errorf("%d rows: %v", size, err)
		}
	}
	_, err := nextChanges(t.Context(), s, q, link)
	kind(t, err, dynamics.Upstream)
	if n := len(r.uris()); n != 3 {
		t.Errorf("%d requests", n)
	}
	circle := trackedRig(t, "@odata.nextLink", trackingLink, changedRow)
	_, err = nextChanges(t.Context(), circle.open(t), q, circle.URL+"/api/data/v9.2/"+trackingLink)
	kind(t, err, dynamics.Upstream)
}

func FuzzChanges(f *testing.F) {
	f.Add(changedRow + "," + deletedRow(otherID))
	f.Add(deletedRow("accounts(" + someID + ")"))
	f.Add(deletedRow("((" + someID + "))"))
	f.Add(`{"id":"x"},` + deletedRow(`\ud800`))
	f.Fuzz(func(t *testing.T, rows string) {
		page, err := firstChanges(t.Context(), trackedRig(t, "@odata.deltaLink", deltaLink, rows).open(t), changedNames)
		if err != nil {
			kind(t, err, dynamics.Upstream)
			return
		}
		for i := range page.Deleted() {
			if id := page.DeletedID(i); len(id) != 36 || strings.ToLower(id) != id ||
				!strings.Contains(strings.ToLower(rows), id) {
				t.Fatalf("deleted %q", id)
			}
		}
	})
}
