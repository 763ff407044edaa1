package dynamics_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

// BenchmarkSmallSearch and its siblings are one small search from Open to its page, with
// the gate of the fleet, a memory budget and a filter of its own each time.
//
//	go test ./dynamics -run '^$' -bench BenchmarkSmallSearch -benchmem -count 5
func BenchmarkSmallSearch(b *testing.B) { benchmarkSmall(b, inMemory(b, smallPage(10)), 1) }

// BenchmarkSmallSearchLoopback has HTTP/1.1 and a server, in this process, in addition.
func BenchmarkSmallSearchLoopback(b *testing.B) { benchmarkSmall(b, onLoopback(b, smallPage(10)), 1) }

func BenchmarkSmallSearchLoopback16(b *testing.B) {
	benchmarkSmall(b, onLoopback(b, smallPage(10)), 16)
}

// smallPage is a page of ten columns, as Dataverse sends it.
func smallPage(rows int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"@odata.context":"https://o.crm.dynamics.com/api/data/v9.2/$metadata#accounts(accountid,name)","value":[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"@odata.etag":"W/\"%d\"","accountid":"%s","name":"Contoso %d AG","websiteurl":"https://contoso-%d.example",`+
			`"telephone1":"+49 30 %07d","address1_city":"Köln","industrycode@OData.Community.Display.V1.FormattedValue":"Consulting",`+
			`"industrycode":%d,"numberofemployees":%d,"revenue":%d.0000,"createdon":"2023-04-07T21:59:01Z",`+
			`"_ownerid_value@OData.Community.Display.V1.FormattedValue":"Ada Example",`+
			`"_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser","_ownerid_value":"%s"}`,
			i, guid(i), i, i, i, i%33, i, i, guid(1))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

var smallSelect = []dynamics.Output{
	output("accountid", dynamics.UniqueID), output("name", dynamics.Text), output("websiteurl", dynamics.Text),
	output("telephone1", dynamics.Text), output("address1_city", dynamics.Text), output("industrycode", dynamics.Choice),
	output("numberofemployees", dynamics.Integer), output("revenue", dynamics.Money),
	output("createdon", dynamics.DateTime), output("ownerid", dynamics.Lookup),
}

// smallRig is a client with everything that production gives it.
type smallRig struct {
	client *dynamics.Client
	budget *budget.Budget
	asked  atomic.Int64
}

func inMemory(t testing.TB, page []byte) *smallRig {
	return newSmallRig(t, "https://o.crm.dynamics.com", policy(t, publicCloud, false), &replayed{page: page})
}

func onLoopback(t testing.TB, page []byte) *smallRig {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
		w.Header().Set("X-Ms-Service-Request-Id", someID)
		_, _ = w.Write(page)
	}))
	t.Cleanup(server.Close)
	hosts, err := dynamics.NewHostPolicy(publicCloud, []string{strings.TrimPrefix(server.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	return newSmallRig(t, server.URL, hosts, nil)
}

func newSmallRig(t testing.TB, environment string, hosts *dynamics.HostPolicy, transport http.RoundTripper) *smallRig {
	shared := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = shared.Close() })
	gate, err := throttle.New(throttle.Config{Redis: shared})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gate.Close)
	r := &smallRig{}
	if r.budget, err = budget.New(budget.Bounds{Bytes: 1 << 30, Reserve: 64 << 20, Intake: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	source := &given{dynamics.Access{Tables: told, Environment: environment, Incarnation: "1",
		Token:     dynamics.NewSecret(entraToken),
		Principal: dynamics.Principal{Organization: someID, User: guid(7)}}}
	r.client, err = dynamics.New(dynamics.Config{Tokens: source, Hosts: hosts, Gate: gate, Transport: transport,
		Observe: func(context.Context, dynamics.Call) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	return r
}

// entraToken is as long as Entra's, with a signature of RSA-256.
var entraToken = func() string {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	return "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9." + text(1400) + "." + text(342)
}()

// given is a token source that has its answer.
type given struct{ access dynamics.Access }

func (g *given) Access(context.Context, string) (dynamics.Access, error) { return g.access, nil }

func (g *given) Refused(context.Context, string, dynamics.Access) (dynamics.Access, error) {
	return g.access, nil
}

// replayed answers from memory, with as little of its own as possible.
type replayed struct{ page []byte }

func (a *replayed) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: replayedHeader, Body: io.NopCloser(bytes.NewReader(a.page)),
		Request: req}, nil
}

var replayedHeader = http.Header{"Content-Type": {"application/json"}, "X-Ms-Service-Request-Id": {someID}}

// search is one search.
func (r *smallRig) search(t testing.TB, ctx context.Context) {
	account, err := r.budget.Open(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer account.Close()
	r.page(t, budget.With(ctx, account))
}

func (r *smallRig) page(t testing.TB, ctx context.Context) {
	session, err := r.client.Open(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	q := dynamics.Query{Select: smallSelect, PageSize: 10, Filter: dynamics.And{
		dynamics.Test{Column: column("name", dynamics.Text), Op: dynamics.StartsWith,
			Values: []string{"C" + strconv.FormatInt(r.asked.Add(1), 10)}},
		dynamics.Test{Column: column("numberofemployees", dynamics.Integer), Op: dynamics.Ge, Values: []string{"50"}},
	}}
	p, err := session.Prepare(accounts, q)
	if err != nil {
		t.Fatal(err)
	}
	page, err := session.Page(ctx, p, "")
	if err != nil || page.Len() != 10 {
		t.Fatal(err)
	}
	page.Release()
}

func benchmarkSmall(b *testing.B, r *smallRig, inFlight int) {
	ctx, cancel := context.WithTimeout(dynamics.WithRequestID(b.Context(), someID), 50*time.Second) // as the interactive lane's, within one attempt's
	defer cancel()
	for range 3 {
		r.search(b, ctx)
	}
	b.ReportAllocs()
	before := cpuOf(b)
	if inFlight == 1 {
		for b.Loop() {
			r.search(b, ctx)
		}
	} else {
		b.SetParallelism((inFlight + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.search(b, ctx)
			}
		})
	}
	b.ReportMetric(float64(cpuOf(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpuOf(b testing.TB) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
