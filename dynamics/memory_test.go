package dynamics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
)

func accountIn(t *testing.T, b *budget.Budget) (context.Context, *budget.Account) {
	t.Helper()
	a, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return budget.With(t.Context(), a), a
}

func budgetOf(t *testing.T, bytes int64) *budget.Budget {
	t.Helper()
	b, err := budget.New(budget.Bounds{Bytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestARefusedPageDoesNotCount: one whose link leads elsewhere.
func TestARefusedPageDoesNotCount(t *testing.T) {
	r := newRig(t, longRows(40, 10<<10, `,"@odata.nextLink":"https://elsewhere.example/api/data/v9.2/accounts?$skiptoken=1"`))
	b := budgetOf(t, 64<<20)
	ctx, _ := accountIn(t, b)
	_, err := firstPage(ctx, r.open(t), nameOnly)
	kind(t, err, dynamics.Upstream)
	if used := b.Usage().Used; used != 0 {
		t.Errorf("%d bytes are counted of a page that nobody has", used)
	}
}

// TestAPageCountsUntilItIsReleased: what it takes, and the call's buffers only while
// the call is under way.
func TestAPageCountsUntilItIsReleased(t *testing.T) {
	r := newRig(t, longRows(40, 100<<10, ""))
	b := budgetOf(t, 64<<20)
	ctx, account := accountIn(t, b)
	page, err := firstPage(ctx, r.open(t), nameOnly)
	if err != nil {
		t.Fatal(err)
	}
	if used := b.Usage().Used; used < 40*100<<10 || used > 41*101<<10 {
		t.Errorf("%d bytes are counted for %d of rows", used, 40*100<<10)
	}
	page.Release()
	if used := b.Usage().Used; used != 0 {
		t.Errorf("%d bytes are counted after the release", used)
	}
	if _, err = firstPage(ctx, r.open(t), nameOnly); err != nil {
		t.Fatal(err)
	}
	account.Close() // the page was not released
	if used := b.Usage().Used; used != 0 {
		t.Errorf("%d bytes are counted after the request's end", used)
	}
}

// TestAnAnswerWithoutRoomIsOverloaded, shortly before the deadline, whatever becomes
// of the memory: rows, the decoder's buffer, or options.
func TestAnAnswerWithoutRoomIsOverloaded(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for room until deadlines")
	}
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		ask    func(context.Context, *dynamics.Session) error
	}{
		"rows": {longRows(40, 100<<10, ""), func(ctx context.Context, s *dynamics.Session) error {
			_, err := firstPage(ctx, s, nameOnly)
			return err
		}},
		"changes": {longRows(40, 100<<10, ""), func(ctx context.Context, s *dynamics.Session) error {
			_, err := firstChanges(ctx, s, dynamics.ChangesQuery{Select: nameOnly.Select})
			return err
		}},
		"a value that is not asked for": {answer(200, `{"other":"`+strings.Repeat("x", 4<<20)+`","value":[]}`), func(ctx context.Context, s *dynamics.Session) error {
			_, err := firstPage(ctx, s, nameOnly)
			return err
		}},
		"options": {answer(200, `{"value":[{"LogicalName":"c0"}`+manyOptions(20, 9000)+`]}`),
			func(ctx context.Context, s *dynamics.Session) error {
				_, err := s.Options(ctx, accounts, dynamics.Picklist)
				return err
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its deadline
			r := newRig(t, test.answer)
			b := budgetOf(t, 3<<20)
			other, err := b.Open(1 << 20) // nobody is alone
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			ctx, account := accountIn(t, b)
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // which it takes, beside the others
			defer cancel()
			e := kind(t, test.ask(ctx, r.open(t)), dynamics.Overloaded)
			if e.RetryAfter <= 0 || !errors.Is(e, budget.ErrFull) {
				t.Errorf("%v, cause %v", e, e.Unwrap())
			}
			account.Close()
			if used := b.Usage().Used; used != 1<<20 {
				t.Errorf("%d bytes are still counted", used-1<<20)
			}
		})
	}
}

// manyOptions are further columns, each with options that have labels.
func manyOptions(columns, options int) string {
	option := `{"Value":1,"Label":{"UserLocalizedLabel":{"Label":"A label"}}}`
	var all strings.Builder
	for i := range columns {
		fmt.Fprintf(&all, `,{"LogicalName":"c%d","OptionSet":{"Options":[%s%s]}}`, i+1, option,
			strings.Repeat(","+option, options-1))
	}
	return all.String()
}

// TestASharedPageCountsOnce, until the last of those who have it has given it back.
func TestASharedPageCountsOnce(t *testing.T) {
	for range 5 { // a busy machine may keep a call from coming while the first is under way
		if sharedPageCountsOnce(t) || t.Failed() {
			return
		}
	}
	t.Error("calls for one page were not shared in five tries")
}

// sharedPageCountsOnce reports whether the calls met, so that there was something to count.
func sharedPageCountsOnce(t *testing.T) bool {
	const calls = 4
	var once sync.Once
	var under sync.WaitGroup
	under.Add(1)
	begun := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		once.Do(func() { close(begun) })
		under.Wait()
		longRows(20, 100<<10, "")(w, req)
	})
	s := r.open(t)
	b := budgetOf(t, 64<<20)
	pages := make([]*dynamics.Page, calls)
	accounts := make([]*budget.Account, calls)
	var work sync.WaitGroup
	read := func(i int) {
		ctx, account := accountIn(t, b)
		accounts[i] = account
		work.Go(func() {
			var err error
			if pages[i], err = firstPage(ctx, s, nameOnly); err != nil {
				t.Error(err)
			}
		})
	}
	read(0)
	<-begun
	for i := 1; i < calls; i++ {
		read(i)
	}
	time.Sleep(500 * time.Millisecond) // the last of them are on their way into the call
	under.Done()
	work.Wait()
	if t.Failed() {
		return false
	}
	if len(r.uris()) != 1 {
		return false
	}
	if used := b.Usage().Used; used < 20*100<<10 || used > 22*100<<10 {
		t.Errorf("%d bytes are counted for %d", used, 20*100<<10)
	}
	pages[0].Release()
	accounts[1].Close()
	pages[2].Release()
	accounts[2].Close()
	if used := b.Usage().Used; used < 20*100<<10 {
		t.Errorf("%d bytes are counted while one has it", used)
	}
	if row := pages[3].Row(19); len(row) < 100<<10 {
		t.Errorf("a row of %d bytes", len(row))
	}
	pages[3].Release()
	if used := b.Usage().Used; used != 0 {
		t.Errorf("%d bytes are counted after all", used)
	}
	return true
}

