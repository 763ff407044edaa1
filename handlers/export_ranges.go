package handlers

import (
	"math"

	"github.com/crmbridge/crmbridge/dynamics"
)

// The ranges of a parallel export: which rows are still to come, in parts that readers
// work on at the same time.
//
// Each row that is not delivered lies in exactly one open range at any time: ranges are
// half-open, in whole seconds of createdon, which never changes, the outer ones are open
// to their side, and rows without that time are a range of their own. Within a range rows
// come in the order of createdon and of the key, so that what is left of it begins at its
// place. Cutting a range in two changes no row's being in one of them. A page that is
// stored takes its rows out of its range, in the same message as the place behind it. So
// whatever is stored last, delivered rows and open ranges together are all rows, each
// once.

// bounds say which rows belong to a range.
type bounds struct {
	// asked are the bounds that its pages are asked for with, whole that it is asked for
	// without any: the first one, whose first page was read before it was known that there
	// are more. They stay as they are, so that Dataverse's place goes on in the same query.
	asked dynamics.TimeRange
	whole bool
	// to and open are where it ends: what lies behind was given to another range since.
	to   int64
	open bool
}

// An openRange is a range of which rows are still to come.
type openRange struct {
	bounds
	// place is that of its next page, "" its beginning; see [dynamics.Session.After].
	place string
	trail trail

	// What follows is of this execution.
	link  string             // of the next page, "" where place is to be made one
	rows  *dynamics.Prepared // asked, nil until it is needed
	busy  bool               // a page of it is being read, or waits to be delivered
	pages int                // delivered
	first int64              // second of the first row of the last page
	at    int64              // second of its last row
}

// newRange is a range from its beginning.
func newRange(of dynamics.TimeRange) *openRange {
	return &openRange{bounds: bounds{asked: of, to: of.To, open: of.ToAny}}
}

// has reports whether a row belongs to the range; there is false where it has no time.
func (r *bounds) has(second int64, there bool) bool {
	if r.asked.WithoutTime || !there {
		return r.asked.WithoutTime && !there
	}
	return (r.open || second < r.to) && (r.whole || r.asked.FromAny || second >= r.asked.From)
}

// past reports whether a row lies behind the range, and so all that follow it.
func (r *bounds) past(second int64, there bool) bool {
	return there && !r.asked.WithoutTime && !r.open && second >= r.to
}

// divisible reports whether there is a later half: a second is not split, since no other
// column could do so. Nor is a range whose rows so far lie before it, which a server gives that
// ignores what it is asked for: its half would begin there.
func (r *openRange) divisible() bool {
	begun := r.whole || r.asked.FromAny || r.at >= r.asked.From
	return !r.asked.WithoutTime && r.pages > 0 && begun && r.to-r.at > 1
}

// left estimates the pages that are left, from the time that the last one took in. The
// estimate may be far off, where rows lie thick behind thin ones, so it only chooses among
// ranges: an idle reader that takes an empty half in vain costs one call.
func (r *openRange) left() float64 {
	time := float64(r.at - r.first)
	if time <= 0 { // all in one second
		return math.Inf(1)
	}
	return float64(r.to-r.at) / time
}

// split gives the later half of what is left to a new range: left behind the page that is under
// way, as long as that is likely to be, since what it brings of the half would be thrown away.
func (r *openRange) split() *openRange {
	from := r.at
	if span := r.at - r.first; span > 0 && r.to-r.at > 2*span {
		from += span
	}
	middle := from + (r.to-from+1)/2
	half := newRange(dynamics.TimeRange{From: middle, To: r.to, ToAny: r.open})
	r.to, r.open = middle, false
	return half
}

// A rangeTable is the open ranges of an export, in no order that means anything. One
// goroutine uses it.
type rangeTable struct{ open []*openRange }

// free is a range of which no page is under way: one that is open, else the later half of
// the one with the most pages left. It is nil where there is none.
func (t *rangeTable) free() *openRange {
	var victim *openRange
	for _, r := range t.open {
		if !r.busy {
			return r
		}
		if r.divisible() && (victim == nil || r.left() > victim.left()) {
			victim = r
		}
	}
	if victim == nil {
		return nil
	}
	half := victim.split()
	t.open = append(t.open, half)
	return half
}

