package dynamics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// A herd answers as an environment with these accounts would: counts up to a
// limit, and pages.
type herd struct {
	created  []time.Time // zero: without
	limit    int         // of aggregates; 0: $apply is refused
	refusal  int         // its status
	most     int         // on a page
	url      func() string
	mu       sync.Mutex
	counts   []string // filters that were counted
	read     int      // pages
	underWay atomic.Int32
	most4    atomic.Int32 // most under way at once
}

var bound = regexp.MustCompile(`createdon (ge|lt) (\S+?)\)*(?: and |$)`)

// matching counts the accounts in the bounds that a filter ends in.
func (h *herd) matching(t *testing.T, filter string) int {
	var from, to time.Time
	for _, m := range bound.FindAllStringSubmatch(filter, -1) {
		at, err := time.Parse(time.RFC3339, strings.TrimRight(m[2], ")"))
		if err != nil {
			t.Errorf("%q: %v", filter, err)
		}
		if m[1] == "ge" {
			from = at
		} else {
			to = at
		}
	}
	without, with := strings.Contains(filter, "createdon eq null"), strings.Contains(filter, "createdon")
	n := 0
	for _, at := range h.created {
		switch {
		case at.IsZero():
			if without || !with {
				n++
			}
		case !without && !at.Before(from) && (to.IsZero() || at.Before(to)):
			n++
		}
	}
	return n
}

func (h *herd) serve(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		n := h.underWay.Add(1)
		defer h.underWay.Add(-1)
		for most := h.most4.Load(); n > most && !h.most4.CompareAndSwap(most, n); most = h.most4.Load() {
		}
		query := req.URL.Query()
		if apply := query.Get("$apply"); apply != "" {
			h.count(t, w, apply)
			return
		}
		h.page(t, w, req, query)
	}
}

func (h *herd) count(t *testing.T, w http.ResponseWriter, apply string) {
	filter, counted := strings.CutSuffix(apply, "aggregate($count as c)")
	if !counted {
		t.Errorf("$apply=%s", apply)
	}
	filter = strings.TrimSuffix(strings.TrimPrefix(filter, "filter("), ")/")
	h.mu.Lock()
	h.counts = append(h.counts, filter)
	h.mu.Unlock()
	switch n := h.matching(t, filter); {
	case h.limit == 0:
		w.WriteHeader(h.refusal)
	case n > h.limit:
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":{"code":"0x8004E023","message":"The maximum record limit is exceeded. Reduce the number of records."}}`)
	default:
		_, _ = fmt.Fprintf(w, `{"value":[{"c":%d}]}`, n)
	}
}

// page answers the one-row queries for the least and the greatest time, and
// pages of ids.
func (h *herd) page(t *testing.T, w http.ResponseWriter, req *http.Request, query url.Values) {
	filter := query.Get("$filter")
	if order := query.Get("$orderby"); strings.HasPrefix(order, "createdon ") {
		if req.Header.Get("Prefer") != "odata.maxpagesize=1" || query.Get("$select") != "createdon,accountid" {
			t.Errorf("%q, %v", req.Header.Get("Prefer"), query)
		}
		var found time.Time
		for _, at := range h.created {
			if !at.IsZero() && (found.IsZero() || strings.Contains(order, "desc") == at.After(found)) {
				found = at
			}
		}
		if found.IsZero() {
			_, _ = io.WriteString(w, emptyPage)
			return
		}
		_, _ = fmt.Fprintf(w, `{"value":[{"accountid":"%s","createdon":"%s"}],"@odata.nextLink":"%s/api/data/v9.2/accounts?x=%s"}`, guid(1), found.Format(time.RFC3339), h.url(), order[10:13])
		return
	}
	if req.Header.Get("Prefer") != "odata.maxpagesize=5000" || query.Get("$select") != "accountid" {
		t.Errorf("%q, %v", req.Header.Get("Prefer"), query)
	}
	h.mu.Lock()
	h.read++
	h.mu.Unlock()
	var from int
	_, _ = fmt.Sscan(query.Get("from"), &from) // absent on the first page
	left := h.matching(t, filter) - from
	rows := make([]string, min(left, h.most))
	for i := range rows {
		rows[i] = `{"accountid":"` + guid(from+i) + `"}`
	}
	next := ""
	if left > h.most {
		query.Set("from", fmt.Sprint(from+h.most))
		next = fmt.Sprintf(`,"@odata.nextLink":"%s/api/data/v9.2/accounts?%s"`, h.url(), query.Encode())
	}
	_, _ = fmt.Fprintf(w, `{"value":[%s]%s}`, strings.Join(rows, ","), next)
}

