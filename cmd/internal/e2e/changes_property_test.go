package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Rows that come, go and change before every page that Dataverse is asked for do
// not disturb those whose filtered and ordered columns stay as they are: each of
// them comes exactly once, in page and in stream mode, whether the pages fit into
// messages or have to be split. CRMBRIDGE_TEST_SEED and CRMBRIDGE_TEST_SEARCHES
// choose other searches and how many.
func TestSearchesGiveStableRowsOnceWhileOthersChange(t *testing.T) {
	forTables(t, testSearchesWhileRowsChange)
}

func testSearchesWhileRowsChange(t *testing.T, table *testedTable) {
	seed := numberFrom(t, "CRMBRIDGE_TEST_SEED", 4)
	count := int(numberFrom(t, "CRMBRIDGE_TEST_SEARCHES", map[bool]uint64{false: 48, true: 8}[raceDetector || testing.Short()]))
	count = max(8, count/table.share)
	t.Logf("CRMBRIDGE_TEST_SEED=%d, %d searches", seed, count)
	rng := rand.New(rand.NewPCG(seed, 2))
	var unrest atomic.Pointer[changingRows]
	var clock testClock
	options := table.options(1100)
	options.Now = clock.now
	w := bridgetest.NewWrapped(t, options, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if rows := unrest.Load(); rows != nil && (strings.HasSuffix(r.URL.Path, "/"+table.Set) || strings.HasSuffix(r.URL.Path, "/$batch")) {
				rows.step()
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.Tables = table.Name
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	clock.seconds.Add(1)
	control := w.Emulator.Control()
	hostileWorld(rng, table, control)
	for _, row := range table.rows(control) { // so that a page of all rows is split
		description, _ := row["description"].(string)
		row["description"] = description + strings.Repeat(" and more", 200)
		table.putRow(control, row)
	}
	client, _ := w.Client()
	stableRows, changes, parts, split := 0, 0, 0, 0
	for number := range count {
		in, rows := randomSearch(rng, table, control, &clock, number)
		unrest.Store(rows)
		var got map[string]int
		var messages int
		var err error
		if number/2%2 == 0 {
			got, messages, err = deliveries(table.of(client).Pages(t.Context(), in))
		} else {
			got, messages, err = deliveries(table.of(client).Stream(t.Context(), in))
		}
		unrest.Store(nil)
		text, jsonErr := json.Marshal(&in)
		must(jsonErr)
		if err != nil {
			t.Fatalf("search %d: %v\n%s", number, err, text)
		}
		faults, stable := rows.faults(got)
		if len(faults) > 0 {
			t.Fatalf("seed %d, search %d: %d faults, the first: %s\n%s", seed, number, len(faults), faults[0], text)
		}
		stableRows, changes, parts = stableRows+stable, changes+rows.changes, parts+messages
		if number%2 == 1 && messages > 1 {
			split++
		}
	}
	t.Logf("%d searches in %d messages, %d of them with split pages: %d stable rows came once through %d changes", count, parts, split, stableRows, changes)
}

// randomSearch is a search whose pages are small, or, for odd numbers, one whose
// page is too large for a message; and the rows, watched by the columns it uses.
func randomSearch(rng *rand.Rand, table *testedTable, control emulator.Control, clock *testClock, number int) (messages.SearchRequest, *changingRows) {
	rows := newChangingRows(rng, table, control, clock)
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"id"}, PageSize: messages.Count(20 + rng.IntN(300))}
	if number%2 == 1 {
		in.Fields, in.PageSize = []string{"id", "description", "name", "owner", "merged_into"}, messages.Count(620+rng.IntN(800))
	}
	trees := newWhereTrees(rng, rows.oracle)
	for rng.IntN(12) > 0 {
		where := trees.tree()
		text, err := json.Marshal(&where)
		must(err)
		if n := len(rows.oracle.match(&where)); n > len(rows.now)*(1+number%2*5)/8 && n < len(rows.now) && len(text) < 2000 {
			in.Where, rows.filter = &where, rows.oracle.compile(&where)
			rows.use(&where)
			break
		}
	}
	for _, i := range rng.Perm(len(table.columns))[:rng.IntN(4)] {
		c := table.columns[i]
		if c.kind == messages.FieldChoices || c.kind == messages.FieldLookup || c.logical == "description" {
			continue // by a lookup Dataverse pages by number: rows that come and go shift the others
		}
		field := one(rng, c.names)
		if rng.IntN(2) == 0 {
			field = "-" + field
		}
		in.OrderBy = append(in.OrderBy, field)
		rows.used[c] = true
	}
	return in, rows
}

// deliveries counts how often each row comes, and the messages.
func deliveries(pages func(func(*messages.Page, error) bool)) (got map[string]int, parts int, err error) {
	got = map[string]int{}
	for page, err := range pages {
		if err != nil {
			return nil, parts, err
		}
		parts++
		for _, row := range page.Rows {
			got[row.Text("id")]++
		}
	}
	return got, parts, nil
}

