package dynamics_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// TestAMessageStandsInItsPage: what a page gives in place is what it copies, whatever the rows'
// lengths; long pages of usual rows are given in place whole, each message as full as it can be.
func TestAMessageStandsInItsPage(t *testing.T) {
	const size = 1<<20 - 200
	head, tail := []byte(`{"accounts":[`), []byte(`]}`)
	frame := dynamics.Messages{Size: size, Head: len(head), Tail: 65}
	random := rand.New(rand.NewPCG(12, 1))
	for _, test := range []struct {
		name    string
		rows    int
		length  func(i int) int
		inPlace int // messages of the page that must stand in it
	}{
		{"none", 0, nil, 0},
		{"few", 3, func(int) int { return 20 }, 0},
		{"one block", 400, func(int) int { return 100 }, 0},
		{"one message", 1000, func(int) int { return 300 }, 1},
		{"usual rows", 5000, func(int) int { return random.IntN(700) }, 2},
		{"each another length", 5000, func(i int) int { return i % 1500 }, 3},
		{"first one long", 5000, func(i int) int { return 20_000 * max(1-i, 0) }, 0},
		{"first one alone", 5000, func(i int) int { return 200 + 60_000*max(1-i, 0) }, 0},
		{"long ones between", 2000, func(i int) int { return []int{50, 70_000}[min(i%100, 1)^1] }, 0},
		{"any", 3000, func(int) int { return 1 << random.IntN(14) }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := []byte(`{"value":[`)
			for i := range test.rows {
				answer = fmt.Appendf(answer, `{"accountid":"%s","name":"%s"},`, guid(i), strings.Repeat("x", test.length(i)))
			}
			answer = append(bytes.TrimSuffix(answer, []byte(",")), "]}"...)
			query := nameOnly
			query.PageSize, query.Messages = dynamics.MaxPageSize, frame
			session, closing := cannedSession(t, answer, "t")
			defer closing()
			for range 2 { // the second in the memory of the first
				page, err := firstPage(t.Context(), session, query)
				if err != nil || page.Len() != test.rows {
					t.Fatal(err)
				}
				inPlace := 0
				for first := 0; first < page.Len(); {
					n := 1
					for first+n < page.Len() && len(head)+page.Size(first, n+1)+65 <= size {
						n++
					}
					want := append(page.AppendRows(bytes.Clone(head), first, n), tail...)
					got := page.Message(first, n, head, tail)
					if got != nil {
						inPlace++
					}
					if got != nil && !bytes.Equal(got, want) ||
						string(page.AppendRows(nil, first, n)) != string(want[len(head):len(want)-2]) {
						t.Fatalf("rows from %d on are others in place", first)
					}
					if page.Message(first, n+1-2*min(n-1, 1), head, tail) != nil && first+n < page.Len() {
						t.Errorf("other rows than those of a message stand in place")
					}
					first += n
				}
				if inPlace < test.inPlace {
					t.Errorf("%d messages stand in the page, want %d", inPlace, test.inPlace)
				}
				page.Release()
			}
		})
	}
}
