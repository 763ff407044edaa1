package dynamics_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// longRows answers with rows whose name is long, compressed to almost nothing.
func longRows(rows, length int, envelope string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Preference-Applied", "odata.track-changes")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		name := strings.Repeat("a", length)
		_, _ = io.WriteString(z, `{"value":[`)
		for i := range rows {
			if i > 0 {
				_, _ = io.WriteString(z, ",")
			}
			_, _ = fmt.Fprintf(z, `{"@odata.etag":"W/\"%d\"","accountid":"%s","name":"%s"}`, i, guid(i), name)
		}
		_, _ = io.WriteString(z, "]"+envelope+"}")
	}
}

// TestNothingIsReservedForRowsThatHaveNotCome: what a page takes follows from what
// was read of it, whatever its first rows look like and however many were asked for.
func TestNothingIsReservedForRowsThatHaveNotCome(t *testing.T) {
	const rows, length = 17, 512 << 10
	var before, after runtime.MemStats
	for _, test := range []struct {
		name string
		ask  func(*testing.T, *rig) (int, error)
	}{
		{"search", func(t *testing.T, r *rig) (int, error) {
			page, err := firstPage(t.Context(), r.open(t),
				dynamics.Query{Select: nameOnly.Select, PageSize: dynamics.MaxPageSize})
			if err != nil {
				return 0, err
			}
			return page.Len(), nil
		}},
		{"changes", func(t *testing.T, r *rig) (int, error) {
			page, err := firstChanges(t.Context(), r.open(t), dynamics.ChangesQuery{Select: nameOnly.Select,
				PageSize: dynamics.MaxPageSize})
			if err != nil {
				return 0, err
			}
			return page.Len(), nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var r *rig
			r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
				longRows(rows, length, fmt.Sprintf(`,"@odata.deltaLink":"%s/api/data/v9.2/%s"`, r.URL, deltaLink))(w, req)
			})
			runtime.ReadMemStats(&before)
			n, err := test.ask(t, r)
			runtime.ReadMemStats(&after)
			if err != nil || n != rows {
				t.Fatalf("%d rows, %v", n, err)
			}
			// Everything counts here, what has been freed again too, and the server's share.
			if took := after.TotalAlloc - before.TotalAlloc; took > 6*rows*length {
				t.Errorf("%d MB of rows took %d MB", rows*length>>20, took>>20)
			}
		})
	}
}