func (h *herd) rig(t *testing.T) *rig {
	r := newRig(t, h.serve(t))
	h.url = func() string { return r.URL }
	if h.most == 0 {
		h.most = 5000
	}
	return r
}

// made are n times from start on, apart by step.
func made(start string, step time.Duration, n int) []time.Time {
	at, err := time.Parse(time.RFC3339, start)
	if err != nil {
		panic(err)
	}
	out := make([]time.Time, n)
	for i := range out {
		out[i] = at.Add(time.Duration(i) * step)
	}
	return out
}

func TestCountsBeyondTheAggregateLimit(t *testing.T) {
	var none []time.Time
	for _, c := range []struct {
		name    string
		created []time.Time
		calls   int // at most
		read    int // pages at least
	}{
		{"evenly over years", made("2015-01-01T00:00:00Z", 24*time.Hour, 3000), 250, 0},
		{"within an hour, and two long before and after", append(made("2020-06-01T12:00:00Z", time.Second, 1000), made("2001-01-01T00:00:00Z", 25*365*24*time.Hour, 2)...), 200, 0},
		{"all in one second", made("2020-06-01T12:00:00Z", 0, 500), 60, 5},
		{"two seconds", append(made("2020-06-01T12:00:00Z", 0, 300), made("2020-06-01T12:00:01Z", 0, 300)...), 60, 6},
		{"two seconds of sixteen", append(append(made("2020-06-01T12:00:00Z", 0, 40), made("2020-06-01T12:00:01Z", 0, 40)...), made("2020-06-01T12:00:15Z", 0, 40)...), 20, 0},
		{"some without a time", append(make([]time.Time, 250), made("2020-06-01T12:00:00Z", time.Minute, 250)...), 80, 3},
		{"none with a time", append(none, make([]time.Time, 250)...), 40, 3},
		{"before 1970", made("1953-01-01T00:00:00Z", 240*time.Hour, 1000), 200, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &herd{created: c.created, limit: 50, most: 100}
			r := h.rig(t)
			n, err := r.open(t).Count(t.Context(), accounts, leaf(name, dynamics.Eq, "x"))
			if err != nil || n != int64(len(c.created)) {
				t.Errorf("%d, %v; want %d", n, err, len(c.created))
			}
			if calls := len(r.uris()); calls > c.calls || h.read < c.read || c.read == 0 && h.read > 0 || h.most4.Load() > 4 {
				t.Errorf("%d calls, %d pages, %d at once", calls, h.read, h.most4.Load())
			}
			for _, filter := range h.counts {
				if !strings.Contains(filter, "name eq 'x'") {
					t.Errorf("the filter is lost in %s", filter)
				}
			}
			for _, uri := range r.uris() {
				if !strings.Contains(uri, "name%20eq%20'x'") && !strings.Contains(uri, "name+eq+%27x%27") &&
					!strings.Contains(uri, "accounts?x=") {
					t.Errorf("the filter is lost in %s", uri)
				}
			}
		})
	}
}

func TestTheRequestsOfACount(t *testing.T) {
	h := &herd{created: made("2024-01-01T00:00:00Z", time.Second, 16), limit: 5}
	r := h.rig(t)
	if n, err := r.open(t).Count(t.Context(), accounts, nil); err != nil || n != 16 {
		t.Fatal(n, err)
	}
	want := map[string]bool{"": true, "createdon eq null": true, "createdon lt 2024-01-01T00:00:02Z": true,
		"createdon ge 2024-01-01T00:00:14Z": true}
	for i := 2; i < 14; i += 2 {
		want[fmt.Sprintf("(createdon ge 2024-01-01T00:00:%02dZ and createdon lt 2024-01-01T00:00:%02dZ)", i, i+2)] = true
	}
	for _, filter := range h.counts {
		if !want[filter] {
			t.Errorf("%q was counted", filter)
		}
		delete(want, filter)
	}
	uris := strings.Join(r.uris(), "\n")
	for _, uri := range []string{
		"/api/data/v9.2/accounts?$apply=aggregate(%24count%20as%20c)",
		"/api/data/v9.2/accounts?$select=createdon,accountid&$filter=createdon%20ne%20null&$orderby=createdon%20asc,accountid%20asc",
		"/api/data/v9.2/accounts?$select=createdon,accountid&$filter=createdon%20ne%20null&$orderby=createdon%20desc,accountid%20asc",
		"/api/data/v9.2/accounts?$apply=filter(createdon%20lt%202024-01-01T00%3A00%3A02Z)%2Faggregate(%24count%20as%20c)",
	} {
		if !strings.Contains(uris+"\n", uri+"\n") {
			t.Errorf("no %s in\n%s", uri, uris)
		}
	}
	if len(want) != 0 || h.read != 0 {
		t.Errorf("not counted: %v; %d pages", want, h.read)
	}
}

