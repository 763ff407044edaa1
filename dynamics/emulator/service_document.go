package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// sets are the names of the entity sets in order.
func sets(tables map[string]*table) []string { return slices.Sorted(maps.Keys(tables)) }

func (c *call) serviceDocument() (*answer, *fault) {
	b := []byte(`{"@odata.context":`)
	b = append(appendString(b, c.base+"$metadata"), `,"value":[`...)
	for i, n := range sets(c.tables()) {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"name":"%s","kind":"EntitySet","url":"%s"}`, n, n)
	}
	return &answer{status: http.StatusOK, body: append(b, "]}"...)}, nil
}
