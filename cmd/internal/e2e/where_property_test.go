package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// whereDeadline is long enough for the largest tree on a slow machine.
const whereDeadline = time.Minute

// Random where trees, asked over NATS in stream mode, find exactly the rows that
// the oracle finds. CRMBRIDGE_TEST_TREES says how many, CRMBRIDGE_TEST_SEED which.
func TestWhereTreesFindExactlyTheirRows(t *testing.T) { forTables(t, testWhereTrees) }

func testWhereTrees(t *testing.T, table *testedTable) {
	seed := numberFrom(t, "CRMBRIDGE_TEST_SEED", 4)
	count := numberFrom(t, "CRMBRIDGE_TEST_TREES", map[bool]uint64{false: 3000, true: 200}[raceDetector || testing.Short()])
	count = max(count/uint64(table.share), min(count, 100)) // fewer would not have every operator
	t.Logf("CRMBRIDGE_TEST_SEED=%d, %d trees", seed, count)
	rng := rand.New(rand.NewPCG(seed, 1))
	var clock testClock
	options := table.options(1500)
	options.Now = clock.now
	w := table.world(t, options)
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	clock.seconds.Add(1)
	o := hostileWorld(rng, table, w.Emulator.Control())
	trees := newWhereTrees(rng, o)
	client, _ := w.Client()

	work, failed := make(chan whereCase), make(chan whereCase, 1)
	var wait sync.WaitGroup
	var tally whereTally
	for range 6 {
		wait.Go(func() {
			for c := range work {
				want := o.match(&c.where)
				tally.add(len(want), len(o.rows))
				if c.fault = asks(t.Context(), table.of(client), c, want); c.fault != "" {
					select {
					case failed <- c:
					default: // one is enough
					}
				}
			}
		})
	}
	for i := 0; i < int(count) && len(failed) == 0; i++ {
		c := whereCase{number: i, where: trees.tree(), total: rng.IntN(4) == 0}
		if rng.IntN(20) == 0 {
			c.pageSize = messages.Count(50 + rng.IntN(700))
		}
		work <- c
	}
	close(work)
	wait.Wait()
	if len(failed) > 0 {
		c := <-failed
		first := c.fault
		c = shrink(c, func(c whereCase) string { return asks(t.Context(), table.of(client), c, o.match(&c.where)) })
		text, err := json.Marshal(&c.where)
		must(err)
		t.Fatalf("seed %d, tree %d: %s\nshrunk: %s\n%s", seed, c.number, first, c.fault, text)
	}
	t.Logf("%d trees: %s", count, &tally)
	for _, p := range trees.pairs {
		if key := fmt.Sprint(p.column.kind, " ", p.op); trees.seen[key] == 0 {
			t.Errorf("no tree had %s", key)
		}
	}
}

// hostileWorld adds the hostile rows, takes out those whose case is a matter of
// collation, and gives the oracle what is then there.
func hostileWorld(rng *rand.Rand, table *testedTable, control emulator.Control) *oracle {
	for _, row := range whereRows(rng, table, table.rows(control)) {
		table.putRow(control, row)
	}
	var rows []emulator.Row
	for _, row := range table.rows(control) {
		if slices.ContainsFunc(table.columns, func(c *oracleColumn) bool { return !caseIsClear(c.get(row).raw) }) {
			table.remove(control, table.id(row))
		} else {
			rows = append(rows, row)
		}
	}
	return newOracle(table, rows)
}

type whereCase struct {
	number   int
	where    messages.Where
	pageSize messages.Count
	total    bool
	fault    string
}

// asks sends the tree and says how the answer differs from what is wanted, "" if
// it does not.
func asks(ctx context.Context, client *messages.TableClient, c whereCase, want map[string]bool) string {
	ctx, cancel := context.WithTimeout(ctx, whereDeadline)
	defer cancel()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Where: &c.where, Fields: []string{"id"},
		PageSize: c.pageSize, IncludeTotal: c.total}
	got, first := map[string]bool{}, true
	for page, err := range client.Stream(ctx, in) {
		if err != nil {
			return "refused: " + err.Error()
		}
		if first && c.total && page.Total == nil {
			return "no total"
		}
		if first && c.total && *page.Total != int64(len(want)) {
			return fmt.Sprintf("a total of %d, want %d", *page.Total, len(want))
		}
		first = false
		for _, row := range page.Rows {
			id := row.Text("id")
			if got[id] {
				return "twice: " + id
			}
			got[id] = true
		}
	}
	if c.total {
		n, err := client.Count(ctx, messages.CountRequest{Target: in.Target, Where: in.Where})
		if err != nil || n != int64(len(want)) {
			return fmt.Sprintf("a count of %d, want %d (%v)", n, len(want), err)
		}
	}
	for id := range got {
		if !want[id] {
			return fmt.Sprintf("%d rows, want %d; %s is one too many", len(got), len(want), id)
		}
	}
	for id := range want {
		if !got[id] {
			return fmt.Sprintf("%d rows, want %d; %s is missing", len(got), len(want), id)
		}
	}
	return ""
}

// whereTally shows whether the trees were worth asking.
type whereTally struct {
	mu              sync.Mutex
	none, some, all int
}

func (t *whereTally) add(got, of int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch got {
	case 0:
		t.none++
	case of:
		t.all++
	default:
		t.some++
	}
}

func (t *whereTally) String() string {
	return fmt.Sprintf("%d match no row, %d some, %d all", t.none, t.some, t.all)
}

// numberFrom is a number from the environment.
func numberFrom(t *testing.T, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
