package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// exactly compares ids that must come once each.
func sameIDs(t *testing.T, what string, got []string, want []string) {
	t.Helper()
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("%s: %d ids, want %d", what, len(got), len(want))
	}
}

// Every account once, page by page, over two crmbridges; then, after inserts,
// updates and deletions, exactly those; then nothing.
func TestChangesTellExactlyWhatChanged(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{})
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	r := newReplica(client)
	control.ResetCounts()
	r.catchUp(t, 0)
	ids := slices.Collect(maps.Keys(r.rows))
	sameIDs(t, "first reading", r.told, ids)
	if len(ids) != 10_000 || r.pages != 10 || len(r.gone) != 0 || control.Counts().Data["accounts"] != r.pages {
		t.Errorf("%d accounts in %d pages with %d requests, %d deleted", len(ids), r.pages, control.Counts().Data["accounts"], len(r.gone))
	}
	r.same(t, control)

	slices.Sort(ids)
	var changed, deleted []string
	for i := range 100 {
		changed = append(changed, control.PutAccount(emulator.Account{Name: fmt.Sprintf("inserted %d", i)}))
	}
	for i, id := range ids[:100] {
		control.PutAccount(emulator.Account{ID: id, Name: fmt.Sprintf("updated %d", i)})
		changed = append(changed, id)
	}
	for _, id := range ids[9900:] {
		control.DeleteAccount(id)
		deleted = append(deleted, id)
	}
	// In between: made and changed, changed twice, changed and deleted, made and deleted.
	control.PutAccount(emulator.Account{ID: changed[0], Name: "inserted and updated"})
	control.PutAccount(emulator.Account{ID: ids[0], Name: "updated twice"})
	control.PutAccount(emulator.Account{ID: ids[200], Name: "about to go"})
	control.DeleteAccount(ids[200])
	never := control.PutAccount(emulator.Account{Name: "came and went"})
	control.DeleteAccount(never)
	deleted = append(deleted, ids[200], never)

	for _, size := range []messages.Count{0, 7} { // the second time from a cursor that was kept
		before := *r
		before.rows = maps.Clone(r.rows)
		r.catchUp(t, size)
		sameIDs(t, "changed", r.told, changed)
		sameIDs(t, "deleted", r.gone, deleted)
		r.same(t, control)
		if size == 7 && r.pages != (len(changed)+len(deleted)+6)/7 {
			t.Errorf("%d pages", r.pages)
		}
		r.catchUp(t, size)
		if len(r.told)+len(r.gone) != 0 || r.pages != 1 {
			t.Errorf("nothing changed, and yet: %d and %d in %d pages", len(r.told), len(r.gone), r.pages)
		}
		*r = before
	}
}

// What changes while somebody pages is told, now or the next time; nothing is lost.
func TestChangesWhilePaging(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 500})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	r := newReplica(client)
	for round := range 3 { // the first reading, and two readings of what changed
		for page, more := 0, true; more; page++ {
			var err error
			if more, err = r.step(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
			ids := slices.Sorted(maps.Keys(r.rows))
			seen, ahead := ids[page%len(ids)], ids[len(ids)-1-page]
			control.PutAccount(emulator.Account{ID: seen, Name: fmt.Sprintf("changed in %d after page %d", round, page)})
			control.DeleteAccount(ids[len(ids)/2])
			control.DeleteAccount(ahead)
			control.PutAccount(emulator.Account{ID: ids[len(ids)/2], Name: "came back"})
			control.PutAccount(emulator.Account{Name: "new"})
			if page > 100 {
				t.Fatal("the pages do not end")
			}
		}
		for i, row := range slices.Collect(control.Accounts()) {
			if i%3 == 0 {
				row.Name = fmt.Sprintf("round %d", round)
				control.PutAccount(row)
			}
		}
	}
	r.catchUp(t, 0)
	r.same(t, control)
}

// Pages that no message holds are read again in fewer rows: nothing is lost, each
// comes once, and the second reading is rare.
func TestChangesLargerThanAMessage(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: -1})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, nc := w.Client()
	control := w.Emulator.Control()
	random := rand.New(rand.NewPCG(4, 4))
	long := func(most int) string { return strings.Repeat("é", random.IntN(most)/2) }
	for i := range 1500 {
		row := emulator.Account{Name: fmt.Sprint("row ", i), Description: long(3000)}
		switch {
		case i%500 == 250:
			row.Description = strings.Repeat("x", 900_000) // nearly a message of its own
		case i > 1000:
			row.Description = long(20_000)
		}
		control.PutAccount(row)
	}
	r := newReplica(client, "description")
	control.ResetCounts()
	r.catchUp(t, 5000)
	sameIDs(t, "first reading", r.told, slices.Collect(maps.Keys(r.rows)))
	r.same(t, control)
	asked := control.Counts().Data["accounts"]
	t.Logf("%d rows in %d replies of at most %d bytes, %d requests to Dataverse", len(r.rows), r.pages, nc.MaxPayload(), asked)
	if len(r.rows) != 1500 || asked > r.pages+8 {
		t.Errorf("%d rows in %d replies with %d requests", len(r.rows), r.pages, asked)
	}
	ids := slices.Sorted(maps.Keys(r.rows))
	for _, id := range ids[:700] {
		control.PutAccount(emulator.Account{ID: id, Name: "longer", Description: long(8000)})
	}
	for _, id := range ids[700:800] {
		control.DeleteAccount(id)
	}
	r.catchUp(t, 0)
	sameIDs(t, "changed", r.told, ids[:700])
	sameIDs(t, "deleted", r.gone, ids[700:800])
	r.same(t, control)

	// One row that no message holds is said, not passed over.
	control.PutAccount(emulator.Account{ID: ids[0], Name: "too long", Description: strings.Repeat("x", 1_100_000)})
	cursor := r.cursor
	_, err := r.step(t.Context(), 0)
	wantCode(t, err, messages.TooLarge)
	control.PutAccount(emulator.Account{ID: ids[0], Name: "short again"})
	r.cursor = cursor
	r.catchUp(t, 0)
	r.same(t, control)
}

// A process that ends leaves nothing behind that the next one would need.
func TestChangesGoOnInAnotherProcess(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 300})
	first := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	client, _ := w.Client()
	r := newReplica(client)
	turn := func(pages int) (more bool) {
		t.Helper()
		for range pages {
			var err error
			if more, err = r.step(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
		}
		return more
	}
	turn(2)
	second := bridgetest.Serve(t, w.Settings(false))
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	turn(2)
	third := bridgetest.Serve(t, w.Settings(true))
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = second.Wait()
	if turn(2) {
		t.Error("300 accounts are more than 6 pages of 50")
	}
	sameIDs(t, "first reading", r.told, slices.Collect(maps.Keys(r.rows)))
	r.same(t, w.Emulator.Control())
	w.Emulator.Control().PutAccount(emulator.Account{Name: "new"})
	bridgetest.Serve(t, w.Settings(false))
	if err := third.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = third.Wait()
	r.catchUp(t, 0)
	if len(r.told) != 1 {
		t.Errorf("%d changes, want 1", len(r.told))
	}
	r.same(t, w.Emulator.Control())
}
