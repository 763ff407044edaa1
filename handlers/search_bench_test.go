package handlers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// BenchmarkSearchTenRows and its siblings are one search from the NATS message to its
// reply, with a real NATS server and no HTTP: the page is in memory. cpu-ns/op is the
// time of the whole process, requester and NATS server included.
//
//	go test ./handlers -run '^$' -bench BenchmarkSearch -benchmem -count 5
func BenchmarkSearchTenRows(b *testing.B) {
	benchmarkSearch(b, 10, `{"connection":"acme"}`)
}

func BenchmarkSearchTenRowsFiltered(b *testing.B) {
	benchmarkSearch(b, 10, `{"connection":"acme","order_by":["-employees","name"],"where":{"and":[`+
		`{"field":"industry","op":"in","value":[1,7,12]},{"field":"city","op":"starts_with","value":"B"},`+
		`{"or":[{"field":"employees","op":"ge","value":50},{"field":"email","op":"is_null"}]}]}}`)
}

func BenchmarkSearchHundredRows(b *testing.B) {
	benchmarkSearch(b, 100, `{"connection":"acme"}`)
}

func benchmarkSearch(b *testing.B, rows int, body string) {
	nc := searched(b, canned(searchPage(rows)))
	subject := messages.Accounts.Operation(messages.VerbSearch).Subject()
	ask := func() {
		reply, err := nc.Request(subject, []byte(body), 10*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if n := strings.Count(string(reply.Data), `"classification":{`); n != rows {
			b.Fatalf("%d rows in %.200s", n, reply.Data)
		}
	}
	ask() // what is made once is made before
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		ask()
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpu is the time that the process has had on processors.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// searchPage is a page of accounts with the default fields as Dataverse sends it.
func searchPage(rows int) string {
	var page strings.Builder
	page.WriteString(`{"@odata.context":"https://acme.crm4.dynamics.com/api/data/v9.2/$metadata#accounts(accountid,name)","value":[`)
	for i := range rows {
		if i > 0 {
			page.WriteByte(',')
		}
		fmt.Fprintf(&page, `{"@odata.etag":"W/\"%d\"","accountid":"00000000-0000-0000-0000-%012d","name":"Fabrikam %d",`+
			`"websiteurl":"https://www.fabrikam.example/%d","accountclassificationcode@OData.Community.Display.V1.FormattedValue":"Default Value",`+
			`"accountclassificationcode":1,"industrycode@OData.Community.Display.V1.FormattedValue":"Consulting","industrycode":7,`+
			`"numberofemployees":120}`, 1000+i, i, i, i)
	}
	return page.String() + "]}"
}

// canned is a Dataverse that answers each request with the same page.
type canned string

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(c))),
		ContentLength: int64(len(c))}, nil
}

func (canned) Access(context.Context, string) (dynamics.Access, error) {
	return dynamics.Access{Tables: []string{"accounts"}, Environment: "https://acme.crm4.dynamics.com", Incarnation: "1",
		Token: dynamics.NewSecret(strings.Repeat("eyJ0eXAiOiJKV1Qi", 90)),
		Principal: dynamics.Principal{Organization: "11111111-2222-3333-4444-555555555555",
			User: "11111111-2222-3333-4444-666666666666"}}, nil
}

func (c canned) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return c.Access(ctx, connection)
}

// searched starts a NATS server and a consumer of all operations, and returns a
// requester's connection.
func searched(b *testing.B, environment canned) *nats.Conn {
	s := streamstest.Server(b, nil)
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		b.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: environment, Transport: environment})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		b.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		b.Fatal(err)
	}
	var conns [2]*nats.Conn
	for i := range conns {
		if conns[i], err = nats.Connect(s.ClientURL()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(conns[i].Close)
	}
	operations := &Operations{Dynamics: client, Tables: messages.Tables(), Sealer: keys,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))}
	c, err := interactive.Start(b.Context(), conns[0], routesOf(b, operations),
		interactive.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			b.Error(err)
		}
	})
	return conns[1]
}
