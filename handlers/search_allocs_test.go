package handlers

import (
	"context"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// What a small search allocates here, besides what the Dataverse client does for it: to be
// read, the body's text, what iterates over it, and the search, unless one that is over has
// given back its memory; to be planned, the filter's three nodes and the text of the value
// that is its own; for its part, nothing.
func TestAllocationsOfASmallSearch(t *testing.T) {
	if raced {
		t.Skip("under the race detector pools forget at random")
	}
	environment := canned(smallPage(10))
	operations := operationsOf(t, environment)
	o := &rowOperations{operations, accounts(t)}
	body := smallSearch(nil, 12345)
	call := route.Call{Operation: "accounts.search", RequestID: "0f9a5a52-6f0e-4d3c-9c1b-2f6f7d7c9f10", Named: "acme",
		Budget: 1 << 20}
	ctx := t.Context()

	search := routesOf(t, operations)["accounts.search"]
	read := testing.AllocsPerRun(200, func() { // tests beside this one may have left memory of theirs: then it is one less
		if answer := search.Serve(ctx, call, body); answer.Call.Connection != "acme" {
			t.Fatal("it is not read")
		}
	})
	if read > 3 {
		t.Errorf("to be read: %v allocations, want 3 at most", read)
	}
	exactly(t, "to be refused, all in all", 9, func() {
		for _, err := range search.Serve(ctx, call, []byte(`{"connection":"acme","mode":"no such"}`)).Parts {
			if err == nil {
				t.Fatal("it is not refused")
			}
		}
	})

	call.Connection = "acme"
	s, err := o.newSearch(ctx, call, decoded(t, body))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	planned := func(p plan.Planner) (err error) {
		s.query, err = p.Search(ctx, s.asked)
		return err
	}
	if err := o.Catalog.ReplanIn(&s.columns, s.session, o.entity, planned); err != nil {
		t.Fatal(err)
	}
	leaves := s.query.Filter.(dynamics.And)
	checks := testing.AllocsPerRun(200, func() { // by the Dataverse client
		for _, leaf := range leaves {
			if err := dynamics.Check(leaf); err != nil {
				t.Fatal(err)
			}
		}
	})
	exactly(t, "to be planned", 4+checks, func() {
		if err := o.Catalog.ReplanIn(&s.columns, s.session, o.entity, planned); err != nil {
			t.Fatal(err)
		}
	})

	if err := o.Catalog.ReplanIn(&s.columns, s.session, o.entity, func(p plan.Planner) error { return s.first(ctx, p) }); err != nil {
		t.Fatal(err)
	}
	exactly(t, "for its part", 0, func() {
		s.row, s.at, s.sent = 0, s.from, 0
		part, err := s.next(context.Background())
		if err != nil || part.Rows != 10 || !part.Last {
			t.Fatal(part.Rows, err)
		}
	})
}

func exactly(t *testing.T, what string, want float64, run func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, run); n != want {
		t.Errorf("%s: %v allocations, want %v", what, n, want)
	}
}
