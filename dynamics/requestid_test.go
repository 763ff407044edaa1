package dynamics_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Every call of a piece of work has the id by which Microsoft's support finds it:
// the work's own where it is a GUID, else one that follows from it.
func TestCallsCarryTheRequestID(t *testing.T) {
	const named = "campaign-42/accounts"
	for id, want := range map[string]string{someID: someID, strings.ToUpper(someID): someID, named: dynamics.ClientRequestID(named)} {
		fail := true
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if fail {
				fail = false
				w.WriteHeader(503)
				return
			}
			answerAny(w, req, emptyPage)
		})
		ctx := dynamics.WithRequestID(t.Context(), id)
		for _, q := range []dynamics.Query{nameOnly, long(dynamics.MaxURL)} {
			if _, err := firstPage(ctx, r.open(t), q); err != nil {
				t.Fatal(err)
			}
		}
		for _, req := range r.seen {
			if got := req.Header.Get("X-Ms-Client-Request-Id"); got != want {
				t.Errorf("%s: %s %s with %q, want %q", id, req.Method, req.URL.Path, got, want)
			}
		}
		if len(r.seen) != 3 || r.calls[0].RequestID != want {
			t.Errorf("%d calls, the first %+v", len(r.seen), r.calls[0])
		}
	}
	made, err := uuid.Parse(dynamics.ClientRequestID(named))
	if err != nil || made.Version() != 5 || dynamics.ClientRequestID(named) != made.String() ||
		dynamics.ClientRequestID(named+"x") == made.String() {
		t.Errorf("%s, %v", made, err)
	}
	r := newRig(t, answer(200, emptyPage))
	for range 2 {
		if _, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := r.calls[0].RequestID, r.calls[1].RequestID; a == b || uuid.Validate(a) != nil {
		t.Errorf("work without an id: %q, then %q", a, b)
	}
}
