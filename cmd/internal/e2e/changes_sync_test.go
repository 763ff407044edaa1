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
func TestChangesTellExactlyWhatChanged(t *testing.T) { forTables(t, testChangesTellExactlyWhatChanged) }

func testChangesTellExactlyWhatChanged(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(10_000))
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	r := newReplica(table, client)
	control.ResetCounts()
	r.catchUp(t, 0)
	ids := slices.Collect(maps.Keys(r.rows))
	sameIDs(t, "first reading", r.told, ids)
	if len(ids) != 10_000 || r.pages != 10 || len(r.gone) != 0 || control.Counts().Data[table.Set] != r.pages {
		t.Errorf("%d rows in %d pages with %d requests, %d deleted", len(ids), r.pages, control.Counts().Data[table.Set], len(r.gone))
	}
	r.same(t, control)

	slices.Sort(ids)
	var changed, deleted []string
	for i := range 100 {
		changed = append(changed, table.put(control, "", fmt.Sprintf("inserted %d", i)))
	}
	for i, id := range ids[:100] {
		table.put(control, id, fmt.Sprintf("updated %d", i))
		changed = append(changed, id)
	}
	for _, id := range ids[9900:] {
		table.remove(control, id)
		deleted = append(deleted, id)
	}
	// In between: made and changed, changed twice, changed and deleted, made and deleted.
	table.put(control, changed[0], "inserted and updated")
	table.put(control, ids[0], "updated twice")
	table.put(control, ids[200], "about to go")
	table.remove(control, ids[200])
	never := table.put(control, "", "came and went")
	table.remove(control, never)
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
func TestChangesWhilePaging(t *testing.T) { forTables(t, testChangesWhilePaging) }

func testChangesWhilePaging(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(500))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	r := newReplica(table, client)
	for round := range 3 { // the first reading, and two readings of what changed
		for page, more := 0, true; more; page++ {
			var err error
			if more, err = r.step(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
			ids := slices.Sorted(maps.Keys(r.rows))
			seen, ahead := ids[page%len(ids)], ids[len(ids)-1-page]
			table.put(control, seen, fmt.Sprintf("changed in %d after page %d", round, page))
			table.remove(control, ids[len(ids)/2])
			table.remove(control, ahead)
			table.put(control, ids[len(ids)/2], "came back")
			table.put(control, "", "new")
			if page > 100 {
				t.Fatal("the pages do not end")
			}
		}
		for i, row := range table.rows(control) {
			if i%3 == 0 {
				row[table.namedColumn] = fmt.Sprintf("round %d", round)
				table.putRow(control, row)
			}
		}
	}
	r.catchUp(t, 0)
	r.same(t, control)
}

// Pages that no message holds are read again in fewer rows: nothing is lost, each
// comes once, and the second reading is rare.
func TestChangesLargerThanAMessage(t *testing.T) { forTables(t, testChangesLargerThanAMessage) }

func testChangesLargerThanAMessage(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(-1))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, nc := w.Client()
	control := w.Emulator.Control()
	random := rand.New(rand.NewPCG(4, 4))
	long := func(most int) string { return strings.Repeat("é", random.IntN(most)/2) }
	for i := range 1500 {
		description := long(3000)
		switch {
		case i%500 == 250:
			description = strings.Repeat("x", 900_000) // nearly a message of its own
		case i > 1000:
			description = long(20_000)
		}
		table.put(control, "", fmt.Sprint("row ", i), "description", description)
	}
	r := newReplica(table, client, "description")
	control.ResetCounts()
	r.catchUp(t, 5000)
	sameIDs(t, "first reading", r.told, slices.Collect(maps.Keys(r.rows)))
	r.same(t, control)
	asked := control.Counts().Data[table.Set]
	t.Logf("%d rows in %d replies of at most %d bytes, %d requests to Dataverse", len(r.rows), r.pages, nc.MaxPayload(), asked)
	if len(r.rows) != 1500 || asked > r.pages+8 {
		t.Errorf("%d rows in %d replies with %d requests", len(r.rows), r.pages, asked)
	}
	ids := slices.Sorted(maps.Keys(r.rows))
	for _, id := range ids[:700] {
		table.put(control, id, "longer", "description", long(8000))
	}
	for _, id := range ids[700:800] {
		table.remove(control, id)
	}
	r.catchUp(t, 0)
	sameIDs(t, "changed", r.told, ids[:700])
	sameIDs(t, "deleted", r.gone, ids[700:800])
	r.same(t, control)

	// One row that no message holds is said, not passed over.
	table.put(control, ids[0], "too long", "description", strings.Repeat("x", 1_100_000))
	cursor := r.cursor
	_, err := r.step(t.Context(), 0)
	wantCode(t, err, messages.TooLarge)
	table.put(control, ids[0], "short again")
	r.cursor = cursor
	r.catchUp(t, 0)
	r.same(t, control)
}

// A process that ends leaves nothing behind that the next one would need.
func TestChangesGoOnInAnotherProcess(t *testing.T) { forTables(t, testChangesGoOnInAnotherProcess) }

func testChangesGoOnInAnotherProcess(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(300))
	first := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	client, _ := w.Client()
	r := newReplica(table, client)
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
	linked := w.NATS.NumClients()
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = second.Wait()
	bridgetest.Await(t, "NATS to notice", func() error { // until then it may give the dead process a request
		if n := w.NATS.NumClients(); n >= linked {
			return fmt.Errorf("%d clients", n)
		}
		return nil
	})
	if turn(2) {
		t.Error("300 rows are more than 6 pages of 50")
	}
	sameIDs(t, "first reading", r.told, slices.Collect(maps.Keys(r.rows)))
	r.same(t, w.Emulator.Control())
	table.put(w.Emulator.Control(), "", "new")
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
