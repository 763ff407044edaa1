package handlers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/messages"
)

var acme = messages.Target{Connection: "acme"}

func searchOf(size, limit messages.Count) messages.SearchRequest {
	return messages.SearchRequest{Target: acme, Fields: []string{"id", "name"}, OrderBy: []string{"name"},
		PageSize: size, Limit: limit}
}

func idsOfRows(rows []account) (ids []string) {
	for _, row := range rows {
		ids = append(ids, row.id)
	}
	return ids
}

// A limit holds over all pages and within a stream, wherever it lies to their bounds.
func TestALimitHoldsOverPages(t *testing.T) {
	all := rows(0, 30, 0)
	_, client, _ := operated(t, all)
	for _, c := range []struct{ size, limit messages.Count }{
		{4, 10}, {4, 4}, {4, 8}, {4, 3}, {4, 1}, {4, 29}, {4, 30}, {4, 31}, {10, 30}, {10, 25}, {50, 7}, {4, 0},
	} {
		want := idsOfRows(all)
		if c.limit > 0 {
			want = want[:min(int(c.limit), len(want))]
		}
		var paged, streamed []string
		for page, err := range client.Accounts().Pages(t.Context(), searchOf(c.size, c.limit)) {
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Rows) > int(c.size) {
				t.Errorf("limit %d: %d rows on a page of %d", c.limit, len(page.Rows), c.size)
			}
			paged = append(paged, idsOf(t, page.Rows)...)
		}
		for part, err := range client.Accounts().Stream(t.Context(), searchOf(c.size, c.limit)) {
			if err != nil {
				t.Fatal(err)
			}
			if part.NextCursor != "" {
				t.Errorf("limit %d: the stream ends with a cursor", c.limit)
			}
			streamed = append(streamed, idsOf(t, part.Rows)...)
		}
		if !slices.Equal(paged, want) || !slices.Equal(streamed, want) {
			t.Errorf("page_size %d, limit %d: %d rows in pages and %d in a stream, want %d", c.size, c.limit, len(paged),
				len(streamed), len(want))
		}
	}
}

// split is a search whose second page does not fit a message, and what its first two
// messages brought: rows 0 to 9, and the beginning of rows 10 to 19.
func split(t *testing.T) (d *dataverse, client *messages.Client, delivered []string, cursor string) {
	t.Helper()
	d, client, _ = operated(t, append(append(rows(0, 10, 0), rows(10, 20, 10<<10)...), rows(20, 25, 0)...))
	in := searchOf(10, 0)
	for range 2 {
		page, err := client.Accounts().Search(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		delivered = append(delivered, idsOf(t, page.Rows)...)
		in = messages.SearchRequest{Target: acme, Cursor: page.NextCursor}
	}
	if n := len(delivered); n < 13 || n > 18 {
		t.Fatalf("%d rows are delivered; the test wants the cursor within the second page", n)
	}
	return d, client, delivered, in.Cursor
}

func rest(t *testing.T, client *messages.Client, cursor string) (ids []string, err error) {
	t.Helper()
	for page, err := range client.Accounts().Pages(t.Context(), messages.SearchRequest{Target: acme, Cursor: cursor}) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, idsOf(t, page.Rows)...)
	}
	return ids, nil
}

// A page that is read again goes on behind the last delivered row that kept its place.
func TestAPageReadAgainGoesOnBehindWhatKeptItsPlace(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(all []account, last int) []account // last was the last one delivered
	}{
		{"nothing changed", func(all []account, _ int) []account { return all }},
		{"the last one moved to the end of its page", func(all []account, last int) []account {
			moved := all[last]
			moved.name = "00019z" // behind row 19
			return slices.Insert(slices.Delete(all, last, last+1), 19, moved)
		}},
		{"the last ones are gone", func(all []account, last int) []account { return slices.Delete(all, last-1, last+1) }},
		{"rows came in front and push the place to another page", func(all []account, _ int) []account {
			return slices.Insert(all, 10, rows(100, 120, 0)...)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, client, delivered, cursor := split(t)
			all := idsOfRows(d.rows)
			d.change(func() { d.rows = c.change(slices.Clone(d.rows), len(delivered)-1) })
			got, err := rest(t, client, cursor)
			if err != nil {
				t.Fatal(err)
			}
			want := all[len(delivered):]
			for _, id := range want {
				if !slices.Contains(got, id) {
					t.Errorf("row %s is lost", id)
				}
			}
			for _, id := range delivered {
				if slices.Contains(got, id) && c.name == "nothing changed" {
					t.Errorf("row %s came twice", id)
				}
			}
		})
	}
}

