package dynamics_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// TestNothingIsLeftOfAPageThatFailed: its buffers go to the next attempt, and what
// was in them must not.
func TestNothingIsLeftOfAPageThatFailed(t *testing.T) {
	n := 0
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Preference-Applied", "odata.track-changes,odata.maxpagesize=2")
		whole := fmt.Sprintf(`{"value":[%s,%s],"@odata.deltaLink":"%s/api/data/v9.2/%s"}`, deletedRow(otherID), changedRow,
			r.URL, deltaLink)
		if n++; n < 3 {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			whole = whole[:len(whole)-1]
		}
		_, _ = io.WriteString(w, whole)
	})
	page, err := firstChanges(t.Context(), r.open(t), changedNames)
	if err != nil || page.Deleted() != 1 || page.DeletedID(0) != otherID || page.Len() != 1 || n != 3 {
		t.Errorf("%v after %d attempts; %d deleted, %d rows", err, n, page.Deleted(), page.Len())
	}
}
