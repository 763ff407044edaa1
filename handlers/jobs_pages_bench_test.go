package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/durable"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// BenchmarkJobPages is jobs of 60 pages of 5000 rows through the durable lane, from the
// message of the job to the end of its results: a real NATS server that syncs each write to
// its disk, and a Dataverse in memory that takes so long for a page. cpu-ns/page and the
// allocations are those of the whole process, the server's included.
// CRMBRIDGE_BENCH_PAGES changes the number of pages.
//
//	go test ./handlers -run '^$' -bench BenchmarkJobPages -benchtime 1x -count 5
func BenchmarkJobPages(b *testing.B) {
	pages := 60
	if text := os.Getenv("CRMBRIDGE_BENCH_PAGES"); text != "" {
		var err error
		if pages, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
		for _, form := range []struct{ name, options string }{{"sequential/plain", `"parallel":false`},
			{"sequential/zstd", `"parallel":false,"encoding":"zstd"`}, {"parallel/plain", `"parallel":true`},
			{"parallel/zstd", `"encoding":"zstd"`}} {
			b.Run(fmt.Sprintf("%s/%s", form.name, wait), func(b *testing.B) {
				d := newPagedServer(pages, 5000, wait)
				l := startBenchLane(b, d)
				run := measure(b)
				for b.Loop() {
					l.run(fmt.Sprintf(`{"page_size":5000,%s}`, form.options))
				}
				run.report(float64(b.N*pages), "page")
			})
		}
	}
}

// BenchmarkSmallJobs is jobs of one page of ten rows, 500 at a time.
//
//	go test ./handlers -run '^$' -bench BenchmarkSmallJobs -benchtime 3x -count 5
func BenchmarkSmallJobs(b *testing.B) {
	const jobs = 500
	d := newPagedServer(1, 10, 0)
	l := startBenchLane(b, d)
	run := measure(b)
	for b.Loop() {
		l.start(jobs, `{"page_size":10,"parallel":false}`)
		l.await(jobs)
	}
	run.report(float64(b.N*jobs), "job")
}

// A measurement is what the process takes while a benchmark runs.
type measurement struct {
	*testing.B
	cpu    time.Duration
	before runtime.MemStats
}

func measure(b *testing.B) *measurement {
	m := &measurement{B: b, cpu: cpu(b)}
	runtime.ReadMemStats(&m.before)
	return m
}

// report says what it took for each of n things.
func (m *measurement) report(n float64, thing string) {
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	m.ReportMetric(n/m.Elapsed().Seconds(), thing+"s/s")
	m.ReportMetric(float64(cpu(m.B)-m.cpu)/n, "cpu-ns/"+thing)
	m.ReportMetric(float64(after.Mallocs-m.before.Mallocs)/n, "allocs/"+thing)
	m.ReportMetric(float64(after.TotalAlloc-m.before.TotalAlloc)/n, "B/"+thing)
}

// A benchLane is a durable lane with a NATS server of its own.
type benchLane struct {
	*testing.B
	js     jetstream.JetStream
	ended  chan struct{}
	number int
}

func startBenchLane(b *testing.B, d *pagedServer) *benchLane {
	b.Helper()
	s := streamstest.Server(b, func(o *server.Options) { o.SyncAlways = true })
	nc, js := streamstest.Connect(b, s)
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		b.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: canned(""), Transport: d})
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
	memory, err := budget.New(budget.Bounds{Bytes: 1 << 30, Reserve: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	lane, err := durable.New(nc, durable.Options{Connections: d, Sealer: keys, Memory: memory})
	if err != nil {
		b.Fatal(err)
	}
	operations := &Operations{Dynamics: client, Tables: messages.Tables(), Sealer: keys, UserCalls: 40,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))}
	if err := lane.Start(b.Context(), routesOf(b, operations), newFreeSlots(192)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := lane.Shutdown(ctx); err != nil {
			b.Error(err)
		}
	})
	l := &benchLane{B: b, js: js, ended: make(chan struct{}, 10_000)}
	readers, _ := streamstest.Connect(b, s)
	if _, err := readers.Subscribe(messages.ResultSubjects, func(msg *nats.Msg) {
		if msg.Header.Get(messages.HeaderErrorCode) != "" {
			b.Errorf("a job failed: %s", msg.Data)
		}
		if msg.Header.Get(messages.HeaderLast) == "true" {
			l.ended <- struct{}{}
		}
	}); err != nil {
		b.Fatal(err)
	}
	if err := readers.Flush(); err != nil {
		b.Fatal(err)
	}
	return l
}

// start publishes jobs.
func (l *benchLane) start(n int, body string) {
	l.Helper()
	for range n {
		l.number++
		subject := messages.Accounts.Operation(messages.VerbSearch).JobSubject("acme", fmt.Sprintf("j%d", l.number))
		if _, err := l.js.PublishAsync(subject, []byte(body)); err != nil {
			l.Fatal(err)
		}
	}
}

