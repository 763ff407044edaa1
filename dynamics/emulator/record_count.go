package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// RetrieveTotalRecordCount tells how many rows tables had when they were last counted (6.4): here
// when the server was made, and again whenever somebody asks and the last count is 24 hours old. It
// never tells how many there are now.

const recountAfter = 24 * time.Hour

type recordCounts struct {
	mu sync.Mutex
	at time.Time
	n  map[string]int // by logical name
	// set is what a test wants them to be.
	set map[string]int64
}

// recordCounts are the counts as of the last time that somebody counted.
func (s *Server) recordCounts() map[string]int64 {
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
	out := make(map[string]int64, len(x.n))
	for name, n := range x.n {
		out[name] = int64(n)
	}
	maps.Copy(out, x.set)
	return out
}

// SetRecordCount has RetrieveTotalRecordCount tell a number that is not true, as one of yesterday
// is, or the 0 of an environment that never counted; a negative one takes that back. False where
// there is no such table.
func (c TableControl) SetRecordCount(n int64) bool {
	t, x := c.table(), &c.s.counted
	if t == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if n < 0 {
		delete(x.set, t.logical)
		return true
	}
	if x.set == nil {
		x.set = map[string]int64{}
	}
	x.set[t.logical] = n
	return true
}

// totalRecordCount answers RetrieveTotalRecordCount(EntityNames=…), the names as an alias or
// inline; one bad name fails all.
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
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
				message: "Required field 'EntityNames' is missing"}
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
	values := make([]int64, len(names))
	for i, n := range names {
		if values[i] = counts[n]; !there[n] { // one that was added since the last count has none
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
				message: fmt.Sprintf("Entity %s was not found in the CRM system", n)}
		}
	}
	return c.jsonAnswer(object{{"@odata.context", c.base +
		"$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse"},
		{"EntityRecordCountCollection", object{{"Count", len(names)}, {"IsReadOnly", false}, {"Keys", names},
			{"Values", values}}}})
}