func TestCountWithoutAggregates(t *testing.T) {
	for _, status := range []int{400, 501} {
		h := &herd{created: make([]time.Time, 12_345), refusal: status}
		r := h.rig(t)
		if n, err := r.open(t).Count(t.Context(), accounts, leaf(name, dynamics.Eq, "x")); err != nil || n != 12_345 ||
			h.read != 3 || len(r.seen) != 4 {
			t.Errorf("%d: %d, %v; %d pages, %d calls", status, n, err, h.read, len(r.seen))
		}
	}
}

func TestCountsThatFail(t *testing.T) {
	limit := `{"error":{"code":"0x8004E023","message":"x"}}`
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    dynamics.Kind
		calls   int // at most
	}{
		{"a filter that is wrong", answer(400, `{"error":{"code":"0x80060888","message":"Error in query syntax."}}`), dynamics.Invalid, 2},
		{"an unknown column", answer(400, `{"error":{"code":"0x80060888","message":"Could not find a property named 'name' on type 'x'."}}`), dynamics.UnknownColumn, 1},
		{"no privilege", answer(403, ``), dynamics.Forbidden, 1},
		{"a message that repeats the value", answer(403, `{"error":{"code":"0x80040220","message":"near 'geheim'"}}`), dynamics.Forbidden, 1},
		{"throttled on the way", func(w http.ResponseWriter, req *http.Request) {
			switch {
			case strings.Contains(req.RequestURI, "orderby"):
				_, _ = io.WriteString(w, `{"value":[{"accountid":"`+someID+`","createdon":"2024-01-01T00:00:00Z"}]}`)
			case strings.Contains(req.RequestURI, "createdon"):
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(429)
			default:
				answer(400, limit)(w, req)
			}
		}, dynamics.Throttled, 9},
		{"a time that is none", func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.RequestURI, "orderby") {
				_, _ = io.WriteString(w, `{"value":[{"accountid":"`+someID+`","createdon":"yesterday"}]}`)
				return
			}
			answer(400, limit)(w, req)
		}, dynamics.Upstream, 2},
		{"pages without end", func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.RequestURI, "apply") {
				w.WriteHeader(501)
				return
			}
			_, _ = fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"http://%s/api/data/v9.2/accounts?x=%d"}`, req.Host,
				time.Now().UnixNano())
		}, dynamics.TooLarge, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.handler)
			_, err := r.open(t).Count(t.Context(), accounts, leaf(name, dynamics.Eq, "geheim"))
			if kind(t, err, c.want); len(r.seen) > c.calls || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%d calls, %v", len(r.seen), err)
			}
		})
	}
}

// Up to 50,000 accounts can be paged through in any order, one more cannot.
func TestExceeds(t *testing.T) {
	for body, want := range map[string]bool{`{"value":[{"c":50000}]}`: false, `{"value":[{"c":50001}]}`: true, `{"value":[]}`: false} {
		r := newRig(t, answer(200, body))
		if got, err := r.open(t).Exceeds(t.Context(), accounts, nil); err != nil || got != want || len(r.uris()) != 1 {
			t.Errorf("%s: %t, %v after %d calls", body, got, err, len(r.uris()))
		}
	}
	r := newRig(t, answer(400, `{"error":{"code":"0x8004E023","message":"x"}}`))
	if got, err := r.open(t).Exceeds(t.Context(), accounts, nil); err != nil || !got || len(r.uris()) != 1 {
		t.Errorf("too many to count: %t, %v after %d calls", got, err, len(r.uris()))
	}
	_, err := newRig(t, answer(501, "")).open(t).Exceeds(t.Context(), accounts, nil)
	kind(t, err, dynamics.Upstream)
}

func TestAnswersThatAreNoCount(t *testing.T) {
	for _, body := range []string{`{}`, `{"value":null}`, `{"value":[{}]}`, `{"value":[{"c":null}]}`, `{"value":[{"c":-1}]}`, `{"value":[{"c":1},{"c":2}]}`, `{"value":[{"c":"5"}]}`, `{"value":[{"c":1.5}]}`} {
		n, err := newRig(t, answer(200, body)).open(t).Count(t.Context(), accounts, nil)
		if kind(t, err, dynamics.Upstream); n != 0 {
			t.Errorf("%s: %d", body, n)
		}
	}
}

func TestALongCountGoesThroughBatch(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { answerAny(w, req, `{"value":[{"c":5}]}`) })
	n, err := r.open(t).Count(t.Context(), accounts, leaf(name, dynamics.Eq, strings.Repeat("x", dynamics.MaxURL)))
	if err != nil || n != 5 || r.seen[0].Method != http.MethodPost {
		t.Errorf("%d, %v, %v", n, err, r.uris())
	}
}
