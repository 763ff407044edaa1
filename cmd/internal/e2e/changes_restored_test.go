package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// A hastyReplica takes the deletions of a whole round last, as one may.
func (r *replica) catchUpDeletionsLast(t *testing.T, pageSize messages.Count) {
	t.Helper()
	last := map[string]bool{}
	r.told, r.gone, r.pages = nil, nil, 0
	for more := true; more; {
		kept := maps.Clone(r.rows)
		gone := len(r.gone)
		told := len(r.told)
		var err error
		if more, err = r.step(t.Context(), pageSize); err != nil {
			t.Fatal(err)
		}
		for _, id := range r.gone[gone:] {
			if slices.Contains(r.told[told:], id) {
				t.Errorf("%s is among rows and deleted of one reply", id)
			}
			last[id] = true
			if name, there := kept[id]; there {
				r.rows[id] = name
			}
		}
	}
	for id := range last {
		delete(r.rows, id)
	}
}

// Accounts that were deleted and restored are never lost to a reader: in whichever
// order change tracking tells of both, on one page or on several, and whether the
// reader takes deletions page by page or last.
func TestRestoredAccountsAreNotLost(t *testing.T) { forTables(t, testRestoredAccountsAreNotLost) }

func testRestoredAccountsAreNotLost(t *testing.T, table *testedTable) {
	for _, first := range []bool{false, true} {
		for _, size := range []messages.Count{0, 3} {
			t.Run(fmt.Sprintf("deletions first %v, pages of %d", first, size), func(t *testing.T) {
				options := table.options(60)
				options.DeletionsFirst = first
				w := table.world(t, options)
				w.Bridge(w.Settings(true), nil)
				w.Connect("acme")
				client, _ := w.Client()
				control := w.Emulator.Control()
				each, atEnd := newReplica(table, client), newReplica(table, client)
				each.catchUp(t, 0)
				atEnd.catchUp(t, 0)
				ids := slices.Sorted(maps.Keys(each.rows))
				for _, id := range ids[:20] {
					table.remove(control, id)
				}
				for _, id := range ids[:7] {
					if !control.Table(table.Set).Restore(id) {
						t.Fatal("not in the recycle bin")
					}
				}
				table.remove(control, ids[6]) // and gone for good
				table.put(control, ids[30], "changed")
				each.catchUp(t, size)
				atEnd.catchUpDeletionsLast(t, size)
				for _, r := range []*replica{each, atEnd} {
					r.same(t, control)
					if slices.Sort(r.gone); !slices.Equal(r.gone, ids[6:20]) {
						t.Errorf("deleted %q, want %q", r.gone, ids[6:20])
					}
				}
			})
		}
	}
}

// An account that is restored while a round is read, after its deletion was told, is
// told by the next round.
func TestAnAccountRestoredBetweenPages(t *testing.T) { forTables(t, testAnAccountRestoredBetweenPages) }

func testAnAccountRestoredBetweenPages(t *testing.T, table *testedTable) {
	options := table.options(30)
	options.DeletionsFirst = true
	w := table.world(t, options)
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	r := newReplica(table, client)
	r.catchUp(t, 0)
	ids := slices.Sorted(maps.Keys(r.rows))
	for _, id := range ids[:10] {
		table.remove(control, id)
	}
	if more, err := r.step(t.Context(), 4); err != nil || !more {
		t.Fatal(more, err)
	}
	for _, id := range ids[:8] {
		control.Table(table.Set).Restore(id)
	}
	r.catchUp(t, 4)
	r.catchUp(t, 4)
	r.same(t, control)
}

// Rows that take the place of deletions may be too many for the message: the page is
// read again in fewer.
func TestRestoredAccountsInSmallMessages(t *testing.T) {
	forTables(t, testRestoredAccountsInSmallMessages)
}

func testRestoredAccountsInSmallMessages(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(-1))
	nc := streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: 16 << 10})
	w.NATSURL = w.Overheard(nc.ClientURL())
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	var ids []string
	for i := range 100 {
		ids = append(ids, table.put(control, "", fmt.Sprintf("account %d", i), "description", fmt.Sprintf("%01000d", i)))
	}
	r := newReplica(table, client, "description")
	r.catchUp(t, 0)
	for _, id := range ids {
		table.remove(control, id)
	}
	for _, id := range ids[:80] {
		control.Table(table.Set).Restore(id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := r.step(ctx, 0); err != nil {
		t.Fatal(err)
	}
	r.catchUp(t, 0)
	r.same(t, control)
}