// await waits until so many jobs have ended.
func (l *benchLane) await(n int) {
	l.Helper()
	end := time.After(5 * time.Minute)
	for range n {
		select {
		case <-l.ended:
		case <-end:
			l.Fatal("the jobs have no end")
		}
	}
}

func (l *benchLane) run(body string) {
	l.Helper()
	l.start(1, body)
	l.await(1)
}

// freeSlots are slots that nobody else wants.
type freeSlots struct {
	slots chan struct{}
	freed chan struct{}
}

func newFreeSlots(n int) *freeSlots {
	return &freeSlots{slots: make(chan struct{}, n), freed: make(chan struct{}, 1)}
}

func (s *freeSlots) Take() bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *freeSlots) Give() {
	<-s.slots
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

func (s *freeSlots) Freed() <-chan struct{} { return s.freed }

// A pagedServer is a Dataverse in memory with one table, which has as many pages as it is
// told, of rows that were created in the same second. Ranges of time are answered from the
// page of their first second on.
type pagedServer struct {
	pages, rows int
	wait        time.Duration
	page        []byte // with the second of all rows at times
	times       []int
}

// pagedFrom is the second of the first page's rows.
const pagedFrom = 1_600_000_000

func newPagedServer(pages, rows int, wait time.Duration) *pagedServer {
	d := &pagedServer{pages: pages, rows: rows, wait: wait}
	page := searchPage(rows)
	page = strings.TrimSuffix(page, "]}")
	var all bytes.Buffer
	for row := range strings.SplitAfterSeq(page, `"numberofemployees":120`) {
		all.WriteString(row)
		if strings.HasSuffix(row, "120") {
			all.WriteString(`,"createdon":"`)
			d.times = append(d.times, all.Len())
			all.WriteString(`2020-01-01T00:00:00Z"`)
		}
	}
	d.page = all.Bytes()
	return d
}

// Incarnation is that of [canned].
func (d *pagedServer) Incarnation(context.Context, string) (string, error) { return "1", nil }

var rangeBounds = regexp.MustCompile(`createdon (ge|lt) ([0-9TZ:-]+)`)

func (d *pagedServer) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	var body io.Reader
	switch {
	case strings.Contains(r.URL.Path, "RetrieveTotalRecordCount"):
		body = strings.NewReader(fmt.Sprintf(`{"EntityRecordCountCollection":{"Keys":["account"],"Values":[%d]}}`,
			d.pages*d.rows))
	case strings.HasSuffix(r.URL.Path, "/accounts"):
		select {
		case <-time.After(d.wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		var err error
		if body, err = d.answer(query.Get("$filter"), query.Get("$orderby"), query.Get("$skiptoken"), query.Encode()); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("no such path: " + r.URL.Path)
	}
	return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body), ContentLength: -1}, nil
}

// answer is one page.
func (d *pagedServer) answer(filter, order, token, options string) (io.Reader, error) {
	from, to := 0, d.pages
	for _, bound := range rangeBounds.FindAllStringSubmatch(filter, -1) {
		at, err := time.Parse(time.RFC3339, bound[2])
		if err != nil {
			return nil, err
		}
		if page := int(at.Unix() - pagedFrom); bound[1] == "ge" {
			from = max(from, page)
		} else {
			to = min(to, page)
		}
	}
	if strings.Contains(filter, "createdon eq null") {
		to = 0
	}
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil {
			return nil, err
		}
	}
	if from >= to {
		return strings.NewReader(`{"value":[]}`), nil
	}
	if strings.HasPrefix(order, "createdon desc") {
		from = to - 1
	}
	second := time.Unix(pagedFrom+int64(from), 0).UTC().Format(time.RFC3339)
	page := bytes.Clone(d.page)
	for _, at := range d.times {
		copy(page[at:], second)
	}
	end := "]}"
	if from+1 < to && !strings.Contains(options, "%24top=1") {
		link, err := json.Marshal(fmt.Sprintf("https://acme.crm4.dynamics.com/api/data/v9.2/accounts?%s&%%24skiptoken=%d",
			withoutToken(options), from+1))
		if err != nil {
			return nil, err
		}
		end = `],"@odata.nextLink":` + string(link) + "}"
	}
	return io.MultiReader(bytes.NewReader(page), strings.NewReader(end)), nil
}

// withoutToken is a query without the place of a page.
func withoutToken(options string) string {
	kept := strings.Split(options, "&")
	var out []string
	for _, option := range kept {
		if !strings.HasPrefix(option, "%24skiptoken=") {
			out = append(out, option)
		}
	}
	return strings.Join(out, "&")
}