// Where none of the delivered rows kept its place, nobody can say where to go on.
func TestAPlaceWithoutItsRowsIsRefused(t *testing.T) {
	d, client, _, cursor := split(t)
	d.change(func() { d.rows = append(d.rows[:10:10], rows(40, 50, 0)...) })
	_, err := rest(t, client, cursor)
	refusedWith(t, err, messages.InvalidRequest, "all gone or have moved")
}

// The first page says how long the rows are: it is asked for again once, in fewer, and
// then every message has a page of its own.
func TestPagesAreAskedForInWhatFits(t *testing.T) {
	all := rows(0, 40, 5<<10)
	d, client, _ := operated(t, all)
	var got []string
	messagesOf := 0
	for page, err := range client.Accounts().Pages(t.Context(), searchOf(20, 0)) {
		if err != nil {
			t.Fatal(err)
		}
		messagesOf++
		got = append(got, idsOf(t, page.Rows)...)
	}
	if !slices.Equal(got, idsOfRows(all)) || len(d.asked) != messagesOf+1 {
		t.Errorf("%d rows in %d messages by %d calls", len(got), messagesOf, len(d.asked))
	}
}

// A cursor belongs to its connection in its incarnation, its operation and its query.
func TestCursorsBelongToTheirQuery(t *testing.T) {
	d, client, _ := operated(t, rows(0, 10, 0))
	first, err := client.Accounts().Search(t.Context(), searchOf(4, 9))
	if err != nil {
		t.Fatal(err)
	}
	sent := func(change func(*messages.SearchRequest)) error {
		in := searchOf(4, 9)
		in.Cursor = first.NextCursor
		change(&in)
		page, err := client.Accounts().Search(t.Context(), in)
		if err == nil && !slices.Equal(idsOf(t, page.Rows), idsOfRows(rows(4, 8, 0))) {
			t.Errorf("it goes on with %s", page.Rows)
		}
		return err
	}
	for name, change := range map[string]func(*messages.SearchRequest){
		"the whole query":       func(*messages.SearchRequest) {},
		"without its page_size": func(in *messages.SearchRequest) { in.PageSize = 0 },
		"alone": func(in *messages.SearchRequest) {
			*in = messages.SearchRequest{Target: acme, Cursor: in.Cursor}
		},
		"padded": func(in *messages.SearchRequest) { in.Cursor += "==" },
	} {
		if err := sent(change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const another = "belongs to another query"
	for name, change := range map[string]func(*messages.SearchRequest){
		"fields":        func(in *messages.SearchRequest) { in.Fields = []string{"id"} },
		"order_by":      func(in *messages.SearchRequest) { in.OrderBy = []string{"-name"} },
		"limit":         func(in *messages.SearchRequest) { in.Limit = 8 },
		"no limit":      func(in *messages.SearchRequest) { in.Limit = 0 },
		"page_size":     func(in *messages.SearchRequest) { in.PageSize = 5 },
		"include_total": func(in *messages.SearchRequest) { in.IncludeTotal = true },
		"where": func(in *messages.SearchRequest) {
			where := messages.Null("phone")
			in.Where = &where
		},
	} {
		t.Run(name, func(t *testing.T) { refusedWith(t, sent(change), messages.InvalidRequest, another) })
	}
	const bad = "is not a cursor of this connection"
	refusedWith(t, sent(func(in *messages.SearchRequest) { in.Connection = "globex" }), messages.InvalidRequest, bad)
	refusedWith(t, sent(func(in *messages.SearchRequest) { in.Cursor = in.Cursor[1:] }), messages.InvalidRequest, bad)
	refusedWith(t, sent(func(in *messages.SearchRequest) { in.Cursor = "a b" }), messages.InvalidRequest, bad)
	_, err = client.Accounts().Changes(t.Context(), messages.ChangesRequest{Target: acme, Cursor: first.NextCursor})
	refusedWith(t, err, messages.InvalidRequest, "is a cursor of accounts.search, and accounts.changes")
	d.change(func() { d.incarnation = "2" })
	refusedWith(t, sent(func(*messages.SearchRequest) {}), messages.InvalidRequest, bad)
}

// A cursor is good for seven days.
func TestACursorLivesSevenDays(t *testing.T) {
	d, client, _ := operated(t, rows(0, 3, 0))
	query, err := encodeQuery((&search{entity: accounts(t)}).normalize(searchOf(2, 0)))
	if err != nil {
		t.Fatal(err)
	}
	seals := cursors{sealer: d.operations.Sealer, operation: messages.Accounts.Operation(messages.VerbSearch),
		connection: "acme", incarnate: "1"}
	made := func(ago time.Duration) error {
		cursor, err := seals.seal(position{Issued: time.Now().Add(-ago).Unix(), Query: query})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Accounts().Search(t.Context(), messages.SearchRequest{Target: acme, Cursor: cursor})
		return err
	}
	const week = 7 * 24 * time.Hour
	for _, ago := range []time.Duration{0, 24 * time.Hour, week - time.Hour} {
		if err := made(ago); err != nil {
			t.Errorf("after %s: %v", ago, err)
		}
	}
	for _, ago := range []time.Duration{week + time.Minute, 10 * week} {
		refusedWith(t, made(ago), messages.InvalidRequest, "is older than 7 days")
	}
}

// What is given out as a cursor carries the time of its making.
func TestCursorsCarryTheirTime(t *testing.T) {
	d, client, _ := operated(t, rows(0, 3, 0))
	before := time.Now().Unix()
	page, err := client.Accounts().Search(t.Context(), searchOf(2, 0))
	if err != nil {
		t.Fatal(err)
	}
	var at position
	seals := cursors{sealer: d.operations.Sealer, operation: messages.Accounts.Operation(messages.VerbSearch),
		connection: "acme", incarnate: "1"}
	if err := seals.open(page.NextCursor, &at); err != nil || at.Issued < before || at.Issued > time.Now().Unix() {
		t.Errorf("%v: issued %d", err, at.Issued)
	}
}

// What is wrong with a request is found before Dataverse is asked; at the bound it is
// not wrong.
func TestBoundsOfASearch(t *testing.T) {
	d, client, _ := operated(t, rows(0, 3, 0))
	names := func(n int) []string { return slices.Repeat([]string{"id"}, n) }
	for name, c := range map[string]struct {
		change     func(*messages.SearchRequest)
		path, says string
	}{
		"page_size":   {func(in *messages.SearchRequest) { in.PageSize = messages.MaxPageSize + 1 }, "page_size", "from 1 to 5000"},
		"no fields":   {func(in *messages.SearchRequest) { in.Fields = []string{} }, "fields", "the list is empty"},
		"fields":      {func(in *messages.SearchRequest) { in.Fields = names(101) }, "fields", "not be more than 100"},
		"order_by":    {func(in *messages.SearchRequest) { in.OrderBy = names(11) }, "order_by", "not be more than 10"},
		"mode":        {func(in *messages.SearchRequest) { in.Mode = "all" }, "mode", "must be page or stream"},
		"where":       {func(in *messages.SearchRequest) { in.Where = &messages.Where{} }, "where", "exactly one of"},
		"field twice": {func(in *messages.SearchRequest) { in.Fields = []string{"id", "name", "id"} }, "fields[2]", "named twice"},
		"star":        {func(in *messages.SearchRequest) { in.Fields = []string{"*"} }, "fields[0]", "* is not allowed"},
		"order as SQL": {func(in *messages.SearchRequest) { in.OrderBy = []string{"name", "revenue desc"} }, "order_by[1]",
			`there is no field "revenue desc"; did you mean -revenue?`},
		"order of two": {func(in *messages.SearchRequest) { in.OrderBy = []string{"name", "-name"} }, "order_by[1]", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			in := searchOf(0, 0)
			c.change(&in)
			err := checkSearch(&in)
			if err == nil {
				session, opened := d.client.Open(t.Context(), "acme")
				if opened != nil {
					t.Fatal(opened)
				}
				err = d.operations.Catalog.Replan(session, accounts(t), func(p plan.Planner) error {
					_, err := p.Search(t.Context(), in)
					return err
				})
			}
			refusedWith(t, err, messages.InvalidRequest, c.says)
			if fault, ok := err.(*messages.Error); ok && fault.Details[0].Path != c.path {
				t.Errorf("path %q, want %q", fault.Details[0].Path, c.path)
			}
		})
	}
	if len(d.asked) != 0 {
		t.Errorf("Dataverse was asked %q", d.asked)
	}
	in := searchOf(messages.MaxPageSize, 0)
	if _, err := client.Accounts().Search(t.Context(), in); err != nil {
		t.Error(err)
	}
	in.Fields, in.OrderBy = names(100), names(10)
	if err := checkSearch(&in); err != nil {
		t.Error(err)
	}
	if len(d.asked) != 1 {
		t.Errorf("Dataverse was asked %q", d.asked)
	}
}

// A stream has 50,000 rows and then a cursor, also where that is within a page.
func TestAStreamEndsAtItsBound(t *testing.T) {
	all := rows(0, messages.MaxStreamRows+10, 0)
	_, client, _ := operated(t, all)
	var got []string
	cursor := ""
	for part, err := range client.Accounts().Stream(t.Context(), messages.SearchRequest{Target: acme, Fields: []string{"id"}, PageSize: 4000}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, idsOf(t, part.Rows)...)
		cursor = part.NextCursor
	}
	if len(got) != messages.MaxStreamRows || cursor == "" {
		t.Fatalf("%d rows, cursor %q", len(got), cursor)
	}
	more, err := rest(t, client, cursor)
	if err != nil || !slices.Equal(append(got, more...), idsOfRows(all)) {
		t.Errorf("%v; %d rows behind it", err, len(more))
	}
}