// slicedTable is the table of a search whose first page has a next link: from is the second
// of the last row there, or of the oldest of all where the page ends with rows that have
// no time, newest that of the newest. It cuts what is left in n slices, the first of which
// is the page's own; the page is asked for without bounds.
func slicedTable(from, newest int64, timed bool, n int64) *rangeTable {
	all := dynamics.TimeRange{From: from, To: max(newest, from) + 1, FromAny: true, ToAny: true}
	t := &rangeTable{}
	for i, piece := range all.Split(n) {
		r := newRange(piece)
		if r.whole = timed && i == 0; r.whole {
			r.asked = dynamics.TimeRange{FromAny: true, ToAny: true}
		}
		t.open = append(t.open, r)
	}
	t.open = append(t.open, newRange(dynamics.TimeRange{WithoutTime: true}))
	return t
}

// A pageSpan is what the table learns of a page.
type pageSpan struct {
	rows        int
	first, last int64 // seconds of the first and the last row
	timed       bool  // the last one has one
	next        string
	link        string
	trail       trail
}

// advance moves a range behind its page, and reports whether it ends there.
func (t *rangeTable) advance(r *openRange, page pageSpan) (ends bool) {
	r.busy = false
	if page.next == "" || r.past(page.last, page.timed) {
		t.drop(r)
		return true
	}
	r.place, r.link, r.trail = page.next, page.link, page.trail
	if page.rows == 0 || !page.timed {
		return false
	}
	r.pages++
	r.first, r.at = page.first, page.last
	return false
}

// drop ends a range.
func (t *rangeTable) drop(r *openRange) {
	for i, other := range t.open {
		if other == r {
			t.open = append(t.open[:i], t.open[i+1:]...)
			return
		}
	}
}

// maxOpenRanges bounds what a place may hold: one for each reader and the one without a
// time are open at most.
const maxOpenRanges = 64

// A rangesPlace is the open ranges as a place has them.
type rangesPlace struct {
	// Readers is how many pages may be read at once, as the first page's answer said.
	Readers int          `json:"n"`
	Open    []rangePlace `json:"o"`
}

type rangePlace struct {
	From  int64  `json:"f,omitempty"`
	To    int64  `json:"t,omitempty"`
	Until int64  `json:"u,omitempty"` // openRange.to
	Flags int    `json:"b,omitempty"`
	Place string `json:"a,omitempty"`
	Trail trail  `json:"r,omitzero"`
}

// Bits of rangePlace.Flags.
const (
	flagFromAny = 1 << iota
	flagToAny
	flagWithoutTime
	flagWhole
	flagOpen
	flagsEnd
)

// snapshot is what a place says of the table now.
func (t *rangeTable) snapshot(readers int) *rangesPlace {
	p := &rangesPlace{Readers: readers, Open: make([]rangePlace, 0, len(t.open))}
	for _, r := range t.open {
		flags := 0
		for flag, set := range map[int]bool{flagFromAny: r.asked.FromAny, flagToAny: r.asked.ToAny,
			flagWithoutTime: r.asked.WithoutTime, flagWhole: r.whole, flagOpen: r.open} {
			if set {
				flags |= flag
			}
		}
		p.Open = append(p.Open, rangePlace{From: r.asked.From, To: r.asked.To, Until: r.to, Flags: flags,
			Place: r.place, Trail: r.trail})
	}
	return p
}

// table is the table that a place tells of.
func (p *rangesPlace) table() (*rangeTable, error) {
	t := &rangeTable{}
	if len(p.Open) == 0 || len(p.Open) > maxOpenRanges || p.Readers < 1 {
		return nil, badPlace()
	}
	for _, one := range p.Open {
		if one.Flags < 0 || one.Flags >= flagsEnd || one.Flags&flagWhole != 0 && one.Place == "" {
			return nil, badPlace()
		}
		t.open = append(t.open, &openRange{place: one.Place, trail: one.Trail, bounds: bounds{
			asked: dynamics.TimeRange{From: one.From, To: one.To, FromAny: one.Flags&flagFromAny != 0,
				ToAny: one.Flags&flagToAny != 0, WithoutTime: one.Flags&flagWithoutTime != 0},
			whole: one.Flags&flagWhole != 0, to: one.Until, open: one.Flags&flagOpen != 0}})
	}
	return t, nil
}
