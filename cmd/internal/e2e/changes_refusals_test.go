package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

func acmeChanges(cursor string, fields ...string) messages.ChangesRequest {
	return messages.ChangesRequest{Target: messages.Target{Connection: "acme"}, Cursor: cursor, Fields: fields}
}

// wantSaid checks an error's code and that its message or details say something.
func wantSaid(t *testing.T, err error, code messages.Code, said ...string) {
	t.Helper()
	wantCode(t, err, code)
	fault, ok := errors.AsType[*messages.Error](err)
	if !ok {
		return
	}
	for _, text := range said {
		if !strings.Contains(fault.Message+fmt.Sprint(fault.Details), text) {
			t.Errorf("the error does not say %q: %v %v", text, fault, fault.Details)
		}
	}
}

// A cursor is good for its own connection, incarnation, operation and fields.
func TestCursorsOfChangesAreBound(t *testing.T) { forTables(t, testCursorsOfChangesAreBound) }

func testCursorsOfChangesAreBound(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(300))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	w.Connect("globex")
	client, _ := w.Client()
	in := acmeChanges("", "id", "city")
	in.PageSize = 100
	page, err := table.of(client).Changes(t.Context(), in)
	if err != nil || !page.HasMore || len(page.Rows) != 100 {
		t.Fatal(err)
	}
	cursor := page.NextCursor
	found, err := table.of(client).Search(t.Context(), messages.SearchRequest{Target: in.Target, PageSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   messages.ChangesRequest
		said string
	}{
		"another connection": {messages.ChangesRequest{Target: messages.Target{Connection: "globex"}, Cursor: cursor}, "not a cursor of this connection"},
		"other fields":       {acmeChanges(cursor, "id", "name"), "belongs to other fields"},
		"another order":      {acmeChanges(cursor, "city", "id"), "belongs to other fields"},
		"tampered":           {acmeChanges(cursor[:len(cursor)-4] + "AAAA"), "not a cursor of this connection"},
		"not a cursor":       {acmeChanges("%%%"), "not a cursor of this connection"},
		"of a search":        {acmeChanges(found.NextCursor), "is a cursor of " + string(table.Operation(messages.VerbSearch))},
		"too many rows":      {messages.ChangesRequest{Target: in.Target, PageSize: 5001}, "page_size"},
		"every field":        {acmeChanges("", "*"), "fields[0]"},
		"an unknown field":   {acmeChanges("", "naame"), "did you mean name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := table.of(client).Changes(t.Context(), c.in)
			wantSaid(t, err, messages.InvalidRequest, c.said)
		})
	}
	_, err = table.of(client).Search(t.Context(), messages.SearchRequest{Target: in.Target, Cursor: cursor})
	wantSaid(t, err, messages.InvalidRequest, "is a cursor of "+string(table.Operation(messages.VerbChanges)))

	again := acmeChanges(cursor, "id", "city")
	again.PageSize = 150 // the page size may change on the way
	if page, err = table.of(client).Changes(t.Context(), again); err != nil || len(page.Rows) != 150 {
		t.Errorf("with the identical fields: %v", err)
	}
	if page, err = table.of(client).Changes(t.Context(), acmeChanges(page.NextCursor)); err != nil || page.HasMore || len(page.Rows) != 50 {
		t.Errorf("the rest: %v", err)
	}
	if _, there := page.Rows[0]["city"]; !there || len(page.Rows[0]) != 2 {
		t.Errorf("the fields did not come along: %v", page.Rows[0])
	}

	kept := page.NextCursor
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	_, err = table.of(client).Changes(t.Context(), acmeChanges(kept))
	wantCode(t, err, messages.ConnectionNotFound)
	w.Connect("acme")
	_, err = table.of(client).Changes(t.Context(), acmeChanges(kept))
	wantSaid(t, err, messages.InvalidRequest, "start again without one")
}

// A cursor that Dataverse no longer knows, and tracking that is switched off, on
// the way and from the beginning.
func TestChangesThatDataverseDoesNotTell(t *testing.T) {
	forTables(t, testChangesThatDataverseDoesNotTell)
}

