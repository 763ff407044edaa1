package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// While a page is being stored the next one takes its turn, and no other: also of an export
// with one reader.
func TestAPageIsReadWhileAnotherIsStored(t *testing.T) {
	e, ids := filled(t, rand.New(rand.NewPCG(31, 32)), 200)
	operations := *e.operations
	operations.UserCalls = 2 // one reader
	search := messages.SearchRequest{PageSize: 20, Fields: []string{"id"}}
	for name, c := range map[string]struct {
		operation messages.Operation
		in        any
		parallel  bool
	}{
		"search":  {"accounts.search", search, false},
		"changes": {"accounts.changes", messages.ChangesRequest{PageSize: 20, Fields: []string{"id"}}, false},
		"export":  {"accounts.search", search, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLane(t, &operations, c.operation, c.in)
			l.call.Job.Sequential = !c.parallel
			turns := make(chan struct{}, 1000)
			l.wait = func(context.Context) { turns <- struct{}{} }
			taken, pages := 0, 0
			l.between = func() { // the page is not stored before this returns
				for pages++; taken <= pages; taken++ {
					select {
					case <-turns:
					case <-time.After(time.Minute):
						t.Fatalf("no page is read while page %d is being stored", pages)
					}
				}
			}
			l.once(t)
			sameRows(t, l.ids(t), ids)
			if pages < 9 || l.most.Load() > 2 {
				t.Errorf("%d pages, %d turns at once", pages, l.most.Load())
			}
		})
	}
}

// However a page ends, those before it are delivered, the one behind it is not, and nothing
// holds a turn.
func TestASequenceOfPages(t *testing.T) {
	fault := errors.New("a fault")
	for name, c := range map[string]struct {
		fails func() error // of the third page
		wants int          // pages until nobody wants more
		want  []string
		err   error
	}{
		"to the end":           {wants: 9, want: []string{"0", "2", "3", "4"}},
		"a page fails":         {fails: func() error { return fault }, wants: 9, want: []string{"0", "2"}, err: fault},
		"a page panics":        {fails: func() error { panic("a defect") }, wants: 9, want: []string{"0", "2"}, err: &dynamics.Panic{}},
		"nobody wants more":    {wants: 1, want: []string{"0"}, err: errEnough},
		"nor the one that was": {fails: func() error { return fault }, wants: 2, want: []string{"0", "2"}, err: errEnough},
	} {
		t.Run(name, func(t *testing.T) {
			number, turns := 0, make(chan struct{}, 9)
			read := pageReader(func(ctx context.Context, into *jobPage) error {
				turns <- struct{}{}
				into.done = func() { <-turns }
				number++
				if number == 4 && c.fails != nil {
					return c.fails()
				}
				if into.more = number < 5; number != 2 { // the second has nothing to store
					into.parts = []route.Part{{Body: fmt.Append(nil, number-1)}}
					into.place = []byte("behind it")
				}
				if !into.more {
					into.place = nil
				}
				return nil
			})
			var got []string
			page := &jobPage{}
			read.read(t.Context(), page)
			err := read.deliver(t.Context(), page, func(part route.Part) bool {
				if part.Last != (string(part.Body) == "4") || (part.Place == nil) != part.Last || len(turns) > 2 {
					t.Errorf("part %s is the last: %t, %d turns", part.Body, part.Last, len(turns))
				}
				got = append(got, string(part.Body))
				return len(got) < c.wants
			})
			if !slices.Equal(got, c.want) || len(turns) != 0 {
				t.Errorf("pages %v, %d turns are open", got, len(turns))
			}
			if _, panics := errors.AsType[*dynamics.Panic](c.err); panics {
				if _, ok := errors.AsType[*dynamics.Panic](err); !ok {
					t.Errorf("%v", err)
				}
			} else if !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
}

// Who stops wanting pages in a panic leaves nothing behind.
func TestASequenceWhosePartsCannotBeStored(t *testing.T) {
	turns := make(chan struct{}, 9)
	read := pageReader(func(ctx context.Context, into *jobPage) error {
		turns <- struct{}{}
		into.done = func() { <-turns }
		into.more, into.parts, into.place = true, []route.Part{{}}, []byte("behind it")
		return nil
	})
	page := &jobPage{}
	read.read(t.Context(), page)
	err := dynamics.Guard(func() error {
		return read.deliver(t.Context(), page, func(route.Part) bool { panic("a defect") })
	})()
	if err == nil || len(turns) != 0 {
		t.Errorf("%v, %d turns are open", err, len(turns))
	}
}

// A page that was read ahead is not delivered when its connection is another one by then.
func TestAPageThatWaitedForAnother(t *testing.T) {
	rows, _ := timedRows(100, 0, evenly)
	s := newTimedServer(t, rows)
	l := newLane(t, s.operations, "accounts.search", messages.SearchRequest{PageSize: 10, Fields: []string{"id"},
		OrderBy: []string{"id"}})
	asked := make(chan struct{}, 100)
	s.before = func(http.ResponseWriter, url.Values) bool { asked <- struct{}{}; return false }
	l.between = func() {
		<-asked
		<-asked                            // the second page is on its way
		time.Sleep(300 * time.Millisecond) // it is here, and what was known of the connection is old
		s.mu.Lock()
		s.incarnation = "2"
		s.mu.Unlock()
	}
	if err := l.execute(t, never, 0); !isChanged(err) || l.rows != 10 {
		t.Errorf("%d rows, %v", l.rows, err)
	}
}