// Page mode has 100 rows where nothing else is asked for, a stream as many as Dataverse
// gives.
func TestDefaultPageSizes(t *testing.T) {
	s := &search{entity: accounts(t)}
	page, stream := s.normalize(messages.SearchRequest{}), s.normalize(messages.SearchRequest{Mode: messages.ModeStream})
	if page.PageSize != 100 || stream.PageSize != 5000 || !slices.Equal(page.Fields, messages.Accounts.DefaultFields) {
		t.Errorf("%d and %d, %q", page.PageSize, stream.PageSize, page.Fields)
	}
}

// The total is Dataverse's count where that is exact, the page's where it is the only
// one, and comes with every page.
func TestTotals(t *testing.T) {
	for _, n := range []int{0, 3, 30} {
		d, client, _ := operated(t, rows(0, n, 0))
		in := searchOf(10, 0)
		in.IncludeTotal = true
		for page, err := range client.Accounts().Pages(t.Context(), in) {
			if err != nil || page.Total == nil || *page.Total != int64(n) {
				t.Errorf("%d rows: %v, total %v", n, err, page)
			}
		}
		for _, uri := range d.asked {
			if strings.Contains(uri, "$apply") {
				t.Errorf("%d rows: counted beside the page: %s", n, uri)
			}
		}
	}
}

