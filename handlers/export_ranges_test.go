package handlers

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/dynamics"
)

const (
	simulatedRows = 500_000
	simulatedPage = 5000
	year          = 365 * 24 * 3600
)

// A simulation reads rows, given by their seconds in order, through a table of ranges, as
// so many readers do whose pages take one unit of time each.
type simulation struct {
	t       testing.TB
	seconds []int64
	table   *rangeTable
	page    int
	got     []int // how often each row was delivered
	calls   int
	random  *rand.Rand // makes pages take up to twice the time, nil for no difference
}

type event struct {
	at   float64
	r    *openRange
	in   bounds
	to   []int // rows of the page
	more bool
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// read is the page of a range from row from on, in the bounds that it is asked for with.
func (s *simulation) read(r *openRange, from int) (rows []int, more bool) {
	lo, hi := 0, len(s.seconds)
	asked := r.asked
	switch {
	case asked.WithoutTime:
		return nil, false
	case !r.whole:
		if !asked.FromAny {
			lo, _ = slices.BinarySearch(s.seconds, asked.From)
		}
		if !asked.ToAny {
			hi, _ = slices.BinarySearch(s.seconds, asked.To)
		}
	}
	for i := max(lo, from); i < hi && len(rows) < s.page; i++ {
		rows = append(rows, i)
	}
	last := max(lo, from) + len(rows)
	return rows, last < hi
}

// run returns the time until everything is delivered: one page, one look-up, and then all
// readers.
func (s *simulation) run(readers int) float64 {
	s.got = make([]int, len(s.seconds))
	first := s.seconds[min(s.page, len(s.seconds))-1]
	s.table = slicedTable(first, s.seconds[len(s.seconds)-1], true, int64(readers))
	places := map[*openRange]int{}
	s.calls = 2
	now := 1.0
	deliver := func(r *openRange, rows []int, more bool) {
		span := pageSpan{rows: len(rows)}
		if len(rows) > 0 {
			span.first, span.last, span.timed = s.seconds[rows[0]], s.seconds[rows[len(rows)-1]], true
			places[r] = rows[len(rows)-1] + 1
		}
		for _, row := range rows {
			if r.has(s.seconds[row], true) {
				s.got[row]++
			}
		}
		if more {
			span.next = "x"
		}
		s.table.advance(r, span)
	}
	rows, more := s.read(s.table.open[0], 0)
	deliver(s.table.open[0], rows, more)
	now++ // the look-up
	under := &events{}
	for len(s.table.open) > 0 {
		for len(*under) < readers {
			r := s.table.free()
			if r == nil {
				break
			}
			r.busy = true
			rows, more := s.read(r, places[r])
			takes := 1.0
			if s.random != nil {
				takes += s.random.Float64()
			}
			heap.Push(under, event{at: now + takes, r: r, in: r.bounds, to: rows, more: more})
			s.calls++
		}
		next := heap.Pop(under).(event)
		now = next.at
		deliver(next.r, next.to, next.more)
	}
	for row, n := range s.got {
		if n != 1 {
			s.t.Fatalf("row %d came %d times", row, n)
		}
	}
	return now
}

// distributions are how the rows of a table may lie in time.
func distributions(random *rand.Rand) map[string]func(i int) int64 {
	hour := int64(2 * year)
	return map[string]func(i int) int64{
		"uniform": func(int) int64 { return random.Int64N(5 * year) },
		"growth":  func(int) int64 { return int64(5*year + math.Log(1-random.Float64()*0.9933)*year) },
		"80 % within one hour": func(i int) int64 {
			if i%10 < 8 {
				return hour + random.Int64N(3600)
			}
			return random.Int64N(5 * year)
		},
		"70 % within one hour": func(i int) int64 {
			if i%10 < 7 {
				return hour + random.Int64N(3600)
			}
			return random.Int64N(5 * year)
		},
		"30 % within one second": func(i int) int64 {
			if i%10 < 3 {
				return hour
			}
			return random.Int64N(5 * year)
		},
		"all within one second": func(int) int64 { return hour },
		"one minute":            func(int) int64 { return hour + random.Int64N(60) },
	}
}

func simulated(t testing.TB, random *rand.Rand, rows, page int, at func(int) int64) *simulation {
	s := &simulation{t: t, page: page, seconds: make([]int64, rows)}
	for i := range s.seconds {
		s.seconds[i] = at(i)
	}
	slices.Sort(s.seconds)
	return s
}

// How much sooner readers are done than one who reads in sequence, by the number of calls
// that come one after the other, look-up and empty halves included.
func TestHowRangesAreShared(t *testing.T) {
	for name, want := range map[string]map[int]float64{
		"uniform":                {8: 6, 12: 8, 16: 9.5},
		"growth":                 {8: 5.7, 12: 7.4, 16: 9.5},
		"80 % within one hour":   {8: 5, 12: 6.4, 16: 7},
		"70 % within one hour":   {8: 5.4, 12: 6.9, 16: 8},
		"30 % within one second": {8: 2.6, 12: 2.6, 16: 2.6},
		"all within one second":  {8: 0.95, 16: 0.95},
		"one minute":             {8: 6, 16: 9.5},
	} {
		random := rand.New(rand.NewPCG(9, 10))
		at := distributions(random)
		s := simulated(t, random, simulatedRows, simulatedPage, at[name])
		for readers, least := range want {
			took := s.run(readers)
			ratio := float64(simulatedRows) / simulatedPage / took
			t.Logf("%s, %d readers: %.1f times as fast, %d calls", name, readers, ratio, s.calls)
			if ratio < least {
				t.Errorf("%s, %d readers: %.2f times as fast with %d calls, want %.1f", name, readers, ratio, s.calls,
					least)
			}
			if s.calls > 180 {
				t.Errorf("%s, %d readers: %d calls for 100 pages", name, readers, s.calls)
			}
		}
	}
}

// Whatever the rows' times are and in whatever order pages come, each row comes once, also
// where the table is written down and read again at any page.
func TestRangesHaveEachRowOnce(t *testing.T) {
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 1))
		for _, at := range distributions(random) {
			s := simulated(t, random, 200+random.IntN(2000), 1+random.IntN(100), at)
			if len(s.seconds) > s.page {
				s.random = random
				s.run(1 + random.IntN(16))
			}
		}
	}
}

