package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A replica is what a requester keeps of a table's rows from nothing but the answers.
type replica struct {
	table  *testedTable
	client *messages.TableClient
	fields []string
	cursor string
	rows   map[string]string // id to name
	told   []string          // ids in the rows since the last reset, repeats too
	gone   []string          // ids in deleted
	pages  int
}

func newReplica(table *testedTable, client *messages.Client, fields ...string) *replica {
	return &replica{table: table, client: table.of(client), fields: append([]string{"id", table.named}, fields...), rows: map[string]string{}}
}

// step asks once and takes in the answer.
func (r *replica) step(ctx context.Context, pageSize messages.Count) (more bool, err error) {
	in := messages.ChangesRequest{Target: messages.Target{Connection: "acme"}, Cursor: r.cursor, PageSize: pageSize}
	if r.cursor == "" {
		in.Fields = r.fields
	}
	reply, err := r.client.Changes(ctx, in)
	if err != nil {
		return false, err
	}
	r.pages++
	r.cursor = reply.NextCursor
	for _, row := range reply.Rows {
		r.rows[row.Text("id")] = row.Text(r.table.named)
		r.told = append(r.told, row.Text("id"))
	}
	for _, id := range reply.Deleted {
		delete(r.rows, id)
		r.gone = append(r.gone, id)
	}
	if r.cursor == "" {
		return false, fmt.Errorf("page %d has no cursor", r.pages)
	}
	return reply.HasMore, nil
}

// catchUp asks until there is no more.
func (r *replica) catchUp(t *testing.T, pageSize messages.Count) {
	t.Helper()
	r.told, r.gone, r.pages = nil, nil, 0
	for more := true; more; {
		var err error
		if more, err = r.step(t.Context(), pageSize); err != nil {
			t.Fatal(err)
		}
	}
}

// same compares the replica with the store.
func (r *replica) same(t *testing.T, control emulator.Control) {
	t.Helper()
	want := map[string]string{}
	for _, row := range r.table.rows(control) {
		want[r.table.id(row)], _ = row[r.table.namedColumn].(string)
	}
	for id, name := range want {
		if got, there := r.rows[id]; !there || got != name {
			t.Errorf("%s is %q (%v) in the replica, %q in the store", id, got, there, name)
		}
	}
	for id := range r.rows {
		if _, there := want[id]; !there {
			t.Errorf("%s is in the replica and not in the store", id)
		}
	}
}

// Whatever is put and deleted, in whatever sizes it is asked for and however often
// a requester loses an answer and asks again, the replica is the store.
func TestAReplicaKeptFromChangesIsTheStore(t *testing.T) {
	bridgetest.Long(t, "hundreds of random changes are followed")
	forTables(t, testAReplicaKeptFromChanges)
}

func testAReplicaKeptFromChanges(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(40))
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var known []string
	for _, row := range table.rows(control) {
		known = append(known, table.id(row))
	}
	disturb := func() {
		for range random.IntN(6) {
			switch id := known[random.IntN(len(known))]; random.IntN(3) {
			case 0:
				table.remove(control, id) // it may be gone already
			case 1:
				table.put(control, id, fmt.Sprint("put ", random.Int32())) // or come back
			default:
				known = append(known, table.put(control, "", fmt.Sprint("new ", random.Int32()),
					"description", strings.Repeat("d", random.IntN(100_000))))
			}
		}
	}
	r := newReplica(table, client, "description")
	for range 300 / table.share {
		disturb()
		if random.IntN(30) == 0 { // begins again with nothing
			r.cursor, r.rows = "", map[string]string{}
		}
		before := r.cursor
		if _, err := r.step(t.Context(), messages.Count(1+random.IntN(60))); err != nil {
			t.Fatal(err)
		}
		if before != "" && random.IntN(10) == 0 {
			r.cursor = before // the answer was taken in, and its cursor was not saved
		}
	}
	// The first ends a chain of pages that may have begun a while ago, and tells
	// nothing younger than its beginning for certain; the second tells the rest.
	r.catchUp(t, 0)
	r.catchUp(t, 0)
	r.same(t, control)
	t.Logf("%d rows of %d, %d requests to Dataverse", len(r.rows), len(known), control.Counts().Data[table.Set])
}
