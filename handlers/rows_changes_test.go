package handlers

import (
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

func goneRow(id string) string {
	return `{"@odata.context":"https://o.crm.dynamics.com/api/data/v9.2/$metadata#accounts/$deletedEntity","id":"` + id +
		`","reason":"deleted"}`
}

func changesOf(size messages.Count) messages.ChangesRequest {
	return messages.ChangesRequest{Target: acme, Fields: []string{"id", "name"}, PageSize: size}
}

// round follows the cursors until there are no more changes.
func round(t *testing.T, client *messages.Client, in messages.ChangesRequest) (accounts, deleted []string,
	replies int, cursor string) {
	t.Helper()
	for replies < 100 {
		page, err := client.Accounts().Changes(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		replies++
		accounts, deleted = append(accounts, idsOf(t, page.Rows)...), append(deleted, page.Deleted...)
		in = messages.ChangesRequest{Target: acme, Cursor: page.NextCursor}
		if !page.HasMore {
			return accounts, deleted, replies, page.NextCursor
		}
	}
	t.Fatal("the changes have no end")
	return
}

func changedRows(all []account) (out []string) {
	for _, row := range all {
		out = append(out, row.json())
	}
	return out
}

// Pages are followed to the link for later changes, which tells what comes after.
func TestChangesAreFollowedToTheirEnd(t *testing.T) {
	all := rows(0, 25, 0)
	d, client, _ := operated(t, all)
	d.change(func() { d.changed = changedRows(all) })
	accounts, deleted, replies, cursor := round(t, client, changesOf(10))
	if !slices.Equal(accounts, idsOfRows(all)) || len(deleted) != 0 || replies != 3 {
		t.Fatalf("%d accounts and %d deleted in %d replies", len(accounts), len(deleted), replies)
	}
	if uri := d.asked[len(d.asked)-1]; !strings.Contains(uri, "$skiptoken=20") {
		t.Errorf("the last page is %s", uri)
	}
	d.change(func() { d.changed = changedRows(all[:1]) })
	accounts, _, _, _ = round(t, client, messages.ChangesRequest{Target: acme, Cursor: cursor})
	if uri := d.asked[len(d.asked)-1]; !strings.Contains(uri, "$deltatoken=25") || len(accounts) != 1 {
		t.Errorf("later changes are %s; %d accounts", uri, len(accounts))
	}
	if _, err := client.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme, Cursor: cursor, Fields: []string{"id"}}); err == nil {
		t.Error("other fields beside a cursor are taken")
	}
	if _, err := client.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme, Cursor: cursor, Fields: []string{"id", "name"}}); err != nil {
		t.Error(err)
	}
}

// The page size may change with every request.
func TestChangesInAnotherPageSize(t *testing.T) {
	all := rows(0, 25, 0)
	d, client, _ := operated(t, all)
	d.change(func() { d.changed = changedRows(all) })
	first, err := client.Accounts().Changes(t.Context(), changesOf(4))
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme, Cursor: first.NextCursor,
		PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	third, err := client.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme, Cursor: second.NextCursor})
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Rows) != 4 || len(second.Rows) != 2 || len(third.Rows) != 2 {
		t.Errorf("%d, %d and %d accounts", len(first.Rows), len(second.Rows), len(third.Rows))
	}
}

// A page that does not fit a message is read again in fewer rows, and nothing is lost.
func TestChangesThatDoNotFit(t *testing.T) {
	all := append(append(rows(0, 20, 0), rows(20, 40, 9<<10)...), rows(40, 100, 0)...)
	d, client, _ := operated(t, all)
	d.change(func() { d.changed = changedRows(all) })
	accounts, _, replies, _ := round(t, client, changesOf(20))
	if !slices.Equal(accounts, idsOfRows(all)) {
		t.Errorf("%d accounts", len(accounts))
	}
	if calls := len(d.asked); replies < 6 || calls > replies+3 {
		t.Errorf("%d replies by %d calls", replies, calls)
	}
	d.change(func() { d.changed = changedRows(rows(0, 3, 70<<10)) })
	_, err := client.Accounts().Changes(t.Context(), changesOf(20))
	refusedWith(t, err, messages.TooLarge, "one change has")
}

