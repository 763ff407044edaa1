package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// More rows than Dataverse's $count (5,000) and its aggregates (50,000) count.
func TestCountsHaveNoCap(t *testing.T) {
	bridgetest.Long(t, "it counts tens of thousands of rows")
	forLargeTables(t, testCountsHaveNoCap)
}

func testCountsHaveNoCap(t *testing.T, table *testedTable) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*whereDeadline)
	defer cancel()
	const all = 60_001
	w := table.world(t, table.options(all))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	target := messages.Target{Connection: "acme"}
	some := messages.Not(table.few)
	want := len(newOracle(table, table.rows(w.Emulator.Control())).match(&some))
	if want <= 50_000 {
		t.Fatalf("only %d rows match: the test needs another filter", want)
	}
	for _, c := range []struct {
		where *messages.Where
		want  int64
	}{{nil, all}, {&some, int64(want)}} {
		w.Emulator.Control().ResetCounts()
		n, err := table.of(client).Count(ctx, messages.CountRequest{Target: target, Where: c.where})
		calls := 0
		for _, m := range w.Emulator.Control().Counts().Data {
			calls += m
		}
		if err != nil || n != c.want || calls > 60 {
			t.Errorf("%d, %v after %d calls; want %d", n, err, calls, c.want)
		}
		t.Logf("%d rows counted with %d calls", n, calls)
	}
	in := messages.SearchRequest{Target: target, Where: &some, IncludeTotal: true, PageSize: 2}
	for range 2 { // the total is carried along
		page, err := table.of(client).Search(ctx, in)
		if err != nil || page.Total == nil || *page.Total != int64(want) {
			t.Fatalf("%+v, %v; want a total of %d", page, err, want)
		}
		in = messages.SearchRequest{Target: target, Cursor: page.NextCursor}
	}
}

// A filter as large as a request's may be is answered like any other, and
// its cursor goes on.
func TestTheLargestFilters(t *testing.T) { forTables(t, testTheLargestFilters) }

func testTheLargestFilters(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(700))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	target := messages.Target{Connection: "acme"}
	values := make([]string, messages.MaxWhereValues)
	for i := range values {
		values[i] = fmt.Sprintf("%03d %s", i, strings.Repeat("no such näme' ", 4))
	}
	name := table.column("name")
	all := newOracle(table, table.rows(w.Emulator.Control()))
	for i, row := range all.rows[:200] {
		values[i] = row.cells[name.index].raw
	}
	rows := map[string]int{}
	for _, row := range all.rows {
		if text := row.cells[name.index].raw; !slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, text) }) {
			rows[row.id] = 0
		}
	}
	where := messages.Leaf("name", messages.NotIn, values)
	counted, err := table.of(client).Count(t.Context(), messages.CountRequest{Target: target, Where: &where})
	if err != nil || counted != int64(len(rows)) {
		t.Errorf("count %d, %v; want %d", counted, err, len(rows))
	}
	pages := 0
	for page, err := range table.of(client).Pages(t.Context(), messages.SearchRequest{Target: target, Where: &where, PageSize: 100, Fields: []string{"id"}}) {
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, row := range page.Rows {
			rows[row.Text("id")]++
		}
	}
	for id, times := range rows {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
	if pages < 3 {
		t.Errorf("%d pages, want several", pages)
	}
	batches := 0
	for route, m := range w.Emulator.Control().Counts().Data {
		if strings.Contains(route, "batch") {
			batches += m
		}
	}
	if batches == 0 {
		t.Error("nothing went through $batch")
	}
}
