//go:build !race

package handlers

import (
	"testing"

	"github.com/crmbridge/crmbridge/handlers/route"
)

// Bodies of a page are made in memory that an earlier page gave back: their number decides
// what is allocated, and their length does not. (Pools lose what they have at random under
// the race detector.)
func TestWhatPartsAllocate(t *testing.T) {
	row := make(listedRows, 5000)
	for i := range row {
		row[i] = []byte(`{"id":"00000000-0000-0000-0000-000000000001","name":"Fabrikam","website":"https://www.fabrikam.example/",` +
			`"industry":{"code":7,"label":"Consulting"},"employees":120,"city":"Berlin"}`)
	}
	for name, c := range map[string]struct {
		encode func([]byte) ([]byte, error)
		want   float64
	}{
		"plain":      {nil, 12},
		"compressed": {func(body []byte) ([]byte, error) { return body[:1], nil }, 12},
	} {
		entity := accounts(t)
		if got := testing.AllocsPerRun(20, func() {
			k := &packing{entity: entity, rows: row, end: []byte("}"), last: []byte("}")}
			k.call = route.Call{RequestID: "r", Connection: "acme", Budget: 1 << 20, Job: &route.Job{Encode: c.encode}}
			parts, err := k.parts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			giveParts(parts)
		}); got > c.want {
			t.Errorf("%s: %v allocations, want %v at most", name, got, c.want)
		}
	}
}
