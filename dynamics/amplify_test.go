package dynamics_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// TestAFewBytesDoNotBecomeMany: texts, labels and rows that nobody could use are not
// kept while an answer of metadata or roles is read, however many of them come.
func TestAFewBytesDoNotBecomeMany(t *testing.T) {
	const most = 32 << 20
	options := func(t *testing.T, r *rig) error {
		_, err := r.open(t).Options(t.Context(), accounts, dynamics.Picklist)
		return err
	}
	for _, c := range []struct {
		name, path, head, unit, tail string
		units                        int
		ask                          func(*testing.T, *rig) error
	}{
		{"labels of an option", "PicklistAttributeMetadata",
			`{"value":[{"LogicalName":"industrycode","OptionSet":{"Options":[{"Value":1,"Label":{"LocalizedLabels":[`, `{}`, `]}}]}}]}`, 4_000_000, options},
		{"labels of a column", "/Attributes", `{"value":[{"LogicalName":"name","DisplayName":{"LocalizedLabels":[`, `{}`, `]}}]}`, 4_000_000,
			func(t *testing.T, r *rig) error { _, err := r.open(t).Columns(t.Context(), accounts); return err }},
		{"names of columns", "PicklistAttributeMetadata", `{"value":[`, `{"LogicalName":"` + strings.Repeat("n", 1<<20) + `"}`, `]}`, 100, options},
		{"roles of a team", "/teams", `{"value":[{"teamid":"` + someID + `","teamroles_association":[`, `{}`, `]}]}`, 2_600_000,
			func(t *testing.T, r *rig) error { _, _, err := r.open(t).Roles(t.Context(), someID); return err }},
		{"privileges on columns", "/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()", `{"AttributePrivileges":[`, `{}`, `]}`, 2_600_000,
			func(t *testing.T, r *rig) error {
				r.tokens.access.Principal = dynamics.Principal{Organization: guid(50), User: guid(51)}
				_, err := r.open(t).Columns(t.Context(), accounts)
				return err
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			units := dynamics.Fewer(c.units) // the bound is shown where it takes seconds
			var before, after runtime.MemStats
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				switch {
				case strings.HasSuffix(req.URL.Path, "/teammembership_association"):
					var teams []string
					for i := range 20 {
						teams = append(teams, fmt.Sprintf(`{"teamid":"%s","name":"t"}`, guid(i)))
					}
					_, _ = io.WriteString(w, `{"value":[`+strings.Join(teams, ",")+`]}`)
					return
				case strings.HasSuffix(req.URL.Path, "/Attributes") && c.path != "/Attributes":
					_, _ = io.WriteString(w, `{"value":[{"LogicalName":"name","IsSecured":true}]}`)
					return
				case !strings.HasSuffix(req.URL.Path, c.path):
					_, _ = io.WriteString(w, `{"value":[]}`)
					return
				}
				some := strings.Repeat(c.unit+",", max(1, 100_000/len(c.unit)))
				perWrite := len(some) / (len(c.unit) + 1)
				_, _ = io.WriteString(w, c.head)
				for sent := 0; sent < units; sent += perWrite {
					if _, err := io.WriteString(w, some); err != nil {
						return
					}
				}
				_, _ = io.WriteString(w, c.unit)
				runtime.GC()
				runtime.ReadMemStats(&after)
				_, _ = io.WriteString(w, c.tail)
			})
			runtime.GC()
			runtime.ReadMemStats(&before)
			if err := c.ask(t, r); err != nil {
				t.Error(err)
			}
			if after.HeapAlloc == 0 {
				t.Fatal("the answer was not asked for")
			}
			if more := int64(after.HeapAlloc) - int64(before.HeapAlloc); more > most {
				t.Errorf("%d MiB were held, want at most %d", more>>20, most>>20)
			}
		})
	}
}

// TestAPageIsNoLongerThanDataversesOwn: 5000 rows are all that Dataverse gives in one.
func TestAPageIsNoLongerThanDataversesOwn(t *testing.T) {
	for rows, want := range map[int]dynamics.Kind{dynamics.MaxPageSize: 0, dynamics.MaxPageSize + 1: dynamics.Upstream} {
		r := newRig(t, longRows(rows, 1, ""))
		if _, err := firstPage(t.Context(), r.open(t), nameOnly); dynamics.KindOf(err) != want {
			t.Errorf("%d rows: %v", rows, err)
		}
	}
}
