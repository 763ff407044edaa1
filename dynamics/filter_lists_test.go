package dynamics_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// numbers are n different values, from 0 on.
func numbers(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(i)
	}
	return out
}

func guids(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = guid(i)
	}
	return out
}

// listed is how a query function writes values that need no escape.
func listed(function, attribute string, values []string) string {
	return `Microsoft.Dynamics.CRM.` + function + `(PropertyName='` + attribute + `',PropertyValues=["` +
		strings.Join(values, `","`) + `"])`
}

func TestListsBeyond500ConditionsUseIn(t *testing.T) {
	parent := column("parentaccountid", dynamics.Lookup)
	quotes := append(numbers(499), `O'Brien "x" \ 50% [a]_🚀`)
	many := numbers(450)
	for _, c := range []struct {
		name   string
		filter dynamics.Filter
		want   string
	}{
		{"as many as there may be", leaf(staff, dynamics.In, numbers(500)...), "(numberofemployees eq " + strings.Join(numbers(500), " or numberofemployees eq ") + ")"},
		{"one too many by null", leaf(industry, dynamics.NotIn, numbers(500)...), `(` + listed("NotIn", "industrycode", numbers(500)) + ` or industrycode eq null)`},
		{"texts are JSON, literal, with escapes for what the lexer counts", leaf(name, dynamics.NotIn, quotes...),
			`(` + strings.Replace(listed("NotIn", "name", quotes), quotes[499], `O\u0027Brien \u0022x\u0022 \u005c 50% \u005ba\u005d_🚀`, 1) + ` or name eq null)`},
		{"money in plain digits", not{and{leaf(revenue, dynamics.In, append(numbers(499), "-1.50E2")...)}},
			`((` + listed("NotIn", "revenue", append(numbers(499), "-150")) + ` or revenue eq null))`},
		{"the key", not{leaf(column("accountid", dynamics.UniqueID), dynamics.In, guids(500)...)}, `(` + listed("NotIn", "accountid", guids(500)) + ` or accountid eq null)`},
		{"short lists stay as they are", and{leaf(staff, dynamics.In, many...), leaf(industry, dynamics.NotIn, "1", "2"), not{leaf(name, dynamics.In, "a", "b", "c")}, or{leaf(name, dynamics.Eq, "x"), leaf(owner, dynamics.In, guids(43)...)}},
			`(` + listed("In", "numberofemployees", many) + ` and ((industrycode ne 1 and industrycode ne 2) or industrycode eq null) and (` + listed("NotIn", "name", []string{"a", "b", "c"}) +
				` or name eq null) and (name eq 'x' or (_ownerid_value eq ` + strings.Join(guids(43), " or _ownerid_value eq ") + `)))`},
		{"lookups only where nothing else helps, by their logical name", and{leaf(parent, dynamics.NotIn, guids(250)...), leaf(owner, dynamics.NotIn, guids(250)...)},
			`((` + listed("NotIn", "parentaccountid", guids(250)) + ` or _parentaccountid_value eq null) and (` + listed("NotIn", "ownerid", guids(250)) + ` or _ownerid_value eq null))`},
		{"a text as long as In takes", leaf(name, dynamics.NotIn, append(numbers(499), strings.Repeat("x", 850))...),
			`(` + listed("NotIn", "name", append(numbers(499), strings.Repeat("x", 850))) + ` or name eq null)`},
		{"a text longer than In takes", leaf(name, dynamics.NotIn, append(numbers(499), strings.Repeat("ü", 851))...),
			`((` + `name ne '` + strings.Repeat("ü", 851) + `' and ` + listed("NotIn", "name", numbers(499)) + `) or name eq null)`},
	} {
		if err := dynamics.Check(c.filter); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := filterOnTheWire(t, c.filter)
		if strings.Contains(c.want, "ü") { // its place among the others is free
			if strings.Count(got, " ne '") != 1 || strings.Count(got, "NotIn") != 1 || len(got) != len(c.want) {
				t.Errorf("%s: %s", c.name, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestEveryFilterOfTheContractFits: 100 leaves and 500 values, in the worst mixes.
func TestEveryFilterOfTheContractFits(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { answerAny(w, req, emptyPage) })
	s := r.open(t)
	for _, c := range []dynamics.Column{name, staff, revenue, industry, owner, column("accountid", dynamics.UniqueID)} {
		for _, leaves := range []int{1, 2, 10, 100} {
			for _, op := range []dynamics.Op{dynamics.In, dynamics.NotIn} {
				var all and
				for i := range leaves {
					values := numbers(500 / leaves)
					if c.Type == dynamics.Lookup || c.Type == dynamics.UniqueID {
						values = guids(500 / leaves)
					}
					if c.Type == dynamics.Text {
						for i := range values {
							values[i] = fmt.Sprintf("%s 'and \"more\" ü", values[i])
						}
					}
					if all = append(all, leaf(c, op, values...)); i == 0 {
						all[0] = not{not{all[0]}}
					}
				}
				if _, err := firstPage(t.Context(), s, dynamics.Query{Filter: all}); err != nil {
					t.Errorf("%s, %d leaves, %s: %v", c.Logical, leaves, op, err)
				}
			}
		}
	}
}