// Sizes shrink as far as the rows make it, and grow to at most twice behind a full page.
func TestSizesOfLaterPages(t *testing.T) {
	for _, c := range []struct{ asked, size, rows, width, room, want int }{
		{1000, 1000, 0, 0, 60_000, 1000},
		{1000, 100, 100, 10_000, 60_000, 200}, // short rows, full page
		{1000, 100, 99, 9900, 60_000, 100},    // not full
		{1000, 800, 800, 8000, 60_000, 1000},  // no more than was asked for
		{1000, 100, 100, 100_000, 60_000, 45}, // three quarters of the room
		{1000, 100, 1, 1_000_000, 60_000, 1},  // one at least
		{1000, 100, 100, 100_000, -5, 1},      // no room at all
	} {
		if got := sizeAfter(changesPosition{Asked: c.asked, Size: c.size}, c.rows, c.width, c.room); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// Only what is gone stands among the deleted, each once, and what is there comes as a
// row, once.
func TestChangesOfWhatCameBack(t *testing.T) {
	all := rows(0, 6, 0)
	id := func(i int) string { return all[i].id }
	row := func(i int) string { return all[i].json() }
	for name, c := range map[string]struct {
		told              []string
		gone              []int
		accounts, deleted []string
	}{
		"deleted":                     {[]string{row(0), goneRow(id(1))}, []int{1}, []string{id(0)}, []string{id(1)}},
		"deleted twice":               {[]string{goneRow(id(1)), goneRow(id(1))}, []int{1}, nil, []string{id(1)}},
		"a row and then deleted":      {[]string{row(0), row(1), goneRow(id(1))}, []int{1}, []string{id(0)}, []string{id(1)}},
		"deleted and then a row":      {[]string{goneRow(id(1)), row(1), row(2)}, nil, []string{id(1), id(2)}, nil},
		"a row, deleted and restored": {[]string{row(1), goneRow(id(1)), row(2)}, nil, []string{id(1), id(2)}, nil},
		"restored without a row":      {[]string{row(0), goneRow(id(1)), goneRow(id(2))}, []int{2}, []string{id(0), id(1)}, []string{id(2)}},
		"restored after two":          {[]string{goneRow(id(1)), goneRow(id(1))}, nil, []string{id(1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var there []account
			for i, a := range all {
				if !slices.Contains(c.gone, i) {
					there = append(there, a)
				}
			}
			d, client, _ := operated(t, there)
			d.change(func() { d.changed = c.told })
			accounts, deleted, _, _ := round(t, client, changesOf(100))
			if !slices.Equal(accounts, c.accounts) || !slices.Equal(deleted, c.deleted) {
				t.Errorf("accounts %q, deleted %q", accounts, deleted)
			}
		})
	}
}

// More deletions than fit one query are all looked at.
func TestChangesOfManyDeletions(t *testing.T) {
	all := rows(0, 2*lookedAtOnce+50, 0)
	restored := []int{3, lookedAtOnce + 3, 2*lookedAtOnce + 3}
	var there []account
	var told, wanted []string
	for i, a := range all {
		told = append(told, goneRow(a.id))
		if slices.Contains(restored, i) {
			there, wanted = append(there, a), append(wanted, a.id)
		}
	}
	d, client, _ := operated(t, there)
	d.change(func() { d.changed = told })
	accounts, deleted, _, _ := round(t, client, changesOf(5000))
	if !slices.Equal(accounts, wanted) || len(deleted) != len(all)-len(restored) {
		t.Errorf("accounts %q, %d deleted", accounts, len(deleted))
	}
}
