package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A timed row is one as far as ranges of time ask for it: its number and the second of its
// creation, which may be missing.
type timedRow struct {
	n    int
	at   int64
	none bool
}

func (r timedRow) id() string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", r.n) }

// A timedServer answers for Dataverse to queries by time of creation, also for rows
// without one, which the emulator has none of.
type timedServer struct {
	*httptest.Server
	operations *Operations
	nullsLast  bool // as no Dataverse is known to order them
	everything bool // filters are ignored
	counted    int  // RetrieveTotalRecordCount, negative for an error
	hint       string
	before     func(w http.ResponseWriter, query url.Values) (answered bool)
	link       func(query string, place string) string // of the next page

	mu          sync.Mutex
	rows        []timedRow
	asked       []url.Values
	counts      int
	incarnation string
}

func newTimedServer(t testing.TB, rows []timedRow, change ...func(*dynamics.Config)) *timedServer {
	t.Helper()
	s := &timedServer{rows: rows, incarnation: "1"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com",
		[]string{strings.TrimPrefix(s.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	config := dynamics.Config{Hosts: hosts, Tokens: s, RetryDelay: time.Millisecond}
	for _, f := range change {
		f(&config)
	}
	client, err := dynamics.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		t.Fatal(err)
	}
	s.operations = &Operations{Dynamics: client, Tables: messages.Tables(), Sealer: keys,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))}
	return s
}

func (s *timedServer) Access(context.Context, string) (dynamics.Access, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return dynamics.Access{Environment: s.URL, Incarnation: s.incarnation, Token: dynamics.NewSecret("x"),
		Tables: []string{"accounts"}}, nil
}

func (s *timedServer) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return s.Access(ctx, connection)
}

var comparedWith = regexp.MustCompile(`createdon (ge|lt|eq|ne) (null|[0-9TZ:.-]+)`)

func (s *timedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	if strings.Contains(r.URL.Path, "RetrieveTotalRecordCount") {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.counts++; s.counted < 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"EntityRecordCountCollection":{"Keys":["account"],"Values":[%d]}}`, s.counted)
		return
	}
	if r.URL.Path != "/api/data/v9.2/accounts" { // metadata
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, query)
	s.mu.Unlock()
	if s.before != nil && s.before(w, query) {
		return
	}
	if s.hint != "" {
		w.Header().Set("x-ms-dop-hint", s.hint)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(s.rows), func(row timedRow) bool {
		if s.everything {
			return false
		}
		for _, c := range comparedWith.FindAllStringSubmatch(query.Get("$filter"), -1) {
			bound, _ := time.Parse(time.RFC3339, c[2])
			if row.none != (c[1] == "eq") || c[1] == "ge" && row.at < bound.Unix() || c[1] == "lt" &&
				row.at >= bound.Unix() {
				return true
			}
		}
		return false
	})
	slices.SortFunc(found, s.order)
	if strings.HasPrefix(query.Get("$orderby"), "createdon desc") {
		slices.Reverse(found)
	}
	if place := query.Get("$skiptoken"); place != "" {
		number, _, _ := strings.Cut(strings.TrimPrefix(place, "pagingcookie"), "_")
		n, _ := strconv.Atoi(number)
		last := s.rows[slices.IndexFunc(s.rows, func(r timedRow) bool { return r.n == n })]
		found = slices.DeleteFunc(found, func(row timedRow) bool { return s.order(row, last) <= 0 })
	}
	size, _ := strconv.Atoi(pageSizeAsked.FindStringSubmatch(r.Header.Get("Prefer"))[1])
	page := found[:min(size, len(found))]
	answer := map[string]any{}
	values := []map[string]any{}
	for _, row := range page {
		var at any
		if !row.none {
			at = time.Unix(row.at, 0).UTC().Format(time.RFC3339)
		}
		values = append(values, map[string]any{"accountid": row.id(), "name": fmt.Sprint(row.n), "createdon": at})
	}
	answer["value"] = values
	if query.Get("$count") == "true" {
		answer["@odata.count"] = len(found)
	}
	if len(page) < len(found) {
		base, _, _ := strings.Cut(strings.ReplaceAll(r.URL.RawQuery, "%24", "$"), "&$skiptoken")
		place := "pagingcookie" + strconv.Itoa(page[len(page)-1].n)
		rest := base + "&$skiptoken=" + place
		if s.link != nil {
			rest = s.link(base, place)
		}
		answer["@odata.nextLink"] = s.URL + "/api/data/v9.2/accounts?" + rest
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *timedServer) order(a, b timedRow) int {
	switch {
	case a.none != b.none && a.none == s.nullsLast:
		return 1
	case a.none != b.none:
		return -1
	case a.at != b.at && !a.none:
		return int(a.at - b.at)
	}
	return a.n - b.n
}

// timedRows are rows of which so many have no time.
func timedRows(n, without int, at func(i int) int64) (rows []timedRow, ids []string) {
	for i := range n {
		row := timedRow{n: i + 1, none: i < without}
		if !row.none {
			row.at = at(i)
		}
		rows = append(rows, row)
		ids = append(ids, row.id())
	}
	return rows, ids
}
