package emulator

import (
	"fmt"
	"slices"
	"testing"
	"time"
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
			got, want := c.inOrder(c.v.rows, order), c.v.sort(c.v.rows, order)
			if !slices.Equal(got.rows, want.rows) || len(got.rows) != len(c.v.accounts) || !slices.Equal(got.keys, want.keys) {
				t.Fatalf("order %q differs from a fresh one", text)
			}
			few := c.v.rows[:1200]
			if got := c.inOrder(few, order); len(got.rows) != len(few) {
				t.Fatalf("order %q: %d of %d rows", text, len(got.rows), len(few))
			}
			s.data.put(Account{Name: fmt.Sprint("new ", i)}, time.Time{})
		}
		if n := len(s.orders.list); n > keptOrders || n == 0 {
			t.Fatalf("%d orders are kept", n)
		}
	}
}

// What is remembered of deletions is bounded: where one is forgotten, nothing before it can be asked for any more.
func TestTombstonesAreBounded(t *testing.T) {
	s, err := New(Options{Accounts: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range maxTombstones + 5 {
		if !s.data.delete(s.data.put(Account{Name: "x"}, time.Time{})) {
			t.Fatal("a row that was put is not there")
		}
	}
	v := s.data.view()
	if n := len(v.deleted); n > maxTombstones || n < maxTombstones/2 || len(s.data.buried) != n {
		t.Errorf("%d tombstones, %d ids", n, len(s.data.buried))
	}
	if v.floor == 0 || v.deleted[0].version <= v.floor || v.floor >= v.version {
		t.Errorf("floor %d, first %d, version %d", v.floor, v.deleted[0].version, v.version)
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
	for i := range 200 {
		v := s.data.view()
		seen, lengths = append(seen, v), append(lengths, [2]int{len(v.accounts), len(v.deleted)})
		switch row := *v.accounts[i*7%len(v.accounts)]; i % 4 {
		case 0, 1:
			s.data.delete(row.ID)
		case 2:
			s.data.put(row, time.Time{})
		case 3:
			if len(v.deleted) > 0 {
				s.data.put(Account{ID: v.deleted[0].id.String()}, time.Time{})
			}
		}
	}
	for i, v := range seen {
		if len(v.accounts) != lengths[i][0] || len(v.rows) != lengths[i][0] || len(v.deleted) != lengths[i][1] || i > 0 && v.version <= seen[i-1].version {
			t.Fatalf("snapshot %d changed its size, or versions do not grow", i)
		}
		for j, a := range v.accounts {
			if v.rows[j] != any(a) || a.Version > v.version || j > 0 && v.accounts[j-1].id.compare(a.id) >= 0 {
				t.Fatalf("snapshot %d: row %d is not in its place", i, j)
			}
		}
		for _, d := range v.deleted {
			if d.version > v.version || v.account(d.id) != nil {
				t.Fatalf("snapshot %d: a tombstone of a row that is there, or from later", i)
			}
		}
	}
}