func testChangesThatDataverseDoesNotTell(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(30))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	r := newReplica(table, client)
	r.catchUp(t, 0)
	kept := r.cursor
	table.put(control, "", "new")

	control.SetChangeTracking(false)
	for _, cursor := range []string{"", kept} {
		_, err := table.of(client).Changes(t.Context(), acmeChanges(cursor))
		wantSaid(t, err, messages.NotSupported, "Track changes", "Power Apps")
	}
	control.SetChangeTracking(true)
	r.catchUp(t, 0)
	r.same(t, control)

	control.ExpireChangeTokens()
	_, err := table.of(client).Changes(t.Context(), acmeChanges(r.cursor))
	wantSaid(t, err, messages.CursorExpired, "start again without a cursor")
	r.cursor, r.rows = "", map[string]string{}
	r.catchUp(t, 0)
	r.same(t, control)
}

// A gateway that drops the preference makes Dataverse answer with a plain list,
// which must not pass for "no changes". The first page tells, and connections.check.
func TestTrackingThatIsSilentlyIgnored(t *testing.T) { forTables(t, testTrackingThatIsSilentlyIgnored) }

func testTrackingThatIsSilentlyIgnored(t *testing.T, table *testedTable) {
	var dropping atomic.Bool
	w := bridgetest.NewWrapped(t, table.options(30), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if prefer := r.Header.Get("Prefer"); dropping.Load() {
				r.Header.Set("Prefer", strings.Replace(prefer, "odata.track-changes,", "", 1))
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.Tables = table.Name
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	dropping.Store(true)
	for _, size := range []messages.Count{0, 10} { // on the only page, and on the first of three
		in := acmeChanges("")
		in.PageSize = size
		_, err := table.of(client).Changes(t.Context(), in)
		wantSaid(t, err, messages.NotSupported, "Prefer: odata.track-changes")
	}
	if found := checked(t, client, table.ChangesCheck()); found.OK || !strings.Contains(found.Detail, "without change tracking") || !strings.Contains(found.HowToFix, "Prefer") {
		t.Errorf("%+v", found)
	}
	dropping.Store(false)
	if found := checked(t, client, table.ChangesCheck()); !found.OK {
		t.Errorf("%+v", found)
	}
	if _, err := table.of(client).Changes(t.Context(), acmeChanges("")); err != nil {
		t.Error(err)
	}
}

// Where not even Dataverse or the client can hold a page, a smaller one is asked for.
func TestChangesInPagesThatNobodyHolds(t *testing.T) { forTables(t, testChangesInPagesThatNobodyHolds) }

func testChangesInPagesThatNobodyHolds(t *testing.T, table *testedTable) {
	var refused atomic.Int32
	w := bridgetest.NewWrapped(t, table.options(30), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if prefer := r.Header.Get("Prefer"); strings.Contains(prefer, "maxpagesize=") && !strings.Contains(prefer, "maxpagesize=15") {
				refused.Add(1)
				rw.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.Tables = table.Name
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	r := newReplica(table, client)
	r.catchUp(t, 1000)
	r.same(t, w.Emulator.Control())
	if r.pages != 2 || refused.Load() > 20 {
		t.Errorf("%d pages, %d refusals", r.pages, refused.Load())
	}
	in := acmeChanges("")
	in.PageSize = 14
	_, err := table.of(client).Changes(t.Context(), in)
	wantCode(t, err, messages.TooLarge)
}

func TestChangesNeedThePrivilegeAtOrganizationLevel(t *testing.T) {
	forTables(t, testChangesNeedThePrivilegeAtOrganizationLevel)
}

func testChangesNeedThePrivilegeAtOrganizationLevel(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(30))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	for _, c := range []struct{ message, said string }{
		{"Principal user (Id=x, type=8) is missing " + table.ReadPrivilege + " privilege (Id=y) on OTC=1 for entity '" + table.Logical + "'.",
			"lacks the privilege " + table.ReadPrivilege + " at organization level"},
		{"Organization access is required.", "Organization access is required."},
	} {
		w.Emulator.Control().Fail(emulator.Fault{Route: table.Set, Status: 403, Header: map[string]string{"Content-Type": "application/json"},
			Body: `{"error":{"code":"0x80040220","message":"` + c.message + `"}}`})
		_, err := table.of(client).Changes(t.Context(), acmeChanges(""))
		wantSaid(t, err, messages.PermissionDenied, c.said, table.ReadPrivilege, "at organization level")
	}
}

// As with a search: a column that Dataverse does not know any more is planned
// again with metadata that is read anew, once.
func TestChangesReadMetadataAgain(t *testing.T) { forTables(t, testChangesReadMetadataAgain) }

func testChangesReadMetadataAgain(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(20))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	unknown := emulator.Fault{Route: table.Set, Status: 400, Header: map[string]string{"Content-Type": "application/json"},
		Body: `{"error":{"code":"0x80060888","message":"Could not find a property named '` + table.custom + `' on type 'Microsoft.Dynamics.CRM.` + table.Logical + `'."}}`}
	w.Emulator.Control().Fail(unknown)
	if _, err := table.of(client).Changes(t.Context(), acmeChanges("", table.custom)); err != nil {
		t.Errorf("after one refusal: %v", err)
	}
	unknown.Times = 2
	w.Emulator.Control().Fail(unknown)
	_, err := table.of(client).Changes(t.Context(), acmeChanges("", table.custom))
	wantCode(t, err, messages.InvalidRequest)
}

// Pages without anything on them are passed over, up to a bound; then the answer
// is empty and says that there is more.
func TestEmptyPagesOfChangesArePassedOver(t *testing.T) {
	forTables(t, testEmptyPagesOfChangesArePassedOver)
}

func testEmptyPagesOfChangesArePassedOver(t *testing.T, table *testedTable) {
	var asked atomic.Int32
	w := bridgetest.NewWrapped(t, table.options(20), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/"+table.Set) {
				next.ServeHTTP(rw, r)
				return
			}
			n := asked.Add(1)
			answer := map[string]any{"value": []any{}, "@odata.nextLink": fmt.Sprintf("http://%s%s?page=%d", r.Host, r.URL.Path, n)}
			if n == 10 {
				answer = map[string]any{"value": []any{}, "@odata.deltaLink": fmt.Sprintf("http://%s%s?delta", r.Host, r.URL.Path)}
			}
			rw.Header().Set("Preference-Applied", "odata.track-changes")
			_ = json.NewEncoder(rw).Encode(answer)
		})
	})
	w.Tables = table.Name
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, nc := w.Client()
	page, err := table.of(client).Changes(t.Context(), acmeChanges(""))
	if err != nil || !page.HasMore || asked.Load() != 6 || page.Rows == nil || page.Deleted == nil {
		t.Fatalf("%+v, %v after %d pages", page, err, asked.Load())
	}
	page, err = table.of(client).Changes(t.Context(), acmeChanges(page.NextCursor))
	if err != nil || page.HasMore || asked.Load() != 10 || page.NextCursor == "" {
		t.Fatalf("%+v, %v after %d pages", page, err, asked.Load())
	}
	// The reply as it is on the wire: one message without a number.
	reply, err := nc.Request(table.Operation(messages.VerbChanges).ScopedSubject("acme"), []byte(`{"fields":[]}`), 10*time.Second)
	if err != nil || reply.Header.Get(messages.HeaderPage) != "" || !strings.Contains(string(reply.Data), `the list is empty`) {
		t.Errorf("%v %v %s", err, reply.Header, reply.Data)
	}
}

func checked(t *testing.T, client *messages.Client, name string) messages.PermissionCheck {
	t.Helper()
	reply, err := client.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range reply {
		if found.Name == name {
			return found
		}
	}
	t.Fatalf("no check %s", name)
	return messages.PermissionCheck{}
}
