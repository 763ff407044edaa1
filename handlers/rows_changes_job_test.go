package handlers

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// cursorOf is the cursor at the end of a job's results: no other message has one.
func cursorOf(t testing.TB, l *testLane) string {
	t.Helper()
	for i, r := range l.stored {
		last := i == len(l.stored)-1
		if r.HasMore == last || (r.NextCursor != "") != last {
			t.Fatalf("message %d of %d has more: %t, cursor of %d bytes", i+1, len(l.stored), r.HasMore,
				len(r.NextCursor))
		}
	}
	return l.stored[len(l.stored)-1].NextCursor
}

// A job delivers every page of what changed, wherever its executions end, and then a
// cursor from which the interactive lane or another job goes on.
func TestAChangesJob(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	e, ids := filled(t, random, 400)
	for i := range 8 {
		l := newLane(t, e.operations, "accounts.changes",
			messages.ChangesRequest{Fields: []string{"id", "name"}, PageSize: messages.Count(5 + random.IntN(150))})
		l.call.Budget = 3000 + random.IntN(20_000)
		if i%2 == 1 {
			l.call.Job.Encode = encoder(t)
		}
		l.finish(t, random)
		sameRows(t, l.ids(t), ids)
		cursor := cursorOf(t, l)
		// What comes later: rows, and a deletion.
		var later []string
		for n := range 40 {
			later = append(later, e.control.PutAccount(emulator.Account{Name: fmt.Sprint(n)}))
		}
		gone := slices.Clone(ids[:20])
		for _, id := range gone {
			e.control.DeleteAccount(id)
		}
		ids = append(ids[20:], later...)
		next := newLane(t, e.operations, "accounts.changes", messages.ChangesRequest{Cursor: cursor, PageSize: 7})
		next.call.Budget = 2000
		next.finish(t, random)
		sameRows(t, next.ids(t), later)
		var deleted []string
		for _, r := range next.stored {
			deleted = append(deleted, r.Deleted...)
		}
		sameRows(t, deleted, gone)
		for _, cursor := range []string{cursor, cursorOf(t, next)} {
			page, err := e.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme, Cursor: cursor})
			if want := cursor != cursorOf(t, next); err != nil || (len(page.Rows)+len(page.Deleted) > 0) != want {
				t.Errorf("%+v, %v", page, err)
			}
		}
	}
}

// While rows change and go, what is delivered at last of each is how it is.
func TestAChangesJobOfRowsThatChange(t *testing.T) {
	random := rand.New(rand.NewPCG(23, 24))
	e, ids := filled(t, random, 300)
	l := newLane(t, e.operations, "accounts.changes",
		messages.ChangesRequest{Fields: []string{"id", "name"}, PageSize: 30})
	l.between = func() {
		e.control.PutAccount(emulator.Account{ID: ids[random.IntN(len(ids))],
			Name: fmt.Sprintf("changed %d", random.Int())})
		e.control.DeleteAccount(ids[random.IntN(len(ids))])
		e.control.PutAccount(emulator.Account{Name: "new"})
	}
	l.finish(t, random)
	l.between = nil
	next := newLane(t, e.operations, "accounts.changes", messages.ChangesRequest{Cursor: cursorOf(t, l)})
	next.once(t)
	kept := map[string]string{}
	for _, r := range append(l.stored, next.stored...) {
		for _, row := range r.Accounts {
			kept[row.Text("id")] = row.Text("name")
		}
		for _, id := range r.Deleted {
			delete(kept, id)
		}
	}
	for account := range e.control.Accounts() {
		if kept[account.ID] != account.Name {
			t.Errorf("%s is %q, kept as %q", account.ID, account.Name, kept[account.ID])
		}
		delete(kept, account.ID)
	}
	if len(kept) > 0 {
		t.Errorf("%d rows are kept that are gone", len(kept))
	}
}

// A token that Dataverse no longer knows ends the job; so does a circle, over executions.
func TestAChangesJobThatCannotGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(d *dataverse) func(http.ResponseWriter, *http.Request) bool
		code   messages.Code
	}{
		"expired": {func(*dataverse) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("$skiptoken") != "20" {
					return false
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":{"code":"0x80044352","message":"Version stamp associated with the client has expired."}}`))
				return true
			}
		}, messages.CursorExpired},
		"in a circle": {func(d *dataverse) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("$skiptoken") == "" {
					return false
				}
				w.Header().Set("Preference-Applied", r.Header.Get("Prefer"))
				_, _ = fmt.Fprintf(w, `{"value":[%s],"@odata.nextLink":"%s/api/data/v9.2/accounts?$skiptoken=10"}`,
					d.changed[10], d.URL)
				return true
			}
		}, messages.UpstreamError},
	} {
		t.Run(name, func(t *testing.T) {
			all := rows(0, 50, 0)
			d, _, _ := operated(t, all)
			d.change(func() {
				d.changed = changedRows(all)
				for i := range d.changed {
					d.changed[i] = strings.TrimSpace(d.changed[i])
				}
				d.refuse = c.refuse(d)
			})
			l := newLane(t, d.operations, "accounts.changes",
				messages.ChangesRequest{Fields: []string{"id"}, PageSize: 10})
			var err error
			for n := 0; n < 30 && err == nil && !l.ended; n++ {
				err = l.execute(t, afterStoring, 0)
			}
			if err == nil || codeOf(t, err) != c.code {
				t.Errorf("%v after %d messages, want %s", err, len(l.stored), c.code)
			}
			if name == "expired" && len(l.ids(t)) != 20 {
				t.Errorf("%d rows are stored", len(l.ids(t)))
			}
		})
	}
}

// A page of changes that takes too many messages is read again in fewer rows, none of it
// having been delivered.
func TestPagesOfChangesThatAreTooLong(t *testing.T) {
	e, ids := filled(t, rand.New(rand.NewPCG(25, 26)), 200)
	for _, parts := range []int{1, 2, 5} {
		l := newLane(t, e.operations, "accounts.changes", messages.ChangesRequest{Fields: []string{"id", "name"}})
		l.call.Budget, l.call.Job.MaxParts = 2500, parts
		l.finish(t, rand.New(rand.NewPCG(27, 28)))
		sameRows(t, l.ids(t), ids)
		if l.groups < 200/(parts*20) {
			t.Errorf("%d pages", l.groups)
		}
	}
	l := newLane(t, e.operations, "accounts.changes", messages.ChangesRequest{Fields: []string{"id", "name"}})
	l.call.Budget = 200
	if err := l.execute(t, never, 0); codeOf(t, err) != messages.TooLarge {
		t.Errorf("%v", err)
	}
	// A place is good for changes or for a search.
	l = newLane(t, e.operations, "accounts.changes", messages.ChangesRequest{})
	l.place = []byte(`{"v":1,"a":"tx"}`)
	if err := l.execute(t, never, 0); codeOf(t, err) != messages.Internal {
		t.Errorf("%v", err)
	}
}
