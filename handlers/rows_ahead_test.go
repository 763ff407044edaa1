package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// streamOf is a stream in pages of ten rows.
func streamOf(limit messages.Count) messages.SearchRequest {
	in := searchOf(10, limit)
	in.Mode = messages.ModeStream
	return in
}

// begun is a search of acme that has read its first page.
func begun(t *testing.T, ctx context.Context, d *dataverse, in messages.SearchRequest) *search {
	t.Helper()
	o := &rowOperations{d.operations, accounts(t)}
	s, err := o.newSearch(ctx, route.Call{Operation: "accounts.search", RequestID: "x", Connection: "acme",
		Budget: 1 << 20}, in)
	if err == nil {
		err = o.Catalog.Replan(s.session, o.entity, func(p plan.Planner) error { return s.first(ctx, p) })
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// A page is read ahead where its rows are wanted, in stream mode only.
func TestWhenAPageIsReadAhead(t *testing.T) {
	d, _, _ := operated(t, rows(0, 25, 0))
	for _, c := range []struct {
		name string
		in   messages.SearchRequest
		want bool
	}{
		{"a stream", streamOf(0), true},
		{"a limit on the page after", streamOf(11), true},
		{"a limit at the end of the page", streamOf(10), false},
		{"a limit within the page", streamOf(3), false},
		{"page mode", searchOf(10, 0), false},
		{"one page", messages.SearchRequest{Target: acme, Fields: []string{"id"}, Mode: messages.ModeStream}, false},
	} {
		if s := begun(t, t.Context(), d, c.in); (s.ahead != nil) != c.want {
			t.Errorf("%s: %v", c.name, s.ahead != nil)
		}
	}
	s := begun(t, t.Context(), d, streamOf(0))
	again := func(ctx context.Context) bool {
		s.drop()
		s.readAhead(ctx)
		return s.ahead != nil
	}
	s.sent = messages.MaxStreamRows - 10
	if again(t.Context()) {
		t.Error("the answer ends with the page")
	}
	s.sent--
	if !again(t.Context()) {
		t.Error("the answer does not end with the page")
	}
	s.took = time.Hour
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if again(soon) {
		t.Error("there is no time for another page")
	}
	s.took = time.Microsecond
	if !again(soon) {
		t.Error("there is time for another page")
	}
}

// Where memory is short the pages come one after the other.
func TestNoPageIsReadAheadWhereMemoryIsShort(t *testing.T) {
	d, _, _ := operated(t, rows(0, 25, 0))
	for size, want := range map[int64]bool{64 << 20: true, 2 * callRoom: false} {
		memory, err := budget.New(budget.Bounds{Bytes: size})
		if err != nil {
			t.Fatal(err)
		}
		account, err := memory.Open(1 << 10)
		if err != nil {
			t.Fatal(err)
		}
		ctx := budget.With(t.Context(), account)
		if s := begun(t, ctx, d, streamOf(0)); (s.ahead != nil) != want {
			t.Errorf("%d bytes: %v", size, s.ahead != nil)
		}
		var got []string
		for part, err := range asked(t, d, "accounts.search", 1<<20, streamOf(0)).Parts {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(part.Body))
		}
		if len(got) != 3 {
			t.Errorf("%d parts", len(got))
		}
		account.Close()
		if used := memory.Usage().Used; used != 0 {
			t.Errorf("%d bytes are held", used)
		}
	}
}

// hangs makes a dataverse hold back what asks for a page after the first. It reports each
// such request, and lets it go on, or be refused, by what comes from answer.
func (d *dataverse) hangs(t *testing.T) (came chan struct{}, answer chan int) {
	came, answer = make(chan struct{}, 10), make(chan int)
	d.change(func() {
		d.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("$skiptoken") == "" {
				return false
			}
			came <- struct{}{}
			d.mu.Unlock() // others may ask meanwhile
			defer d.mu.Lock()
			select {
			case status := <-answer:
				if status == http.StatusOK {
					return false
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"error":{"code":"0x80040265","message":"no"}}`))
				return true
			case <-r.Context().Done():
				return true
			}
		}
	})
	return came, answer
}

func waitFor(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal(what)
	}
}

// While the rows of a page are published the next one is on its way, and no further one.
func TestTheNextPageIsOnItsWayWhileOneIsPublished(t *testing.T) {
	d, _, _ := operated(t, rows(0, 35, 0))
	came, answer := d.hangs(t)
	var got []string
	parts := 0
	for part, err := range asked(t, d, "accounts.search", 600, streamOf(0)).Parts {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, idsIn(t, part.Body)...)
		if len(got)%10 == 0 && len(got) < 35 { // a whole page has been published
			waitFor(t, came, "the next page has not been asked for")
			if len(came) > 0 {
				t.Error("two pages are read ahead")
			}
			answer <- http.StatusOK
		}
		parts++
	}
	if !slices.Equal(got, idsOfRows(rows(0, 35, 0))) || parts < 5 {
		t.Errorf("%d rows in %d parts", len(got), parts)
	}
}

func idsIn(t *testing.T, body []byte) []string {
	t.Helper()
	var page messages.Page
	if err := messages.CodecFor[messages.Page](messages.Accounts).Read(body, &page); err != nil {
		t.Fatal(err)
	}
	return idsOf(t, page.Rows)
}

// The error of a page comes behind the rows of the page before it, however early it is known.
func TestAnErrorAheadComesInItsPlace(t *testing.T) {
	d, _, _ := operated(t, rows(0, 35, 0))
	came, answer := d.hangs(t)
	var got []string
	var failed error
	for part, err := range asked(t, d, "accounts.search", 600, streamOf(0)).Parts {
		if failed = err; err != nil {
			break
		}
		if got == nil {
			waitFor(t, came, "the next page has not been asked for")
			answer <- http.StatusForbidden
		}
		if got = append(got, idsIn(t, part.Body)...); part.Last {
			t.Error("it ends well")
		}
	}
	if !slices.Equal(got, idsOfRows(rows(0, 10, 0))) || failed == nil {
		t.Errorf("%d rows, then %v", len(got), failed)
	}
	if code := route.Classify(t.Context(), false, failed).Code; code == messages.Internal {
		t.Error(failed)
	}
}

// Who does not want the rest ends what is read ahead; TestMain looks for goroutines.
func TestAnAnswerThatIsNotWantedEndsWhatIsReadAhead(t *testing.T) {
	for name, ends := range map[string]func(t *testing.T, d *dataverse, came <-chan struct{}){
		"by its reader": func(t *testing.T, d *dataverse, came <-chan struct{}) {
			for _, err := range asked(t, d, "accounts.search", 600, streamOf(0)).Parts {
				if err != nil {
					t.Fatal(err)
				}
				waitFor(t, came, "the next page has not been asked for")
				break
			}
		},
		"by its deadline": func(t *testing.T, d *dataverse, came <-chan struct{}) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var failed error
			o := &rowOperations{d.operations, accounts(t)}
			search := o.beginSearch()
			in, _ := search.Asked()
			*in = streamOf(0)
			call := route.Call{Operation: "accounts.search", RequestID: "x", Connection: "acme", Budget: 1 << 20}
			for _, err := range search.Parts(ctx, call) {
				if failed = err; failed == nil {
					waitFor(t, came, "the next page has not been asked for")
					cancel()
				}
			}
			if !errors.Is(failed, context.Canceled) {
				t.Error(failed)
			}
		},
		"by a panic": func(t *testing.T, d *dataverse, came <-chan struct{}) {
			defer func() { _ = recover() }()
			for range asked(t, d, "accounts.search", 600, streamOf(0)).Parts {
				waitFor(t, came, "the next page has not been asked for")
				panic("a lane's defect")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, _ := operated(t, rows(0, 35, 0))
			came, _ := d.hangs(t)
			ends(t, d, came)
			waitFor(t, d.idle(), "the request ahead goes on")
		})
	}
}

// idle is closed when no request hangs.
func (d *dataverse) idle() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		d.Close() // which waits for requests that are being answered
		close(done)
	}()
	return done
}

// What has been read ahead is not delivered for a connection that is another one by then.
func TestAPageAheadIsNotDeliveredForAnotherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		environment := &paged{pages: 3}
		search := searchRoute(t, environment)
		body := []byte(`{"connection":"acme","mode":"stream","page_size":10,"fields":["id","name"]}`)
		call := route.Call{Operation: "accounts.search", RequestID: "x", Deadline: time.Now().Add(time.Hour), Budget: 1 << 20}
		parts := 0
		var failed error
		for _, err := range search.Serve(t.Context(), call, body).Parts {
			if failed = err; err != nil {
				break
			}
			parts++
			synctest.Wait() // the next page is there
			environment.incarnation.Store(1)
			time.Sleep(time.Second) // the requester's side is slow
		}
		if parts != 1 || failed == nil || environment.asked.Load() != 2 {
			t.Errorf("%d parts, %d pages, %v", parts, environment.asked.Load(), failed)
		}
		if code := route.Classify(t.Context(), false, failed).Code; code == messages.Internal {
			t.Error(failed)
		}
	})
}

// BenchmarkStream is a stream of ten pages from a Dataverse that takes a millisecond for
// each, for a requester who takes one too: reading and publishing overlap.
func BenchmarkStream(b *testing.B) {
	environment := &paged{pages: 10, delay: time.Millisecond}
	search := searchRoute(b, environment)
	body := []byte(`{"connection":"acme","mode":"stream","page_size":10,"fields":["id","name"]}`)
	call := route.Call{Operation: "accounts.search", RequestID: "x", Budget: 1 << 20}
	for b.Loop() {
		for part, err := range search.Serve(b.Context(), call, body).Parts {
			if err != nil {
				b.Fatal(err)
			}
			time.Sleep(environment.delay)
			_ = part
		}
	}
	b.ReportMetric(float64(environment.pages), "pages/op")
}

// A requester and a Dataverse that take as long cost a stream the time of one of them, and
// one page more.
func TestReadingAndPublishingOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		environment := &paged{pages: 10, delay: time.Second}
		search := searchRoute(t, environment)
		body := []byte(`{"connection":"acme","mode":"stream","page_size":10,"fields":["id","name"]}`)
		call := route.Call{Operation: "accounts.search", RequestID: "x", Budget: 1 << 20}
		began, parts := time.Now(), 0
		for part, err := range search.Serve(t.Context(), call, body).Parts {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%012d", 10*parts); idsIn(t, part.Body)[0][24:] != want {
				t.Errorf("part %d begins with %s", parts, idsIn(t, part.Body)[0])
			}
			parts++
			time.Sleep(time.Second)
		}
		if took := time.Since(began); parts != 10 || took != 11*time.Second {
			t.Errorf("%d parts took %v", parts, took)
		}
	})
}
