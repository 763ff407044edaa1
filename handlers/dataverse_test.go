package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An account is a row as far as these tests ask for it.
type account struct{ id, name string }

func (a account) json() string {
	return fmt.Sprintf(`{"@odata.etag":"W/\"1\"","accountid":%q,"name":%q}`, a.id, a.name)
}

// rows are accounts whose ids and names are in the same order; each name has the given
// number of bytes.
func rows(from, to, bytes int) (all []account) {
	for i := from; i < to; i++ {
		name := fmt.Sprintf("%05d", i)
		all = append(all, account{fmt.Sprintf("00000000-0000-0000-0000-%012d", i), name +
			strings.Repeat("x", max(0, bytes-len(name)))})
	}
	return all
}

// A dataverse answers for Dataverse with what a test puts into it, in pages that go on
// at the position in their link, so that a test can move rows between two readings.
type dataverse struct {
	*httptest.Server
	client      *dynamics.Client
	operations  *Operations
	incarnation string // of every connection

	mu      sync.Mutex
	rows    []account
	changed []string // rows and deletions, as accounts.changes has them
	refuse  func(w http.ResponseWriter, r *http.Request) bool
	asked   []string // request URIs, but for metadata

	metadata  int                  // requests for it
	described func() (int, string) // answers them, if it is not nil
}

var pageSizeAsked = regexp.MustCompile(`odata\.maxpagesize=(\d+)`)

func (d *dataverse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	described := strings.Contains(r.URL.Path, "EntityDefinitions")
	if described {
		d.metadata++
	} else {
		d.asked = append(d.asked, r.RequestURI)
	}
	w.Header().Set("Content-Type", "application/json")
	if d.refuse != nil && d.refuse(w, r) {
		return
	}
	if described && d.described != nil {
		status, body := d.described()
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return
	}
	if r.URL.Path != "/api/data/v9.2/accounts" { // metadata too
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":{"code":"","message":"Resource not found"}}`))
		return
	}
	query, prefer := r.URL.Query(), r.Header.Get("Prefer")
	found := d.rows
	if filter := query.Get("$filter"); filter != "" {
		found = slices.DeleteFunc(slices.Clone(found), func(a account) bool { return !strings.Contains(filter, a.id) })
	}
	all := len(found)
	tracks := strings.Contains(prefer, "odata.track-changes")
	if tracks {
		w.Header().Set("Preference-Applied", prefer)
		all = len(d.changed)
	}
	from, _ := strconv.Atoi(query.Get("$skiptoken"))
	size, _ := strconv.Atoi(pageSizeAsked.FindStringSubmatch(prefer)[1])
	from = min(from, all)
	to := min(from+size, all)
	link, place := "", "$skiptoken"
	switch {
	case to < all:
		link = "@odata.nextLink"
	case tracks:
		link, place = "@odata.deltaLink", "$deltatoken"
	}
	var values []string
	if tracks {
		values = d.changed[from:to]
	} else {
		for _, row := range found[from:to] {
			values = append(values, row.json())
		}
	}
	page := `{"value":[` + strings.Join(values, ",") + `]`
	if query.Get("$count") == "true" {
		page += fmt.Sprintf(`,"@odata.count":%d`, min(all, 5000))
	}
	if link != "" {
		page += fmt.Sprintf(`,%q:"%s/api/data/v9.2/accounts?%s=%d"`, link, d.URL, place, to)
	}
	_, _ = w.Write([]byte(page + "}"))
}

func (d *dataverse) change(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *dataverse) Access(context.Context, string) (dynamics.Access, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return dynamics.Access{Environment: d.URL, Incarnation: d.incarnation, Token: dynamics.NewSecret("x"),
		Tables: []string{"accounts"}}, nil
}

func (d *dataverse) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return d.Access(ctx, connection)
}

// operated starts a consumer of all operations before a Dataverse with the given rows.
func operated(t *testing.T, rows []account) (*dataverse, *messages.Client, *nats.Conn) {
	t.Helper()
	d := &dataverse{rows: rows, incarnation: "1"}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com",
		[]string{strings.TrimPrefix(d.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	if d.client, err = dynamics.New(dynamics.Config{Hosts: hosts, Tokens: d, RetryDelay: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.client.Close)
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		t.Fatal(err)
	}
	d.operations = &Operations{Dynamics: d.client, Tables: messages.Tables(), Sealer: keys,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))}
	requester := served(t, d.operations)
	return d, messages.NewClient(requester), requester
}

// accounts is the entity of the accounts that a dataverse has.
func accounts(t *testing.T) *plan.Entity {
	t.Helper()
	entity, err := plan.NewEntity(messages.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	return entity
}

func routesOf(t testing.TB, operations *Operations) map[messages.Operation]route.Route {
	t.Helper()
	routes, err := operations.Routes()
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

// served starts a NATS server and a consumer of operations there, and returns a
// requester.
func served(t testing.TB, operations *Operations) *nats.Conn {
	t.Helper()
	s := streamstest.Server(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	requester := dial(t, s.ClientURL())
	c, err := interactive.Start(t.Context(), dial(t, s.ClientURL()), routesOf(t, operations),
		interactive.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return requester
}

func dial(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// refusedWith fails the test unless err is an answered error of code whose text has says.
func refusedWith(t *testing.T, err error, code messages.Code, says string) {
	t.Helper()
	fault, ok := err.(*messages.Error)
	if !ok || fault.Code != code || !strings.Contains(fault.Message, says) {
		t.Errorf("%v, want %s: …%s…", err, code, says)
	}
}

// idsOf are the ids of the accounts of a reply.
func idsOf(t *testing.T, accounts []messages.Row) (ids []string) {
	t.Helper()
	for _, a := range accounts {
		var id string
		if err := json.Unmarshal(a["id"], &id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}