// A place tells of the whole table.
func TestATableIsWrittenDown(t *testing.T) {
	table := slicedTable(1000, 2000, true, 5)
	table.advance(table.open[0], pageSpan{rows: 3, first: 900, last: 1000, timed: true, next: "tA",
		trail: trail{Pages: 3, Sum: 1 << 63}})
	table.advance(table.open[1], pageSpan{rows: 3, first: 1250, last: 1260, timed: true, next: "tB"})
	table.open = append(table.open, table.open[1].split())
	raw, err := json.Marshal(table.snapshot(7))
	if err != nil {
		t.Fatal(err)
	}
	var p rangesPlace
	if err := json.Unmarshal(raw, &p); err != nil || p.Readers != 7 {
		t.Fatal(p, err)
	}
	again, err := p.table()
	if err != nil || len(again.open) != len(table.open) || len(again.open) != 7 {
		t.Fatal(again, err)
	}
	for i, r := range table.open {
		if o := again.open[i]; o.bounds != r.bounds || o.place != r.place || o.trail != r.trail || o.busy ||
			o.pages != 0 {
			t.Errorf("range %d is %+v, was %+v", i, o, r)
		}
	}
}

// Ranges have every second once, whatever becomes of them.
func TestWhatARangeHas(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		from, newest := random.Int64N(1000), random.Int64N(1000)
		table := slicedTable(from, newest, random.IntN(2) == 0, 1+random.Int64N(16))
		for range random.IntN(40) {
			r := table.open[random.IntN(len(table.open))]
			if r.asked.WithoutTime {
				continue
			}
			low := r.asked.From
			if r.asked.FromAny {
				low = -5
			}
			table.advance(r, pageSpan{rows: 1, first: low, last: low + random.Int64N(max(r.to-low, 1)), timed: true,
				next: "x"})
			if r.divisible() {
				table.open = append(table.open, r.split())
			}
		}
		for second := int64(-10); second < 1100; second++ {
			n := 0
			for _, r := range table.open {
				if r.has(second, true) {
					n++
				}
			}
			if n != 1 {
				t.Fatalf("second %d is in %d ranges", second, n)
			}
		}
		n := 0
		for _, r := range table.open {
			if r.has(0, false) {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("rows without a time are in %d ranges", n)
		}
	}
	second := newRange(dynamics.TimeRange{From: 5, To: 6})
	second.pages, second.at = 1, 5
	if second.divisible() {
		t.Error("a second is split")
	}
}

// A trail finds circles of any length, and takes no straight way for one.
func TestATrailFindsCircles(t *testing.T) {
	for length := 1; length < 50; length++ {
		for before := range 20 {
			var way trail
			steps := 0
			for ; steps < 1000; steps++ {
				at := steps
				if at >= before {
					at = before + (at-before)%length
				}
				if way.circles(string(rune('a' + at))) {
					break
				}
			}
			if steps >= 4*(before+length)+4 {
				t.Errorf("a circle of %d after %d: %d steps", length, before, steps)
			}
		}
	}
	var way trail
	for i := range 10_000 {
		if way.circles(string(rune(0x10000 + i))) {
			t.Fatalf("the straight way is a circle after %d", i)
		}
	}
}
