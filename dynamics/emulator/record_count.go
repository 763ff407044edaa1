package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// RetrieveTotalRecordCount tells how many rows tables had when they were last counted (6.4): here when the server was made, and
// again whenever somebody asks and the last count is 24 hours old. It never tells how many there are now.

const recountAfter = 24 * time.Hour

type recordCounts struct {
	mu sync.Mutex
	at time.Time
	n  map[string]int // by logical name
}

// recordCounts are the counts as of the last time that somebody counted.
func (s *Server) recordCounts() map[string]int {
	x := &s.counted
	x.mu.Lock()
	defer x.mu.Unlock()
	if now := s.opts.Now(); x.n == nil || now.Sub(x.at) > recountAfter {
		x.at, x.n = now, map[string]int{}
		v := s.data.view()
		for _, t := range s.schema.now.Load().tables {
			if t.slots > 0 { // without making them
				x.n[t.logical] = v.set(t.logical).count()
			} else {
				x.n[t.logical] = len(t.rows(v))
			}
		}
	}
	return x.n
}

// totalRecordCount answers RetrieveTotalRecordCount(EntityNames=…), the names as an alias or inline; one bad name fails all.
func (c *call) totalRecordCount(path []segment) (*answer, *fault) {
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return nil, methodRefused(c.method)
	}
	o, fail := c.options()
	if fail != nil {
		return nil, fail
	}
	text, ok := strings.CutPrefix(path[0].key, "EntityNames=")
	if !ok || len(path) > 1 {
		return nil, noSegment(path[0].name)
	}
	if strings.HasPrefix(text, "@") {
		if text, ok = o.aliases[text]; !ok {
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument, message: "Required field 'EntityNames' is missing"}
		}
	}
	names, fail := arrayItems(token{kind: tokArray, text: strings.TrimSpace(text)})
	if fail != nil {
		return nil, fail
	}
	slices.Sort(names)
	names = slices.Compact(names) // the answer is a dictionary
	there := map[string]bool{}
	for _, t := range c.tables() {
		there[t.logical] = true
	}
	counts := c.s.recordCounts()
	values := make([]int, len(names))
	for i, n := range names {
		if values[i] = counts[n]; !there[n] { // one that was added since the last count has none
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument, message: fmt.Sprintf("Entity %s was not found in the CRM system", n)}
		}
	}
	return c.jsonAnswer(object{{"@odata.context", c.base + "$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse"},
		{"EntityRecordCountCollection", object{{"Count", len(names)}, {"IsReadOnly", false}, {"Keys", names}, {"Values", values}}}})
}
