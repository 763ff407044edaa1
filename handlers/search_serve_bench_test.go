package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// BenchmarkServe is one small search from its body to its part, without NATS and HTTP: ten
// fields of mixed types, and a filter of its own in each request so that nothing is shared.
//
//	go test ./handlers -run '^$' -bench BenchmarkServe -benchmem -count 5
func BenchmarkServe(b *testing.B) {
	serve := servedSmall(b)
	body := smallSearch(nil, 0)
	serve(body) // what is made once is made before
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		body = smallSearch(body[:0], i)
		serve(body)
	}
}

// smallFields are ten fields of all types that a small search asks for.
const smallFields = `"id","name","website","industry","employees","revenue","created_at","do_not_email","owner","city"`

// smallSearch is the body of a search with a filter of its own.
func smallSearch(dst []byte, i int) []byte {
	dst = append(dst, `{"connection":"acme","fields":[`+smallFields+`],"where":{"and":[{"field":"industry","op":"in",`+
		`"value":[1,7]},{"field":"employees","op":"ge","value":`...)
	return append(strconv.AppendInt(dst, int64(i), 10), `}]},"page_size":10}`...)
}

// smallPage is the page that answers it.
func smallPage(rows int) string {
	var page strings.Builder
	page.WriteString(`{"@odata.context":"https://acme.crm4.dynamics.com/api/data/v9.2/$metadata#accounts(accountid,name)","value":[`)
	for i := range rows {
		if i > 0 {
			page.WriteByte(',')
		}
		fmt.Fprintf(&page, `{"@odata.etag":"W/\"%d\"","accountid":"00000000-0000-0000-0000-%012d","name":"Fabrikam %d",`+
			`"websiteurl":"https://www.fabrikam.example/%d","industrycode@OData.Community.Display.V1.FormattedValue":"Consulting",`+
			`"industrycode":7,"numberofemployees":120,"revenue":1200000.0000,"createdon":"2024-01-31T09:30:00Z","donotemail":false,`+
			`"_ownerid_value@OData.Community.Display.V1.FormattedValue":"Jo Smith",`+
			`"_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser",`+
			`"_ownerid_value":"11111111-2222-3333-4444-%012d","address1_city":"Basel"}`, 1000+i, i, i, i, i)
	}
	return page.String() + "]}"
}

// servedSmall returns what runs one search as a lane does, from its body to its part.
func servedSmall(tb testing.TB) func(body []byte) {
	environment := canned(smallPage(10))
	search := searchRoute(tb, environment)
	ctx := dynamics.WithRequestID(tb.Context(), "0f9a5a52-6f0e-4d3c-9c1b-2f6f7d7c9f10")
	call := route.Call{Operation: messages.Accounts.Operation(messages.VerbSearch),
		RequestID: "0f9a5a52-6f0e-4d3c-9c1b-2f6f7d7c9f10", Named: "acme",
		Deadline: time.Now().Add(time.Hour), Budget: 1 << 20}
	return func(body []byte) {
		for part, err := range search.Serve(ctx, call, body).Parts {
			if err != nil || part.Rows != 10 || !part.Last {
				tb.Fatalf("%d rows, %v", part.Rows, err)
			}
		}
	}
}

// inMemory is a Dataverse that needs no network.
type inMemory interface {
	dynamics.TokenSource
	http.RoundTripper
}

// searchRoute is the route of a search of accounts in an environment.
func searchRoute(tb testing.TB, environment inMemory) route.Route {
	return routesOf(tb, operationsOf(tb, environment))[messages.Accounts.Operation(messages.VerbSearch)]
}

func operationsOf(tb testing.TB, environment inMemory) *Operations {
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: environment, Transport: environment})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return &Operations{Dynamics: client, Tables: messages.Tables(), Sealer: keys,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))}
}

// decoded is the search of a body.
func decoded(tb testing.TB, body []byte) messages.SearchRequest {
	in, fault := messages.Decode[messages.SearchRequest](body)
	if fault != nil {
		tb.Fatal(fault)
	}
	return in
}

// paged is a Dataverse in memory with pages of ten rows, each of which takes its time.
type paged struct {
	canned
	pages       int
	delay       time.Duration
	asked       atomic.Int64
	incarnation atomic.Int64
}

func (p *paged) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "EntityDefinitions") {
		return canned(`{"value":[]}`).RoundTrip(r)
	}
	p.asked.Add(1)
	select {
	case <-time.After(p.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	var body strings.Builder
	body.WriteString(`{"value":[`)
	for i := range 10 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"accountid":"00000000-0000-0000-0000-%012d","name":"Fabrikam"}`, 10*page+i)
	}
	body.WriteByte(']')
	if page+1 < p.pages {
		fmt.Fprintf(&body, `,"@odata.nextLink":"https://acme.crm4.dynamics.com/api/data/v9.2/accounts?$skiptoken=%d"`, page+1)
	}
	return canned(body.String() + "}").RoundTrip(r)
}

func (p *paged) Access(ctx context.Context, connection string) (dynamics.Access, error) {
	access, err := p.canned.Access(ctx, connection)
	access.Incarnation = strconv.FormatInt(p.incarnation.Load(), 10)
	return access, err
}

func (p *paged) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return p.Access(ctx, connection)
}
