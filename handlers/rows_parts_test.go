package handlers

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Parts are within the budget to the byte, have as many items as fit, and are the page
// together.
func TestPartsOfAPage(t *testing.T) {
	random := rand.New(rand.NewPCG(31, 32))
	entity := accounts(t)
	for range 3000 {
		k := &packing{entity: entity, end: []byte(`,"e":"` + strings.Repeat("e", random.IntN(40)) + `"}`),
			last: []byte(`,"l":"` + strings.Repeat("l", random.IntN(200)) + `"}`)}
		k.call = route.Call{RequestID: "r", Connection: "acme", Budget: 300 + random.IntN(300),
			Job: &route.Job{MaxParts: random.IntN(30)}}
		var listed listedRows
		longest := 1 + random.IntN(120)
		for range random.IntN(40) {
			listed = append(listed, []byte(`"`+strings.Repeat("x", random.IntN(longest))+`"`))
		}
		k.rows = listed
		if random.IntN(2) == 0 {
			k.between = noDeletions
			for range random.IntN(20) {
				k.deleted = append(k.deleted, nobody)
			}
		}
		if random.IntN(2) == 0 {
			k.call.Job.Encode = func(body []byte) ([]byte, error) {
				return slices.Clone(body[:len(body)-len(body)/7]),
					nil
			} // shorter, somehow
		}
		parts, err := k.parts(t.Context())
		if errors.Is(err, errManyParts) {
			continue
		}
		if err != nil {
			if code := route.Classify(t.Context(), false, err).Code; code != messages.TooLarge ||
				k.frame(true)+longest+2 < k.call.Budget {
				t.Fatal(err)
			}
			continue
		}
		if most := k.call.Job.MaxParts; most > 0 && len(parts) > most {
			t.Fatalf("%d parts", len(parts))
		}
		var rows []jsontext.Value
		deleted, items := 0, len(listed)+len(k.deleted)
		from := 0
		for i, part := range parts {
			last := i == len(parts)-1
			if len(part.Body) > k.call.Budget || part.Rows == 0 && items > 0 {
				t.Fatalf("%d bytes of %d, %d rows", len(part.Body), k.call.Budget, part.Rows)
			}
			from += part.Rows
			if part.Encoded != (k.call.Job.Encode != nil) {
				t.Fatal("not as asked for")
			}
			if part.Encoded {
				continue
			}
			if !last && k.size(from-part.Rows, from+1, from+1 == items) <= k.call.Budget {
				t.Fatalf("one item more would have fitted into part %d", i)
			}
			var body struct {
				Accounts []jsontext.Value `json:"accounts"`
				Deleted  []string         `json:"deleted"`
				End      *string          `json:"e"`
				Last     *string          `json:"l"`
			}
			if err := json.Unmarshal(part.Body, &body); err != nil || (body.End == nil) != last ||
				(body.Last == nil) == last || (body.Deleted != nil) != (k.between != "") {
				t.Fatalf("%s: %v", part.Body, err)
			}
			rows = append(rows, body.Accounts...)
			deleted += len(body.Deleted)
		}
		if from != items {
			t.Fatalf("%d items of %d", from, items)
		}
		if k.call.Job.Encode == nil && (deleted != len(k.deleted) ||
			!slices.EqualFunc(rows, listed, func(a jsontext.Value, b []byte) bool { return string(a) == string(b) })) {
			t.Fatalf("%d rows and %d deletions", len(rows), deleted)
		}
	}
}
