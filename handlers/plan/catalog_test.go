package plan

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// environment is an emulated one whose requests for metadata are counted.
type environment struct {
	*emulator.Server
	control emulator.Control
	client  *dynamics.Client

	mu     sync.Mutex
	read   []string // paths of metadata
	asJobs int      // requests that give way to others
}

// RoundTrip lets a request go to the environment.
func (e *environment) RoundTrip(r *http.Request) (*http.Response, error) {
	if dynamics.Background(r.Context()) {
		e.mu.Lock()
		e.asJobs++
		e.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (e *environment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "EntityDefinitions") {
		e.mu.Lock()
		e.read = append(e.read, r.URL.Path)
		e.mu.Unlock()
	}
	e.Server.ServeHTTP(w, r)
}

func (e *environment) reads() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.read)
}

// granted is one access for every connection; the incarnation is the connection's name.
type granted struct{ access dynamics.Access }

func (g granted) Access(_ context.Context, connection string) (dynamics.Access, error) {
	access := g.access
	access.Incarnation = connection
	return access, nil
}

func (g granted) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return g.Access(ctx, connection)
}

func emulate(t *testing.T) *environment {
	t.Helper()
	server, err := emulator.New(emulator.Options{Accounts: 5, Contacts: -1})
	if err != nil {
		t.Fatal(err)
	}
	e := &environment{Server: server, control: server.Control()}
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	resp, err := http.PostForm(web.URL+"/"+emulator.DefaultTenantID+"/oauth2/v2.0/token",
		url.Values{"grant_type": {"client_credentials"},
			"client_id": {emulator.DefaultClientID}, "client_secret": {emulator.DefaultClientSecret}, "scope": {web.URL + "/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil || grant.Token == "" {
		t.Fatalf("no token: %s %v", resp.Status, err)
	}
	hosts, err := dynamics.NewHostPolicy(web.URL, []string{strings.TrimPrefix(web.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	e.client, err = dynamics.New(dynamics.Config{Hosts: hosts, RetryDelay: time.Millisecond, Transport: e,
		Tokens: granted{dynamics.Access{Environment: web.URL, Tables: []string{"accounts"},
			Token: dynamics.NewSecret(grant.Token)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.client.Close)
	return e
}

func (e *environment) open(t *testing.T, connection string) *dynamics.Session {
	t.Helper()
	session, err := e.client.Open(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// A fleet is a cache that processes of a test share.
type fleet struct {
	mu      sync.Mutex
	kept    map[string][]byte
	claimed bool
	refused chan struct{} // closed when a claim is refused, if it is not nil
	fails   error
}

func (f *fleet) Get(_ context.Context, connection, incarnation, kind string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept[connection+"/"+incarnation+"/"+kind], f.fails
}

func (f *fleet) Put(_ context.Context, connection, incarnation, kind string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		f.kept = map[string][]byte{}
	}
	f.kept[connection+"/"+incarnation+"/"+kind] = value
	return f.fails
}

func (f *fleet) Claim(context.Context, string, string) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil || f.claimed {
		if f.refused != nil {
			close(f.refused)
			f.refused = nil
		}
		return nil, f.fails
	}
	f.claimed = true
	return func() { f.mu.Lock(); f.claimed = false; f.mu.Unlock() }, nil
}

func catalogOf(cache Cache, most int64) *Catalog {
	return NewCatalog(cache, most, slog.New(slog.DiscardHandler))
}

// columnsOf are the columns of a session, or the end of the test.
func columnsOf(t *testing.T, c *Catalog, session *dynamics.Session) map[string]dynamics.TableColumn {
	t.Helper()
	all, err := c.Of(session, accounts).All(t.Context(), MaxAge)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d columns, %v", len(all), err)
	}
	return all
}

// What one process has read the others take from the cache; a cache that is away costs no
// more than a reading of their own.
func TestTheFleetReadsOnce(t *testing.T) {
	e, shared := emulate(t), &fleet{}
	one, other := catalogOf(shared, 0), catalogOf(shared, 0)
	first := columnsOf(t, one, e.open(t, "acme"))
	read := e.reads()
	if read == 0 {
		t.Fatal("nothing was read")
	}
	for range 3 {
		if got := columnsOf(t, other, e.open(t, "acme")); len(got) != len(first) {
			t.Errorf("%d columns of %d", len(got), len(first))
		}
	}
	if e.reads() != read {
		t.Errorf("%d readings, want %d", e.reads(), read)
	}
	columnsOf(t, other, e.open(t, "globex"))
	if e.reads() <= read {
		t.Error("two connections share what their users may see")
	}
	shared.fails = errors.New("the cache is away")
	if got := columnsOf(t, catalogOf(shared, 0), e.open(t, "acme")); len(got) != len(first) {
		t.Errorf("%d columns of %d", len(got), len(first))
	}
}

// Requests wait for what a job reads for all, so that its calls do not give way.
func TestAJobReadsMetadataForAll(t *testing.T) {
	e := emulate(t)
	ctx := dynamics.WithBackground(t.Context())
	all, err := catalogOf(&fleet{}, 0).Of(e.open(t, "acme"), accounts).All(ctx, MaxAge)
	if err != nil || len(all) == 0 || e.reads() == 0 {
		t.Fatalf("%d columns, %d readings, %v", len(all), e.reads(), err)
	}
	if e.asJobs != 0 {
		t.Errorf("%d of its calls give way", e.asJobs)
	}
}

// While another process reads, a request waits for it, and takes what it has read.
func TestAnotherProcessReads(t *testing.T) {
	refused := make(chan struct{})
	e, shared := emulate(t), &fleet{claimed: true, refused: refused}
	kept := &fleet{}
	columnsOf(t, catalogOf(kept, 0), e.open(t, "acme"))
	read := e.reads()
	done := make(chan struct{})
	go func() { // the other one ends after the first look
		defer close(done)
		<-refused
		shared.mu.Lock()
		shared.kept, shared.claimed = kept.kept, false
		shared.mu.Unlock()
	}()
	columnsOf(t, catalogOf(shared, 0), e.open(t, "acme"))
	<-done
	if e.reads() != read {
		t.Errorf("%d readings, want %d", e.reads(), read)
	}
	shared.claimed, shared.kept = true, nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := catalogOf(shared, 0).Of(e.open(t, "acme"), accounts).All(ctx, MaxAge); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A catalog holds no more memory than it may; what does not fit at all is read for its
// request alone.
func TestTheMemoryOfACatalog(t *testing.T) {
	e := emulate(t)
	whole := catalogOf(nil, 0)
	session := e.open(t, "acme")
	columnsOf(t, whole, session)
	size := whole.entry(session, accounts).size
	if size <= 0 {
		t.Fatalf("%d bytes", size)
	}
	few := catalogOf(nil, 5*size)
	for _, connection := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		columnsOf(t, few, e.open(t, connection))
		total := int64(0)
		for _, entry := range few.entries {
			total += entry.size
		}
		if total > 5*size {
			t.Errorf("%d bytes are held, of at most %d", total, 5*size)
		}
		if total != few.total || few.order.Len() != len(few.entries) {
			t.Errorf("%d bytes in %d entries are counted as %d in %d", total, len(few.entries), few.total, few.order.Len())
		}
	}
	if len(few.entries) >= 8 || few.entries[catalogKey{"h", "h", "", "accounts"}] == nil {
		t.Errorf("%d connections are remembered", len(few.entries))
	}
	none := catalogOf(nil, size)
	columnsOf(t, none, session)
	if got := none.entry(session, accounts).size; got != 0 {
		t.Errorf("%d bytes are kept of what takes more than a quarter", got)
	}
	used := none.entry(session, accounts)
	for i := range maxEntries + 10 {
		none.entry(e.open(t, strings.Repeat("x", 1+i%60)+string(rune('a'+i/60))), accounts)
		if none.entry(session, accounts) != used {
			t.Fatal("what is used all the time was dropped")
		}
	}
	if len(none.entries) > maxEntries || none.order.Len() != len(none.entries) {
		t.Errorf("%d entries, %d in order", len(none.entries), none.order.Len())
	}
}

// A plan that Dataverse does not accept is made once more, with metadata newer than that
// which proved wrong; an environment that keeps disagreeing is not read each time.
func TestReplan(t *testing.T) {
	e := emulate(t)
	catalog, session := catalogOf(nil, 0), e.open(t, "acme")
	gone := func(tries *int) func(Planner) error {
		return func(p Planner) error {
			*tries++
			if _, err := p.Fields(t.Context(), []string{"cb_lastcampaign"}); err != nil {
				return err
			}
			return &dynamics.Error{Kind: dynamics.UnknownColumn, Column: "cb_lastcampaign"}
		}
	}
	tries := 0
	if err := catalog.Replan(session, accounts, gone(&tries)); dynamics.KindOf(err) != dynamics.UnknownColumn ||
		tries != 2 {
		t.Errorf("%v after %d tries", err, tries)
	}
	read := e.reads()
	if tries = 0; catalog.Replan(session, accounts, gone(&tries)) == nil || tries != 2 || e.reads() != read {
		t.Errorf("%d tries, %d readings more", tries, e.reads()-read)
	}
	other := errors.New("some other")
	if err := catalog.Replan(session, accounts, func(Planner) error { tries++; return other }); !errors.Is(err, other) || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// Names are looked up as friendly, logical, or in the metadata; what is meant is guessed.
func TestNamesOfColumns(t *testing.T) {
	e := emulate(t)
	p := Planner{columns: catalogOf(nil, 0).Of(e.open(t, "acme"), accounts)}
	outputs, err := p.Fields(t.Context(), []string{"industry", "industrycode", "cb_channels", "cb_lastcampaign"})
	if err != nil || len(outputs) != 4 || outputs[0].Column != outputs[1].Column || outputs[0].As != "industry" ||
		len(outputs[2].Labels) == 0 ||
		outputs[3].Column.Type != dynamics.Date {
		t.Fatalf("%+v, %v", outputs, err)
	}
	for name, says := range map[string]string{"indutry": "did you mean industry?", "createdno": "did you mean created_at?", "cb_chanels": "did you mean cb_channels", "x": "use a friendly name",
		strings.Repeat("x", 70): "there is no such field"} {
		_, err := p.Fields(t.Context(), []string{name})
		refusedWith(t, err, messages.InvalidRequest, says)
	}
	_, err = p.Search(t.Context(), messages.SearchRequest{OrderBy: []string{"cb_channels"}})
	refusedWith(t, err, messages.InvalidRequest, "holds several choices")
	where := leafOf("cb_channels", messages.ContainsAny, `["email"]`)
	query, err := p.Search(t.Context(), messages.SearchRequest{Where: &where, PageSize: 100, Limit: 7,
		OrderBy: []string{"-cb_lastcampaign"}, IncludeTotal: true})
	if test, ok := query.Filter.(dynamics.Test); err != nil || query.PageSize != 7 || !query.Count ||
		!query.OrderBy[0].Desc || !ok || len(test.Values) != 1 {
		t.Errorf("%+v, %v", query, err)
	}
	set, err := p.columns.Options(t.Context(), dynamics.Column{Logical: "statecode", Type: dynamics.Choice}, MaxAge)
	if err != nil || len(set.Options) != 2 {
		t.Errorf("%+v, %v", set, err)
	}
	if accounts.NameOf("industrycode") != "industry" || accounts.NameOf("cb_channels") != "cb_channels" {
		t.Error("columns have other names")
	}
	if err := Refused(&dynamics.Error{Kind: dynamics.Invalid, Message: "is wrong"}, "x"); !strings.Contains(err.Error(), "is wrong") {
		t.Error(err)
	}
}
