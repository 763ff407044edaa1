package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Only the first page is asked to count, and a range that is found empty makes no message.
func TestMessagesOfAnExport(t *testing.T) {
	rows, ids := timedRows(200, 0, evenly)
	s := newTimedServer(t, rows)
	l := newLane(t, s.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"},
		IncludeTotal: true})
	l.once(t)
	sameRows(t, l.ids(t), ids)
	for i, r := range l.stored {
		if len(r.Accounts) == 0 && i < len(l.stored)-1 {
			t.Errorf("message %d of %d has no rows", i+1, len(l.stored))
		}
	}
	for _, query := range s.asked {
		if query.Get("$count") == "true" && query.Get("$filter") != "" {
			t.Errorf("a range is counted: %v", query)
		}
	}
}

// Each row of an export comes once, wherever its executions end and whatever the rows'
// times are.
func TestAnExportHasEachRowOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	e, ids := filled(t, random, 900)
	jobs := 15
	if testing.Short() { // all take more than a second
		jobs = 4
	}
	for i := range jobs {
		in := messages.SearchRequest{PageSize: messages.Count(1 + random.IntN(100)), Fields: []string{"id", "name"},
			IncludeTotal: i%2 == 0}
		l := newLane(t, e.operations, "accounts.search", in)
		l.call.Budget = 2000 + random.IntN(20_000)
		if i%2 == 1 {
			l.call.Job.Encode = encoder(t)
		}
		l.finish(t, random)
		sameRows(t, l.ids(t), ids)
		for _, r := range l.stored {
			if in.IncludeTotal && (r.Total == nil || r.total == nil || *r.Total != 900 || *r.total != 900) {
				t.Fatalf("total %v", r.Total)
			}
		}
		if l.widest > 8<<10 || l.most.Load() > mostReaders+1 {
			t.Errorf("a place has %d bytes, %d pages at once", l.widest, l.most.Load())
		}
	}
}

// While rows come, go, and are given another time, every other row comes once.
func TestAnExportOfRowsThatChange(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		random := rand.New(rand.NewPCG(7, 8))
		e, ids := filled(t, random, 600)
		touched := map[string]bool{}
		l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{PageSize: 20, Fields: []string{"id"}})
		l.call.Job.Sequential = sequential
		l.between = func() {
			moved, gone := ids[random.IntN(len(ids))], ids[random.IntN(len(ids))]
			touched[moved], touched[gone] = true, true
			at := time.Date(2015+random.IntN(15), 1, 1, 0, 0, random.IntN(60), 0, time.UTC)
			e.control.PutAccount(emulator.Account{ID: moved, Name: "moved", CreatedOn: at})
			e.control.DeleteAccount(gone)
			touched[e.control.PutAccount(emulator.Account{Name: "new", CreatedOn: at})] = true
		}
		l.finish(t, random)
		times := map[string]int{}
		for _, id := range l.ids(t) {
			times[id]++
		}
		for _, id := range ids {
			if !touched[id] && times[id] != 1 {
				t.Errorf("sequential %t: row %s came %d times", sequential, id, times[id])
			}
		}
	}
}

// evenly are rows of every other second.
func evenly(i int) int64 { return 1_600_000_000 + 2*int64(i) }

// exported runs an export of a timed server to its end.
func exported(t *testing.T, s *timedServer, size messages.Count) *testLane {
	t.Helper()
	l := newLane(t, s.operations, "accounts.search",
		messages.SearchRequest{PageSize: size, Fields: []string{"id", "name"}})
	l.once(t)
	return l
}