// changingRows are the emulator's rows while they change, and what is known of them.
type changingRows struct {
	rng     *rand.Rand
	table   *testedTable
	control emulator.Control
	clock   *testClock
	oracle  *oracle // of the rows at the start
	now     []emulator.Row
	at      map[string]int // their indexes
	filter  oracleTest
	used    map[*oracleColumn]bool
	// known are the rows that were there at some time; moved those of them whose used
	// columns changed, born those that were not there at the start.
	known       map[string]*oracleRow
	moved, born map[string]bool
	// steps are the pages asked for, each after some changes.
	steps, changes int
}

func newChangingRows(rng *rand.Rand, table *testedTable, control emulator.Control, clock *testClock) *changingRows {
	c := &changingRows{rng: rng, table: table, control: control, clock: clock, now: table.rows(control), at: map[string]int{},
		filter: func(*oracleRow) bool { return true }, used: map[*oracleColumn]bool{},
		known: map[string]*oracleRow{}, moved: map[string]bool{}, born: map[string]bool{}}
	for i, row := range c.now {
		id := table.id(row)
		c.at[id], c.known[id] = i, oracleRowOf(table, row)
	}
	c.oracle = newOracle(table, c.now)
	return c
}

// use notes the columns of a filter.
func (c *changingRows) use(w *messages.Where) {
	if w.Not != nil {
		c.use(w.Not)
	}
	for _, list := range [][]messages.Where{w.And, w.Or} {
		for i := range list {
			c.use(&list[i])
		}
	}
	if w.Field != "" {
		c.used[c.oracle.names[w.Field]] = true
	}
}

// step changes a few rows.
func (c *changingRows) step() {
	c.steps++
	c.clock.seconds.Add(1)
	for range c.rng.IntN(24) {
		c.changes++
		switch c.rng.IntN(6) {
		case 0, 1:
			row, id := maps.Clone(one(c.rng, c.now)), fmt.Sprintf("%08x-0000-4000-8000-%012x", c.rng.Uint32(), c.rng.Uint64N(1<<48))
			row[c.table.Key] = id
			c.mix(row)
			c.put(row)
			c.at[id], c.born[id], c.known[id] = len(c.now), true, oracleRowOf(c.table, row)
			c.now = append(c.now, row)
		case 2, 3:
			c.remove(c.rng.IntN(len(c.now)))
		default:
			row := c.now[c.rng.IntN(len(c.now))]
			before := oracleRowOf(c.table, row)
			c.mix(row)
			c.put(row)
			c.noteChange(before, oracleRowOf(c.table, row))
		}
	}
}

func (c *changingRows) remove(i int) {
	gone, last := c.table.id(c.now[i]), len(c.now)-1
	c.table.remove(c.control, gone)
	c.now[i] = c.now[last]
	c.at[c.table.id(c.now[i])] = i
	c.now = c.now[:last]
	delete(c.at, gone)
}

// mix takes over a few columns of another row.
func (c *changingRows) mix(row emulator.Row) {
	other := one(c.rng, c.now)
	for range c.rng.IntN(6) {
		column := one(c.rng, c.table.columns)
		if column.value != nil || column.logical == c.table.Key || column.logical == "modifiedon" {
			continue
		}
		if value, there := other[column.logical]; there {
			row[column.logical] = value
		} else {
			delete(row, column.logical)
		}
	}
}

// put writes the row, which sets modified_at.
func (c *changingRows) put(row emulator.Row) {
	c.table.putRow(c.control, row)
	row["modifiedon"] = c.clock.now()
}

func (c *changingRows) noteChange(before, after *oracleRow) {
	for column := range c.used {
		if before.cells[column.index] != after.cells[column.index] {
			c.moved[after.id] = true
		}
	}
}

// faults compares with what was delivered, and counts the rows that had to come.
func (c *changingRows) faults(got map[string]int) (faults []string, stable int) {
	for id, row := range c.known {
		_, there := c.at[id]
		matches := c.filter(row)
		switch {
		case c.moved[id]: // nothing is promised
		case !matches && got[id] > 0:
			faults = append(faults, id+" does not match and came")
		case got[id] > 1:
			faults = append(faults, fmt.Sprintf("%s came %d times", id, got[id]))
		case matches && there && !c.born[id]:
			if stable++; got[id] == 0 {
				faults = append(faults, id+" did not come")
			}
		}
	}
	return faults, stable
}

// testClock is the emulator's: the time of day until somebody has signed in, and
// then its own seconds, so that modified_at is the same for the same seed.
type testClock struct{ seconds atomic.Int64 }

func (c *testClock) now() time.Time {
	if n := c.seconds.Load(); n > 0 {
		return time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	}
	return time.Now()
}
