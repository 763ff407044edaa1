package dynamics_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// costly is what Dataverse says of one query that costs its database too much, by
// its page "Query throttling" and "Query anti-patterns".
var costly = []struct {
	code string
	kind dynamics.Kind
}{
	{"0x80048544", dynamics.Throttled}, {"0x80048644", dynamics.Throttled},
	{"0x80048744", dynamics.Throttled}, {"0x80048745", dynamics.Throttled},
	{"0x80048573", dynamics.Unavailable}, {"0x80048574", dynamics.Unavailable}, {"0x80048575", dynamics.Unavailable},
}

// The code counts and not the status, which is not documented; the message may hold
// words that mean something else elsewhere. It is nobody's limit.
func TestACostlyQueryIsThatQuerysAffair(t *testing.T) {
	const message = "This query conflicts with Query Throttling; Could not find a property named 'name'; paging cookie"
	for _, c := range costly {
		for _, status := range []int{400, 401, 403, 404, 408, 429, 500, 501, 503, 504} {
			g := &gate{}
			r := gated(t, g, answer(status, fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, c.code, message)))
			_, err := firstPage(t.Context(), r.open(t), nameOnly)
			e := kind(t, err, c.kind)
			if !e.OfQuery() || e.Code != c.code || r.tokens.refused != 0 {
				t.Errorf("%d %s: %+v", status, c.code, e)
			}
			want := 1 // a query that took too long would take as long again
			if c.kind == dynamics.Throttled {
				want = 3 // a part of the tries comes through
			}
			if len(r.uris()) != want {
				t.Errorf("%d %s: %d attempts", status, c.code, len(r.uris()))
			}
			for _, a := range g.answers {
				if a.Limit != dynamics.NoLimit {
					t.Errorf("%d %s: the gate heard %+v", status, c.code, a)
				}
			}
		}
	}
}

// A part of the tries is refused: another one may come through. What Dataverse wants
// waited is waited.
func TestAQueryThatIsHeldBackIsTriedAgain(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"error":{"code":"0x80048544","message":"held back"}}`)
			return
		}
		_, _ = fmt.Fprint(w, emptyPage)
	})
	if _, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil {
		t.Error(err)
	}
	r = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":{"code":"0x80048544","message":"held back"}}`)
	})
	_, err := firstPage(t.Context(), r.open(t), nameOnly)
	if e := kind(t, err, dynamics.Throttled); e.RetryAfter != time.Minute || len(r.uris()) != 1 {
		t.Errorf("%+v after %d attempts", e, len(r.uris()))
	}
}

// A count that costs too much is not made page by page, which costs more.
func TestACountThatCostsTooMuchEndsThere(t *testing.T) {
	for _, c := range costly {
		for _, status := range []int{400, 429, 500, 501, 503} {
			var pages atomic.Int64
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				if q, _ := url.QueryUnescape(req.URL.RawQuery); q != "$apply=aggregate($count as c)" {
					pages.Add(1)
				}
				answer(status, fmt.Sprintf(`{"error":{"code":%q,"message":"x"}}`, c.code))(w, req)
			})
			_, err := r.open(t).Count(t.Context(), accounts, nil)
			kind(t, err, c.kind)
			if pages.Load() != 0 {
				t.Errorf("%d %s: %d pages were asked for", status, c.code, pages.Load())
			}
		}
	}
}
