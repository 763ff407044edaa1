package handlers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Each row of an export comes once, wherever its executions end and whatever the rows'
// times are.
func TestAnExportHasEachRowOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	e, ids := filled(t, random, 900)
	for i := range 15 {
		in := messages.SearchRequest{PageSize: messages.Count(1 + random.IntN(100)), Fields: []string{"id", "name"}, IncludeTotal: i%2 == 0}
		l := newLane(t, e.operations, "accounts.search", in)
		l.call.Budget = 2000 + random.IntN(20_000)
		if i%2 == 1 {
			l.call.Job.Encode = encoder(t)
		}
		l.finish(t, random)
		sameRows(t, l.ids(t), ids)
		for _, r := range l.stored {
			if in.IncludeTotal && (r.Total == nil || r.total == nil || *r.Total != 900 || *r.total != 900) {
				t.Fatalf("total %v", r.Total)
			}
		}
		if l.widest > 8<<10 || l.most.Load() > mostReaders {
			t.Errorf("a place has %d bytes, %d pages at once", l.widest, l.most.Load())
		}
	}
}

// While rows come, go, and are given another time, every other row comes once.
func TestAnExportOfRowsThatChange(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		random := rand.New(rand.NewPCG(7, 8))
		e, ids := filled(t, random, 600)
		touched := map[string]bool{}
		l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{PageSize: 20, Fields: []string{"id"}})
		l.call.Job.Sequential = sequential
		l.between = func() {
			moved, gone := ids[random.IntN(len(ids))], ids[random.IntN(len(ids))]
			touched[moved], touched[gone] = true, true
			at := time.Date(2015+random.IntN(15), 1, 1, 0, 0, random.IntN(60), 0, time.UTC)
			e.control.PutAccount(emulator.Account{ID: moved, Name: "moved", CreatedOn: at})
			e.control.DeleteAccount(gone)
			touched[e.control.PutAccount(emulator.Account{Name: "new", CreatedOn: at})] = true
		}
		l.finish(t, random)
		times := map[string]int{}
		for _, id := range l.ids(t) {
			times[id]++
		}
		for _, id := range ids {
			if !touched[id] && times[id] != 1 {
				t.Errorf("sequential %t: row %s came %d times", sequential, id, times[id])
			}
		}
	}
}

// Idle readers take halves of others' ranges: rows of one minute among years are not read
// by one reader alone.
func TestAnExportStealsRanges(t *testing.T) {
	e := emulate(t, -1).connect(t)
	var ids []string
	for i := range 640 {
		at := time.Date(2024, 5, 6, 7, 8, i/12, 0, time.UTC)
		if i%40 == 0 {
			at = at.AddDate(-i/40, 0, 0)
		}
		ids = append(ids, e.control.PutAccount(emulator.Account{Name: fmt.Sprint(i), CreatedOn: at}))
	}
	l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
	l.wait = func(context.Context) { time.Sleep(time.Millisecond) }
	l.once(t)
	sameRows(t, l.ids(t), ids)
	if l.most.Load() < 2 {
		t.Errorf("%d pages at once", l.most.Load())
	}
}
