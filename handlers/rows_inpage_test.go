package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// TestAStreamsPartsStandInThePage: of a long page no part is copied, and all of them hold the
// rows that they should.
func TestAStreamsPartsStandInThePage(t *testing.T) {
	all := rows(0, 4000, 600)
	d, _, _ := operated(t, all)
	for _, limit := range []messages.Count{0, 3000} {
		in := streamOf(limit)
		in.PageSize = messages.MaxPageSize
		s := begun(t, t.Context(), d, in)
		var got []string
		for last := false; !last; {
			part, err := s.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var body struct {
				ID       string `json:"request_id"`
				Accounts []struct{ ID string }
			}
			if err := json.Unmarshal(part.Body, &body); err != nil || body.ID != "x" || len(part.Body) > 1<<20 {
				t.Fatalf("%v, %d bytes", err, len(part.Body))
			}
			if !s.inPage || s.body != nil {
				t.Errorf("limit %d: the part after %d rows is copied", limit, len(got))
			}
			if again := bytes.Count(part.Body, []byte(`"id":`)); again != part.Rows {
				t.Errorf("%d ids in a part of %d rows", again, part.Rows)
			}
			for _, row := range body.Accounts {
				got = append(got, row.ID)
			}
			last = part.Last
		}
		want := idsOfRows(all)
		if limit > 0 {
			want = want[:limit]
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("limit %d: %d rows, or in another order", limit, len(got))
		}
	}
}
