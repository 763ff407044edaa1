package emulator

import (
	"fmt"
	"slices"
	"testing"
)

// The orders that are kept follow the data and are bounded.
func TestKeptOrders(t *testing.T) {
	s, err := New(Options{Accounts: 1500})
	if err != nil {
		t.Fatal(err)
	}
	accounts := s.schema.now.Load().tables["accounts"]
	for i, text := range []string{"name", "name desc", "revenue", "name", "createdon", "_ownerid_value,name", "name", "accountid desc", ""} {
		order, fail := accounts.ordering(text)
		if fail != nil {
			t.Fatal(fail)
		}
		for range 2 {
			c := &call{s: s, v: s.data.view()}
			rows := accounts.rows(c.v)
			got, want := c.inOrder(accounts, rows, order), c.v.sort(rows, order)
			if !slices.Equal(got.rows, want.rows) || len(got.rows) != len(rows) || !slices.Equal(got.keys, want.keys) {
				t.Fatalf("order %q differs from a fresh one", text)
			}
			few := rows[:1200]
			if got := c.inOrder(accounts, few, order); len(got.rows) != len(few) {
				t.Fatalf("order %q: %d of %d rows", text, len(got.rows), len(few))
			}
			s.Control().PutAccount(Account{Name: fmt.Sprint("new ", i)})
		}
		if n := len(s.orders.list); n > keptOrders || n == 0 {
			t.Fatalf("%d orders are kept", n)
		}
	}
}

// What is remembered of deletions is bounded: where one is forgotten, nothing before it can be asked for any more.
func TestTombstonesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it deletes thousands of rows")
	}
	s, err := New(Options{Accounts: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range maxTombstones + 5 {
		if !s.Control().DeleteAccount(s.Control().PutAccount(Account{Name: "x"})) {
			t.Fatal("a row that was put is not there")
		}
	}
	view := s.data.view()
	v := view.set("account")
	if n := len(v.deleted); n > maxTombstones || n < maxTombstones/2 || len(s.data.buried["account"]) != n {
		t.Errorf("%d tombstones, %d ids", n, len(s.data.buried))
	}
	if v.floor == 0 || v.deleted[0].version <= v.floor || v.floor >= view.version {
		t.Errorf("floor %d, first %d, version %d", v.floor, v.deleted[0].version, view.version)
	}
}

// An older snapshot stays as it was, whatever comes after it.
func TestSnapshotsDoNotChange(t *testing.T) {
	s, err := New(Options{Accounts: 120})
	if err != nil {
		t.Fatal(err)
	}
	var seen []*snapshot
	var lengths [][2]int
	c := s.Control()
	for i := range 200 {
		v := s.data.view()
		x := v.set("account")
		seen, lengths = append(seen, v), append(lengths, [2]int{x.count(), len(x.deleted)})
		switch row := x.rows()[i*7%x.count()].(*record); i % 4 {
		case 0, 1:
			c.DeleteAccount(row.id.String())
		case 2:
			c.PutAccount(row.account(s.schema.table("accounts")))
		case 3:
			if len(x.deleted) > 0 {
				c.PutAccount(Account{ID: x.deleted[0].id.String()})
			}
		}
	}
	for i, v := range seen {
		x := v.set("account")
		if x.count() != lengths[i][0] || len(x.rows()) != lengths[i][0] || len(x.deleted) != lengths[i][1] || i > 0 &&
			v.version <= seen[i-1].version {
			t.Fatalf("snapshot %d changed its size, or versions do not grow", i)
		}
		for j, r := range x.rows() {
			if a := r.(*record); a.version > v.version || j > 0 && x.rows()[j-1].(*record).id.compare(a.id) >= 0 {
				t.Fatalf("snapshot %d: row %d is not in its place", i, j)
			}
		}
		for _, d := range x.deleted {
			if d.version > v.version || x.row(d.id) != nil {
				t.Fatalf("snapshot %d: a tombstone of a row that is there, or from later", i)
			}
		}
	}
}
