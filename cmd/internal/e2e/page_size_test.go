package e2e

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// asked writes down in what sizes pages of a table are asked for.
type asked struct {
	set   string // the entity set
	mu    sync.Mutex
	sizes []int
	over  int // larger pages are refused as too long; 0: none
}

var maxPageSize = regexp.MustCompile(`odata\.maxpagesize=(\d+)`)

func (a *asked) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := maxPageSize.FindStringSubmatch(r.Header.Get("Prefer")); m != nil && strings.HasSuffix(r.URL.Path, "/"+a.set) {
			size, _ := strconv.Atoi(m[1])
			a.mu.Lock()
			a.sizes = append(a.sizes, size)
			over := a.over
			a.mu.Unlock()
			if over > 0 && size > over {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *asked) take() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	sizes := a.sizes
	a.sizes = nil
	return sizes
}

// Pages that no message holds are asked for in a size that fits: the first one twice,
// and from then on one call for each message, all with the same preferences. A stream
// reads each page once, whatever its size.
func TestPagesAreAskedForInWhatAMessageHolds(t *testing.T) {
	forTables(t, testPagesAreAskedForInWhatAMessageHolds)
}

func testPagesAreAskedForInWhatAMessageHolds(t *testing.T, table *testedTable) {
	const rows = 600
	a := asked{set: table.Set}
	w := bridgetest.NewWrapped(t, table.options(-1), a.wrap)
	w.Tables = table.Name
	nc := streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: 64 << 10})
	w.NATSURL = w.Overheard(nc.ClientURL())
	for i := range rows {
		table.put(w.Emulator.Control(), "", "row "+strconv.Itoa(i), "description", strings.Repeat("d", 900+i%200))
	}
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	for name, order := range map[string][]string{"by id": nil, "by name": {"-name"}, "by a lookup": {"owner"}} {
		a.take()
		in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"id", "description"},
			OrderBy:  order,
			PageSize: 500, IncludeTotal: true}
		got, parts := map[string]int{}, 0
		for {
			page, err := table.of(client).Search(t.Context(), in)
			if err != nil {
				t.Fatal(name, err)
			}
			if parts++; *page.Total != rows {
				t.Errorf("%s: total %d", name, *page.Total)
			}
			for _, row := range page.Rows {
				got[row.Text("id")]++
			}
			if page.NextCursor == "" {
				break
			}
			in = messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor}
		}
		sizes := a.take()
		if len(got) != rows || len(sizes) != parts+1 || parts > 16 || sizes[0] != 500 {
			t.Errorf("%s: %d rows in %d messages by %d calls %v", name, len(got), parts, len(sizes), sizes)
		}
		for _, size := range sizes[1:] {
			if size != sizes[1] || size < 40 || size > 64 {
				t.Errorf("%s: sizes %v", name, sizes)
				break
			}
		}
		for id, n := range got {
			if n != 1 {
				t.Errorf("%s: %s came %d times", name, id, n)
			}
		}
	}
	streamed := 0
	for part, err := range table.of(client).Stream(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"},
		Fields: []string{"id", "description"}, PageSize: 500}) {
		if err != nil {
			t.Fatal(err)
		}
		streamed += len(part.Rows)
	}
	if sizes := a.take(); streamed != rows || len(sizes) != 2 {
		t.Errorf("%d rows streamed by calls %v", streamed, sizes)
	}
}

// Where not even the client or Dataverse can hold a first page, smaller ones are
// asked for, by pages and in a stream.
func TestSearchInPagesThatNobodyHolds(t *testing.T) { forTables(t, testSearchInPagesThatNobodyHolds) }

func testSearchInPagesThatNobodyHolds(t *testing.T, table *testedTable) {
	a := asked{set: table.Set, over: 20}
	w := bridgetest.NewWrapped(t, table.options(90), a.wrap)
	w.Tables = table.Name
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	for _, mode := range []string{messages.ModePage, messages.ModeStream} {
		a.take()
		in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 80}
		rows := 0
		if mode == messages.ModeStream {
			for part, err := range table.of(client).Stream(t.Context(), in) {
				if err != nil {
					t.Fatal(err)
				}
				rows += len(part.Rows)
			}
		} else {
			for in.Cursor != "" || rows == 0 {
				page, err := table.of(client).Search(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				rows += len(page.Rows)
				in = messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor}
			}
		}
		if sizes := a.take(); rows != 90 || len(sizes) != 2+5 || sizes[2] != 20 {
			t.Errorf("%s: %d rows by calls %v", mode, rows, sizes)
		}
	}
}
