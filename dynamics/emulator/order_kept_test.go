package emulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// disturb changes one row of a table of accounts, or makes, deletes or restores one.
func disturb(rng *rand.Rand, c Control, t *table, at func() time.Time) {
	rows := c.s.data.view().set("account").rows()
	row := rows[rng.IntN(len(rows))].(*record)
	switch rng.IntN(6) {
	case 0, 1:
		a := row.account(t)
		a.CreatedOn = at()
		c.PutAccount(a)
	case 2:
		c.PutAccount(Account{Name: "earlier", CreatedOn: at()})
	case 3:
		a := row.account(t)
		a.Name += "!"
		c.PutAccount(a)
	case 4:
		c.DeleteAccount(row.id.String())
	case 5:
		if gone := c.s.data.view().set("account").deleted; len(gone) > 0 {
			c.RestoreAccount(gone[rng.IntN(len(gone))].id.String())
		}
	}
}

// Whatever becomes of rows, and whichever moment a request is of, it gets the rows in the order in
// which they are sorted anew.
func TestKeptOrdersFollowEveryChange(t *testing.T) {
	s, err := New(Options{Accounts: 1500})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	accounts := s.schema.table("accounts")
	second := func() time.Time { return time.Unix(1_600_000_000+rng.Int64N(3), 0) } // many are equal
	views := []*snapshot{s.data.view()}
	for range 120 {
		for range rng.IntN(8) {
			disturb(rng, s.Control(), accounts, second)
		}
		if rng.IntN(20) == 0 {
			s.Control().ExpireChangeTokens()
		}
		views = append(views, s.data.view())
	}
	for i := range 300 {
		text := []string{"createdon,accountid", "createdon desc", "numberofemployees desc,createdon",
			"accountid desc"}[rng.IntN(4)]
		order, fail := accounts.ordering(text)
		if fail != nil {
			t.Fatal(fail)
		}
		c := &call{s: s, v: views[rng.IntN(len(views))]}
		rows := accounts.rows(c.v)
		got, want := c.inOrder(accounts, rows, order), c.v.sort(rows, order)
		if !slices.Equal(got.rows, want.rows) {
			t.Fatalf("%d: order %q of another moment differs from a fresh one", i, text)
		}
	}
}

// More changes than are remembered, and a table that is made anew, are no reason for an order that is not true.
func TestKeptOrdersWhereChangesAreForgotten(t *testing.T) {
	s, err := New(Options{Accounts: 1500})
	if err != nil {
		t.Fatal(err)
	}
	accounts := s.schema.table("accounts")
	order, _ := accounts.ordering("createdon")
	check := func(when string) {
		t.Helper()
		c := &call{s: s, v: s.data.view()}
		rows := accounts.rows(c.v)
		if !slices.Equal(c.inOrder(accounts, rows, order).rows, c.v.sort(rows, order).rows) {
			t.Errorf("%s: the order is not true", when)
		}
	}
	check("at first")
	id := s.data.view().set("account").rows()[0].(*record).id.String()
	for i := range 3*keptEdits + 1 {
		s.Control().PutAccount(Account{ID: id, Name: fmt.Sprint(i), CreatedOn: time.Unix(int64(i), 0)})
	}
	if n := len(s.data.view().set("account").edits); n > 2*keptEdits {
		t.Errorf("%d changes are remembered", n)
	}
	check("after many changes")
	s.data.drop("account")
	s.data.firstRows(accounts, 1500, func() []*record {
		return accountRecords(accounts,
			generate(Options{Accounts: 1500, Seed: 7}, s.dir))
	})
	check("of a table that was made anew")
}

// Requests that come together have a table sorted once.
func TestATableIsSortedOnce(t *testing.T) {
	s, err := New(Options{Accounts: 3000})
	if err != nil {
		t.Fatal(err)
	}
	accounts := s.schema.table("accounts")
	order, _ := accounts.ordering("createdon")
	var work sync.WaitGroup
	firsts := make(chan *any, 16)
	for range cap(firsts) {
		work.Go(func() {
			c := &call{s: s, v: s.data.view()}
			firsts <- &c.inOrder(accounts, accounts.rows(c.v), order).rows[0]
		})
	}
	work.Wait()
	for first := <-firsts; len(firsts) > 0; {
		if <-firsts != first {
			t.Fatal("two requests had it sorted")
		}
	}
}

// What lies outside of the window of a filter does not pass, in every order; the window is as
// narrow as the filter where that compares the order's first column.
func TestWindowsOfFilters(t *testing.T) {
	s, err := New(Options{Accounts: 400})
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range slices.Collect(s.Control().Accounts()) {
		if i%9 == 0 {
			row.CreatedOn = time.Unix(1_600_000_000, 0)
			s.Control().PutAccount(row)
		}
	}
	accounts := s.schema.table("accounts")
	c := &call{s: s, v: s.data.view(), user: s.dir.users[0]}
	all := slices.Collect(s.Control().Accounts())
	mid, high := all[0].CreatedOn.Format(time.RFC3339), time.Unix(1_600_000_000, 0).UTC().Format(time.RFC3339)
	narrow := []string{"createdon ge " + mid, "createdon gt " + high, "createdon lt " + mid, "createdon le " + high,
		"createdon eq " + high,
		"createdon ge " + high + " and createdon lt " + mid, "createdon ge " + mid + " and createdon lt " + mid,
		"not (createdon ge " + high + ")", "not (createdon lt " + mid + " or createdon gt 2024-01-01T00:00:00Z)",
		"createdon ge 2020-01-01",
		"createdon eq null", "createdon ne null", "createdon gt 2020-02-02T02:02:02.5Z",
		"numberofemployees ge 10 and numberofemployees lt 500",
		"numberofemployees eq null", "numberofemployees ne null", "not (numberofemployees eq null)",
		"revenue gt 1000000.5", "revenue le 3e6"}
	wide := []string{"createdon ge " + mid + " or name eq 'x'", "not (createdon ge " + mid + " and name eq 'x')",
		"createdon ne " + high,
		"statecode eq 0 and (createdon lt " + mid + " or numberofemployees eq 3)", "name gt 'M'",
		"createdon ge " + mid + " and contains(name,'a')"}
	for _, text := range slices.Concat(narrow, wide) {
		pass, edges, fail := c.compileEdges(accounts, text, nil)
		if fail != nil {
			t.Fatal(text, fail)
		}
		for _, by := range []string{"createdon", "createdon desc", "numberofemployees,createdon",
			"numberofemployees desc", "revenue", "revenue desc", "name", ""} {
			order, _ := accounts.ordering(by)
			in := c.v.sort(accounts.rows(c.v), order)
			low, high := in.window(c.v, edges)
			passed := 0
			for i, r := range in.rows {
				if pass(r) && (i < low || i >= high) {
					t.Fatalf("%s by %q: row %d of %d passes, and the window is from %d to %d", text, by, i,
						len(in.rows), low, high)
				}
				passed += btoi(pass(r))
			}
			about := slices.ContainsFunc(edges, func(e edge) bool { return e.col == order[0].col })
			if slices.Contains(narrow, text) && about && passed != high-low {
				t.Errorf("%s by %q: %d rows pass of the window's %d", text, by, passed, high-low)
			}
		}
	}
}