// Rows without a time of creation come once as well, however the other side orders them
// and wherever they end.
func TestAnExportOfRowsWithoutATime(t *testing.T) {
	for _, nullsLast := range []bool{false, true} {
		for _, without := range []int{0, 1, 9, 10, 11, 25, 95, 99, 100} {
			rows, ids := timedRows(100, without, evenly)
			s := newTimedServer(t, rows)
			s.nullsLast = nullsLast
			l := exported(t, s, 10)
			sameRows(t, l.ids(t), ids)
			crashed := newLane(t, s.operations, "accounts.search",
				messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
			crashed.finish(t, rand.New(rand.NewPCG(13, uint64(without))))
			sameRows(t, crashed.ids(t), ids)
		}
	}
}

// A result of one page costs one call beside the question for the number of rows.
func TestASmallExportCostsOneCall(t *testing.T) {
	rows, ids := timedRows(10, 3, evenly)
	s := newTimedServer(t, rows)
	l := exported(t, s, 10)
	sameRows(t, l.ids(t), ids)
	if len(s.asked) != 1 || s.counts != 1 || len(l.stored) != 1 {
		t.Errorf("%d pages and %d counts were asked for, %d messages", len(s.asked), s.counts, len(l.stored))
	}
}

// A job is read in sequence where it is asked to, where it must be, and where the table is
// small. It stays with the form that it was begun in.
func TestWhichJobsAreReadInParallel(t *testing.T) {
	rows, ids := timedRows(100, 0, evenly)
	for name, c := range map[string]struct {
		in         messages.SearchRequest
		sequential bool
		counted    int
		want       bool
	}{
		"large":                 {counted: 50_000, want: true},
		"never counted":         {counted: 0, want: true},
		"no count":              {counted: -1, want: true},
		"small":                 {counted: 49_999},
		"switched off":          {counted: 50_000, sequential: true},
		"in an order":           {counted: 50_000, in: messages.SearchRequest{OrderBy: []string{"id"}}},
		"with a limit":          {counted: 50_000, in: messages.SearchRequest{Limit: 100}},
		"with a limit above it": {counted: 50_000, in: messages.SearchRequest{Limit: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTimedServer(t, rows)
			s.counted = c.counted
			c.in.PageSize, c.in.Fields = 10, []string{"id"}
			l := newLane(t, s.operations, "accounts.search", c.in)
			l.call.Job.Sequential = c.sequential
			if err := l.execute(t, afterStoring, 2); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			s.counted = 50_000 - s.counted
			s.mu.Unlock()
			l.call.Job.Sequential = !c.sequential
			l.once(t)
			sameRows(t, l.ids(t), ids)
			parallel := 0
			for _, query := range s.asked {
				if query.Get("$filter") != "" {
					parallel++
				}
			}
			if c.want != (parallel > 0) {
				t.Errorf("%d of %d pages are of ranges", parallel, len(s.asked))
			}
			if asks := c.sequential || c.in.Limit > 0 || c.in.OrderBy != nil; asks && s.counts > 0 {
				t.Errorf("rows were counted %d times", s.counts)
			}
		})
	}
}

// Pages are read at once as often as the environment recommends, within bounds.
func TestHowManyReaders(t *testing.T) {
	for _, c := range []struct{ hint, userCalls, want int }{
		{0, 0, 12}, {1, 0, 4}, {2, 0, 4}, {4, 0, 8}, {8, 0, 16}, {9, 0, 16}, {1000, 0, 16}, {0, 40, 12}, {0, 20, 10},
		{8, 20, 10}, {1, 4, 2}, {4, 1, 1}, {0, 3, 1},
	} {
		if got := newReaders(c.hint, c.userCalls); got.now != c.want || got.most != c.want {
			t.Errorf("hint %d, %d calls of the user: %+v, want %d", c.hint, c.userCalls, got, c.want)
		}
	}
}

// A refusal halves the readers once for all that was under way; they come back one by one.
func TestReadersAreHalved(t *testing.T) {
	r := newReaders(8, 0)
	for range 16 { // all of one round
		r.learn(true, 0)
	}
	if r.now != 8 || r.round != 1 {
		t.Fatalf("%+v", r)
	}
	r.learn(true, 1)
	r.learn(true, 2)
	r.learn(true, 3)
	r.learn(true, 4)
	if r.now != 1 || r.round != 5 {
		t.Fatalf("%+v", r)
	}
	for i := range 15 * readersGrow {
		if want := 1 + i/readersGrow; r.now != want {
			t.Fatalf("%d after %d pages", r.now, i)
		}
		r.learn(false, r.round)
	}
	for range 100 * readersGrow {
		r.learn(false, r.round)
	}
	if r.now != 16 {
		t.Errorf("%+v", r)
	}
}

// Where every page is refused once before it comes, pages are read one after the other soon.
func TestRefusedReadersBecomeFew(t *testing.T) {
	rows, ids := timedRows(1000, 0, evenly)
	s := newTimedServer(t, rows)
	var refused sync.Map
	var under, answered, most atomic.Int64
	s.before = func(w http.ResponseWriter, query url.Values) bool {
		if _, again := refused.LoadOrStore(query.Get("$filter")+query.Get("$skiptoken")+query.Get("$orderby"),
			true); !again {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		n := under.Add(1)
		defer under.Add(-1)
		if answered.Add(1) > 45 {
			most.Store(max(most.Load(), n))
		}
		return false
	}
	l := exported(t, s, 10)
	sameRows(t, l.ids(t), ids)
	if most.Load() != 1 {
		t.Errorf("%d pages at once", most.Load())
	}
}

// As many pages are under way as there are readers, and no more.
func TestPagesUnderWay(t *testing.T) {
	rows, ids := timedRows(2000, 0, evenly)
	s := newTimedServer(t, rows)
	s.hint = "4"
	var under, most, refused atomic.Int64
	s.before = func(w http.ResponseWriter, query url.Values) bool {
		if query.Get("$filter") == "" || strings.Contains(query.Get("$orderby"), "desc") {
			return false
		}
		n := under.Add(1)
		defer under.Add(-1)
		if most.Store(max(most.Load(), n)); n == 8 && refused.Load() == 0 { // all others wait below
			refused.Add(1)
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		for begun := time.Now(); refused.Load() == 0 && time.Since(begun) < 10*time.Second; {
			runtime.Gosched()
		}
		return false
	}
	l := exported(t, s, 10)
	sameRows(t, l.ids(t), ids)
	// A page that is being stored has its turn still.
	if turns := l.most.Load(); refused.Load() != 1 || most.Load() != 8 || turns < 8 || turns > 9 {
		t.Errorf("%d pages at most before %d refusals, %d turns", most.Load(), refused.Load(), l.most.Load())
	}
}

// The error of one page ends the execution when all others have stopped, and what was
// stored stays: the job goes on behind it.
func TestAPageOfAnExportThatFails(t *testing.T) {
	for status, code := range map[int]messages.Code{http.StatusBadRequest: messages.InvalidRequest,
		http.StatusForbidden:      messages.PermissionDenied,
		http.StatusNotImplemented: messages.UpstreamError} {
		rows, ids := timedRows(500, 20, evenly)
		s := newTimedServer(t, rows)
		var calls atomic.Int64
		s.before = func(w http.ResponseWriter, _ url.Values) bool {
			if calls.Add(1)%9 != 0 {
				return false
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error":{"code":"0x0","message":"no"}}`))
			return true
		}
		l := newLane(t, s.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
		failures := 0
		for !l.ended && failures < 100 {
			if err := l.execute(t, never, 0); err != nil {
				failures++
				if codeOf(t, err) != code {
					t.Fatalf("%v, want %s", err, code)
				}
			}
		}
		sameRows(t, l.ids(t), ids)
		if failures < 3 {
			t.Errorf("%d failures", failures)
		}
	}
}

// A connection that is made again in the midst ends the execution.
func TestAnExportOfAConnectionThatIsMadeAgain(t *testing.T) {
	rows, _ := timedRows(500, 0, evenly)
	s := newTimedServer(t, rows)
	l := newLane(t, s.operations, "accounts.search", messages.SearchRequest{PageSize: 5, Fields: []string{"id"}})
	l.between = func() {
		s.mu.Lock()
		s.incarnation = "2"
		s.mu.Unlock()
		time.Sleep(110 * time.Millisecond) // for as long what was said before counts
	}
	stored := 0
	if err := l.execute(t, never, 0); !isChanged(err) {
		t.Errorf("%v", err)
	}
	if stored = l.groups; stored > 2*mostReaders {
		t.Errorf("%d pages were stored", stored)
	}
	if err := l.execute(t, never, 0); !isChanged(err) || l.groups != stored {
		t.Errorf("%v", err)
	}
}

// A turn that is not given ends the execution.
func TestNoTurn(t *testing.T) {
	rows, _ := timedRows(100, 0, evenly)
	s := newTimedServer(t, rows)
	for _, sequential := range []bool{true, false} {
		for after := range int64(8) {
			l := newLane(t, s.operations, "accounts.search",
				messages.SearchRequest{PageSize: 5, Fields: []string{"id"}})
			l.call.Job.Sequential = sequential
			turn, taken := l.call.Job.Turn, atomic.Int64{}
			stopping := errors.New("stopping")
			l.call.Job.Turn = func(ctx context.Context) (context.Context, func(), error) {
				if taken.Add(1) > after {
					return nil, nil, stopping
				}
				return turn(ctx)
			}
			if err := l.execute(t, never, 0); !errors.Is(err, stopping) {
				t.Errorf("%v", err)
			}
		}
	}
}

// Pages that take more messages than may be stored together, or more than the client
// reads, come in fewer rows.
func TestPagesThatAreTooLong(t *testing.T) {
	rows, ids := timedRows(300, 10, evenly)
	for _, sequential := range []bool{true, false} {
		for name, c := range map[string]struct {
			budget, parts int
			body          int64
		}{"parts": {200, 7, 0}, "one part": {200, 1, 0}, "body": {10_000, 900, 3000}, "both": {1000, 2, 3000}} {
			s := newTimedServer(t, rows, func(config *dynamics.Config) { config.MaxBody = c.body })
			l := newLane(t, s.operations, "accounts.search",
				messages.SearchRequest{PageSize: 100, Fields: []string{"id", "name"}})
			l.call.Job.Sequential, l.call.Job.MaxParts, l.call.Budget = sequential, c.parts, c.budget
			l.finish(t, rand.New(rand.NewPCG(15, 16)))
			sameRows(t, l.ids(t), ids)
			if len(s.asked) > 1500 {
				t.Errorf("%s: %d calls", name, len(s.asked))
			}
		}
		s := newTimedServer(t, rows)
		l := newLane(t, s.operations, "accounts.search",
			messages.SearchRequest{PageSize: 100, Fields: []string{"id", "name"}})
		l.call.Job.Sequential, l.call.Budget = sequential, 100
		if err := l.execute(t, never, 0); codeOf(t, err) != messages.TooLarge {
			t.Errorf("a row that fits no message: %v", err)
		}
	}
}

// Pages without rows are passed over without a message, but not for ever: a job that is
// given many of them still comes on.
func TestPagesWithoutRows(t *testing.T) {
	for _, sequential := range []bool{true, false} {
		rows, ids := timedRows(100, 0, evenly)
		s := newTimedServer(t, rows)
		s.operations.UserCalls = 2
		empty := 0
		s.before = func(w http.ResponseWriter, query url.Values) bool {
			place := query.Get("$skiptoken")
			if place == "" || empty == 60 {
				return false
			}
			empty++
			place, _, _ = strings.Cut(place, "_")
			query.Set("$skiptoken", fmt.Sprintf("%s_%d", place, empty)) // the same place by another name
			_, _ = fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s/api/data/v9.2/accounts?%s"}`, s.URL,
				strings.ReplaceAll(query.Encode(), "+", "%20"))
			return true
		}
		l := newLane(t, s.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
		l.call.Job.Sequential = sequential
		l.once(t)
		sameRows(t, l.ids(t), ids)
		without := 0
		for _, r := range l.stored[:len(l.stored)-1] { // the last one may have none
			if len(r.Accounts) == 0 {
				without++
			}
		}
		if without != 60/maxEmptyPages {
			t.Errorf("sequential %t: %d messages without a row", sequential, without)
		}
	}
}

// A server that answers with rows outside of the range that was asked for, as behind a gateway that
// drops filters: each row still comes once.
func TestRowsOutsideOfTheirRange(t *testing.T) {
	for name, at := range map[string]func(i int) int64{"evenly": evenly, "in few seconds": func(i int) int64 { return 1e9 + int64(i/40) }} {
		t.Run(name, func(t *testing.T) {
			rows, _ := timedRows(100, 0, at)
			s := newTimedServer(t, rows)
			s.everything = true
			links := 0
			s.link = func(query, place string) string {
				links++ // one that was not followed before
				return fmt.Sprintf("%s&$skiptoken=%s_%d", query, place, links)
			}
			l := newLane(t, s.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
			err := l.execute(t, never, 0) // which may find that pages come again
			got := l.ids(t)
			slices.Sort(got)
			if once := slices.Compact(slices.Clone(got)); len(once) != len(got) || err == nil && len(got) != len(rows) {
				t.Errorf("%d rows, %d of them twice, %v", len(got), len(got)-len(once), err)
			}
		})
	}
}

// Links that lead in a circle end a job, also one that crashes at every page, and links of
// another form are gone on from where that needs no filter but the request's.
func TestLinksOfAJob(t *testing.T) {
	rows, ids := timedRows(100, 0, evenly)
	where := messages.Where{Not: &messages.Where{Field: "name", Op: messages.Contains, Value: []byte(`"CanaryValue"`)}}
	for name, c := range map[string]struct {
		link  func(base, place string) string
		where *messages.Where
		code  messages.Code // "" for none
	}{
		"as sent": {nil, &where, ""},
		"encoded otherwise": {func(base, place string) string {
			return strings.ReplaceAll(base, "%20", "+") + "&%24skiptoken=" + place
		}, &where, ""},
		"another order": {func(base, place string) string { return "$skiptoken=" + place + "&" + base }, &where, ""},
		"in a circle": {func(base, place string) string {
			if place == "pagingcookie30" {
				place = "pagingcookie10"
			}
			return base + "&$skiptoken=" + place
		}, &where, messages.UpstreamError},
		"another filter": {func(base, place string) string {
			return base + "x&$skiptoken=" + place + "&$filter=name%20eq%20%27x%27"
		}, &where, ""},
		"an alias": {func(_, place string) string { return "@p1=1&$skiptoken=" + place }, &where, ""},
		"two tokens": {func(base,
			place string) string {
			return base + "&$skiptoken=" + place + "&$skiptoken=" + place
		}, &where, messages.UpstreamError},
		"a token of its own": {func(_, place string) string { return "$skiptoken=" + place }, nil, ""},
		"much of its own": {func(_, place string) string {
			return "$skiptoken=" + place + "&x=" +
				strings.Repeat("x", 5000)
		}, nil, ""},
		"no token": {func(base, place string) string { return base + "&place=" + place }, &where,
			messages.UpstreamError},
	} {
		for _, sequential := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, sequential %t", name, sequential), func(t *testing.T) {
				s := newTimedServer(t, rows)
				s.operations.UserCalls = 2 // one reader, and so one range for all of them
				s.link = c.link
				l := newLane(t, s.operations, "accounts.search",
					messages.SearchRequest{PageSize: 10, Fields: []string{"id"}, Where: c.where})
				l.call.Job.Sequential = sequential
				var err error
				for n := 0; n < 50 && err == nil && !l.ended; n++ {
					err = l.execute(t, afterStoring, 0)
				}
				switch {
				case c.code == "" && err == nil:
					sameRows(t, l.ids(t), ids)
				case c.code == "" || err == nil || codeOf(t, err) != c.code:
					t.Errorf("%v after %d rows, want %q", err, len(l.ids(t)), c.code)
				}
			})
		}
	}
}

// Idle readers take halves of others' ranges: rows of one minute among years are not read
// by one reader alone.
func TestAnExportStealsRanges(t *testing.T) {
	e := emulate(t, -1).connect(t)
	var ids []string
	for i := range 640 {
		at := time.Date(2024, 5, 6, 7, 8, i/12, 0, time.UTC)
		if i%40 == 0 {
			at = at.AddDate(-i/40, 0, 0)
		}
		ids = append(ids, e.control.PutAccount(emulator.Account{Name: fmt.Sprint(i), CreatedOn: at}))
	}
	l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
	l.wait = func(context.Context) { time.Sleep(time.Millisecond) }
	l.once(t)
	sameRows(t, l.ids(t), ids)
	if l.most.Load() < 2 {
		t.Errorf("%d pages at once", l.most.Load())
	}
}

// An execution that is cancelled when all that its readers began has come ends: nothing is
// under way that would tell.
func TestACancelledExportEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	e, ids := filled(t, random, 300)
	for page := range 3 {
		for _, readers := range []int{1, 12} {
			e.operations.UserCalls = 2 * readers
			l := newLane(t, e.operations, "accounts.search",
				messages.SearchRequest{PageSize: 10, Fields: []string{"id"}})
			l.settle = 200 * time.Millisecond
			ended := make(chan error, 1)
			go func() { defer close(ended); ended <- l.execute(t, cancelled, page) }()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) || l.ended {
					t.Fatalf("%d readers, page %d: %v, ended %t", readers, page, err, l.ended)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%d readers: an execution that was cancelled in page %d has no end", readers, page)
			}
			l.once(t)
			sameRows(t, l.ids(t), ids)
		}
	}
}