// TestNoPageGrowsBeyondAnAnswer: names and labels that the answer does not have make
// rows longer, and so does a value that no column of Dataverse has.
func TestNoPageGrowsBeyondAnAnswer(t *testing.T) {
	var empty strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&empty, `,{"accountid":"%s"}`, guid(i))
	}
	wide := dynamics.Query{PageSize: 5000}
	for i := range 50 {
		o := output(fmt.Sprintf("new_c%d", i), dynamics.Text)
		o.As = fmt.Sprintf("%s%d", strings.Repeat("n", 100), i)
		wide.Select = append(wide.Select, o)
	}
	labelled := dynamics.Query{PageSize: 5000,
		Select: []dynamics.Output{{Column: column("new_many", dynamics.Choices), As: "m",
			Labels: map[int]string{1: strings.Repeat("label ", 100)}}}}
	for name, test := range map[string]struct {
		body  string
		query dynamics.Query
		want  dynamics.Kind
	}{
		"names":   {`{"value":[` + empty.String()[1:] + `]}`, wide, dynamics.TooLarge},
		"choices": {`{"value":[{"accountid":"` + someID + `","new_many":"1` + strings.Repeat(",1", 100_000) + `"}]}`, labelled, dynamics.TooLarge},
		"a value": {`{"value":[{"accountid":"` + someID + `","name":"` + strings.Repeat("x", 12<<20) + `"}]}`, nameOnly, dynamics.Upstream},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, answer(200, test.body), func(c *dynamics.Config) { c.MaxBody = 16 << 20 })
			b := budgetOf(t, 1<<30)
			ctx, account := accountIn(t, b)
			_, err := firstPage(ctx, r.open(t), test.query)
			kind(t, err, test.want)
			account.Close()
		})
	}
}

// TestSmallAnswersHaveSmallBounds: a count or an identity of megabytes is none.
func TestSmallAnswersHaveSmallBounds(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"value":[{"c":1}],"other":"`+strings.Repeat("x", 1<<20)+`"}`)
	})
	_, err := r.open(t).Count(t.Context(), accounts, nil)
	kind(t, err, dynamics.TooLarge)
	_, err = r.open(t).WhoAmI(t.Context())
	kind(t, err, dynamics.TooLarge)
}

// TestAFailedAttemptLeavesNothingCounted: of a page that broke off and was asked for
// again only what was delivered counts.
func TestAFailedAttemptLeavesNothingCounted(t *testing.T) {
	asked := 0
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Content-Length", "1000000000")
		}
		longRows(40, 10<<10, "")(w, req)
	})
	b := budgetOf(t, 64<<20)
	ctx, _ := accountIn(t, b)
	page, err := firstPage(ctx, r.open(t), nameOnly)
	if err != nil || asked != 2 {
		t.Fatalf("%v after %d attempts", err, asked)
	}
	if page.Release(); b.Usage().Used != 0 {
		t.Errorf("%d bytes are counted after the release", b.Usage().Used)
	}
}

// TestWhoLeavesASharedCallLeavesNothingCounted: the page is given back with the last of
// those who got it.
func TestWhoLeavesASharedCallLeavesNothingCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := virtual(t, func(r *http.Request) (*http.Response, error) { return slowly(r, 3*time.Second, 200, oneRow) })
		b := budgetOf(t, 64<<20)
		var work sync.WaitGroup
		for i := range 3 {
			s := opened(t, client)
			work.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				a, err := b.Open(0)
				if err != nil {
					t.Error(err)
					return
				}
				defer a.Close()
				ctx := budget.With(t.Context(), a)
				if i == 1 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				page, err := firstPage(ctx, s, nameOnly)
				if i == 1 {
					kind(t, err, dynamics.Cancelled)
					return
				}
				if err != nil || page.Len() != 1 || b.Usage().Used == 0 {
					t.Errorf("%v; %d bytes are counted", err, b.Usage().Used)
				}
			})
		}
		work.Wait()
		if used := b.Usage().Used; used != 0 {
			t.Errorf("%d bytes are still counted", used)
		}
	})
}

// TestManySmallRowsCount: what is remembered of each takes more than its text.
func TestManySmallRowsCount(t *testing.T) {
	const rows, least = dynamics.MaxPageSize, 72 // bytes of a place
	row := `{"accountid":"` + someID + `"},`
	r := newRig(t, answer(200, `{"value":[`+strings.TrimSuffix(strings.Repeat(row, rows), ",")+`]}`))
	b := budgetOf(t, 64<<20)
	ctx, _ := accountIn(t, b)
	page, err := firstPage(ctx, r.open(t), dynamics.Query{})
	if err != nil || page.Len() != rows {
		t.Fatal(err)
	}
	if used := b.Usage().Used; used < rows*least {
		t.Errorf("%d bytes are counted for %d rows", used, rows)
	}
	page.Release()
}