// At the cap of Dataverse's own count, rows are counted beside the page.
func TestATotalAtTheCapIsCounted(t *testing.T) {
	d, client, _ := operated(t, rows(0, 5001, 0))
	d.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if counts := r.URL.Query().Has("$apply"); counts {
			_, _ = w.Write([]byte(`{"value":[{"c":5001}]}`))
			return true
		}
		return false
	}
	in := searchOf(10, 0)
	in.IncludeTotal = true
	page, err := client.Accounts().Search(t.Context(), in)
	if err != nil || page.Total == nil || *page.Total != 5001 {
		t.Errorf("%v, %+v", err, page)
	}
}

// A link that Dataverse does not take any more expired where a requester's cursor had
// it, and is Dataverse's fault where it has just been given.
func TestAnExpiredLink(t *testing.T) {
	d, client, _ := operated(t, rows(0, 30, 0))
	first, err := client.Accounts().Search(t.Context(), searchOf(10, 0))
	if err != nil {
		t.Fatal(err)
	}
	d.change(func() {
		d.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has("$skiptoken") {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"code":"0x80041129","message":"Malformed XML in the Paging Cookie"}}`))
			return true
		}
	})
	_, err = rest(t, client, first.NextCursor)
	refusedWith(t, err, messages.CursorExpired, "start again without a cursor")
	for _, err := range client.Accounts().Stream(t.Context(), searchOf(10, 0)) {
		if err != nil {
			refusedWith(t, err, messages.UpstreamError, "its own link")
		}
	}
}
