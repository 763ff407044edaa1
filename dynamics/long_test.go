package dynamics_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// TestEmulatedLongLists: 500 values of each type that lists have, in all forms
// and through batches, page by page, find what a look at the accounts finds.
func TestEmulatedLongLists(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it reads thousands of rows")
	}
	server, _, s, _ := emulated(t, 1500)
	money := func(v *int64) (string, bool) {
		if v == nil {
			return "", false
		}
		return fmt.Sprintf("%d.%04d", *v/10000, *v%10000), true
	}
	whole := func(v *int32) (string, bool) {
		if v == nil {
			return "", false
		}
		return strconv.Itoa(int(*v)), true
	}
	text := func(v string) (string, bool) { return v, v != "" }
	for _, c := range []struct {
		column dynamics.Column
		of     func(emulator.Account) (string, bool) // as the filter has it
	}{
		{name, func(a emulator.Account) (string, bool) { return text(a.Name) }},
		{column("websiteurl", dynamics.Text), func(a emulator.Account) (string, bool) { return text(a.Website) }},
		{column("accountid", dynamics.UniqueID), func(a emulator.Account) (string, bool) { return text(a.ID) }},
		{staff, func(a emulator.Account) (string, bool) { return whole(a.Employees) }},
		{revenue, func(a emulator.Account) (string, bool) { return money(a.Revenue) }},
		{industry, func(a emulator.Account) (string, bool) { return whole(a.Industry) }},
		{column("parentaccountid", dynamics.Lookup), func(a emulator.Account) (string, bool) { return text(a.ParentID) }},
		{owner, func(a emulator.Account) (string, bool) { return text(a.OwnerID) }},
	} {
		var values []string
		wanted := map[string]bool{}
		for a := range server.Control().Accounts() {
			if v, ok := c.of(a); ok && len(values) < 300 && !wanted[strings.ToLower(v)] {
				values, wanted[strings.ToLower(v)] = append(values, v), true
			}
		}
		for i := 0; len(values) < 500; i++ { // that match nothing, and make the query long
			switch c.column.Type {
			case dynamics.Text:
				values = append(values, fmt.Sprintf(`no "account's" name, 100%% [%d]_\ %s`, i, strings.Repeat("ü", 8)))
			case dynamics.UniqueID, dynamics.Lookup:
				values = append(values, guid(900000+i))
			default:
				values = append(values, strconv.Itoa(2_000_000_000+i))
			}
		}
		for _, op := range []dynamics.Op{dynamics.In, dynamics.NotIn} {
			f := leaf(c.column, op, values...)
			found := ids(t, s, dynamics.Query{Filter: f, PageSize: 250})
			want := 0
			for a := range server.Control().Accounts() {
				v, ok := c.of(a)
				if matches := ok && wanted[strings.ToLower(v)] == (op == dynamics.In) || !ok &&
					op == dynamics.NotIn; matches != (found[a.ID] == 1) {
					t.Fatalf("%s %s: account %s came %d times", c.column.Logical, op, a.ID, found[a.ID])
				} else if matches {
					want++
				}
			}
			if n, err := s.Count(t.Context(), accounts, f); err != nil || n != int64(want) || len(found) != want {
				t.Errorf("%s %s: %d rows, count %d, %v; want %d", c.column.Logical, op, len(found), n, err, want)
			}
		}
	}
	batches := 0
	for route, n := range server.Control().Counts().Data {
		if strings.Contains(route, "batch") {
			batches += n
		}
	}
	if batches == 0 {
		t.Error("nothing went through $batch")
	}
	t.Logf("%d batches", batches)
}

// TestEmulatedErrorsInBatches: what a long query is refused for is the same error
// as for a short one.
func TestEmulatedErrorsInBatches(t *testing.T) {
	_, _, s, _ := emulated(t, 10)
	q := long(dynamics.MaxURL)
	q.Filter = and{q.Filter, leaf(column("nosuchcolumn", dynamics.Text), dynamics.Eq, "x")}
	_, err := firstPage(t.Context(), s, q)
	if e := kind(t, err, dynamics.UnknownColumn); e.Column != "nosuchcolumn" || e.Status != 400 {
		t.Errorf("%+v", *e)
	}
	_, err = s.Count(t.Context(), accounts, q.Filter)
	kind(t, err, dynamics.UnknownColumn)
}
