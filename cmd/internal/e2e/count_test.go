package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// More accounts than Dataverse's $count (5,000) and its aggregates (50,000) count.
func TestCountsHaveNoCap(t *testing.T) {
	t.Parallel()
	const all = 60_001
	w := bridgetest.New(t, emulator.Options{Accounts: all})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	target := messages.Target{Connection: "acme"}
	some := messages.Not(messages.Leaf("industry", messages.In, []int{1, 2, 3}))
	want := 0
	for a := range w.Emulator.Control().Accounts() {
		if a.Industry == nil || *a.Industry > 3 {
			want++
		}
	}
	if want <= 50_000 {
		t.Fatalf("only %d accounts match: the test needs another filter", want)
	}
	for _, c := range []struct {
		where *messages.Where
		want  int64
	}{{nil, all}, {&some, int64(want)}} {
		w.Emulator.Control().ResetCounts()
		n, err := client.Count(t.Context(), messages.AccountsCountRequest{Target: target, Where: c.where})
		calls := 0
		for _, m := range w.Emulator.Control().Counts().Data {
			calls += m
		}
		if err != nil || n != c.want || calls > 60 {
			t.Errorf("%d, %v after %d calls; want %d", n, err, calls, c.want)
		}
		t.Logf("%d accounts counted with %d calls", n, calls)
	}
	in := messages.AccountsSearchRequest{Target: target, Where: &some, IncludeTotal: true, PageSize: 2}
	for range 2 { // the total is carried along
		page, err := client.Search(t.Context(), in)
		if err != nil || page.Total == nil || *page.Total != int64(want) {
			t.Fatalf("%+v, %v; want a total of %d", page, err, want)
		}
		in = messages.AccountsSearchRequest{Target: target, Cursor: page.NextCursor}
	}
}

// A filter as large as the contract lets it be is answered like any other, and
// its cursor goes on.
func TestTheLargestFilters(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 700})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	target := messages.Target{Connection: "acme"}
	values := make([]string, messages.MaxWhereValues)
	for i := range values {
		values[i] = fmt.Sprintf("%03d %s", i, strings.Repeat("no such näme' ", 4))
	}
	n := 0
	for a := range w.Emulator.Control().Accounts() {
		if i := n; i < 200 {
			values[i] = a.Name
		}
		n++
	}
	rows := map[string]int{}
	for a := range w.Emulator.Control().Accounts() {
		rows[a.ID] = 0
		for _, v := range values {
			if strings.EqualFold(v, a.Name) {
				delete(rows, a.ID)
			}
		}
	}
	where := messages.Leaf("name", messages.NotIn, values)
	counted, err := client.Count(t.Context(), messages.AccountsCountRequest{Target: target, Where: &where})
	if err != nil || counted != int64(len(rows)) {
		t.Errorf("count %d, %v; want %d", counted, err, len(rows))
	}
	pages := 0
	for page, err := range client.Pages(t.Context(), messages.AccountsSearchRequest{Target: target, Where: &where, PageSize: 100, Fields: []string{"id"}}) {
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, a := range page.Accounts {
			rows[a.Text("id")]++
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
