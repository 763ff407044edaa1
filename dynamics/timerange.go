package dynamics

import (
	"context"
	"time"
)

var createdOn = Column{Logical: "createdon", Type: DateTime}

// CreatedOn is the column that a [TimeRange] goes by.
func CreatedOn() Column { return createdOn }

// A TimeRange is the rows that were created in the seconds from From up to but
// not including To. The outermost ones are open, so that together they are all
// rows whatever comes in the meantime.
type TimeRange struct {
	From, To       int64 // Unix seconds
	FromAny, ToAny bool  // that bound is only what splits go by
	WithoutTime    bool  // the rows without a time of creation instead
}

// Divisible reports whether Split can make more than one range of s: not of one second.
func (s TimeRange) Divisible() bool { return !s.WithoutTime && s.To-s.From > 1 }

// Split makes at most n ranges of s, in their order, which have each of its seconds once.
func (s TimeRange) Split(n int64) []TimeRange {
	n = min(n, s.To-s.From)
	out := make([]TimeRange, 0, n)
	for i := range n {
		out = append(out, TimeRange{
			From: s.From + (s.To-s.From)*i/n, To: s.From + (s.To-s.From)*(i+1)/n,
			FromAny: s.FromAny && i == 0, ToAny: s.ToAny && i == n-1,
		})
	}
	return out
}

// Within is the filter of the rows of s that match f, which may be nil.
func (s TimeRange) Within(f Filter) Filter { return both(f, s.filter()...) }

// filter is the condition of s.
func (s TimeRange) filter() []Filter {
	at := func(op Op, second int64) Filter {
		return Test{Column: createdOn, Op: op, Values: []string{time.Unix(second, 0).UTC().Format(time.RFC3339)}}
	}
	switch {
	case s.WithoutTime:
		return []Filter{Test{Column: createdOn, Op: IsNull}}
	case s.FromAny && s.ToAny:
		return []Filter{Test{Column: createdOn, Op: NotNull}}
	case s.FromAny:
		return []Filter{at(Lt, s.To)}
	case s.ToAny:
		return []Filter{at(Ge, s.From)}
	}
	return []Filter{at(Ge, s.From), at(Lt, s.To)}
}

func both(f Filter, g ...Filter) Filter {
	all := And(g)
	if f != nil {
		all = append(And{f}, g...)
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

// Oldest returns the least time of creation of the rows of t that match f, nil for all,
// and whether there is one. It takes one request.
func (s *Session) Oldest(ctx context.Context, t Table, f Filter) (at time.Time, there bool, err error) {
	return (&counter{session: s, table: t, filter: f}).moment(ctx, false)
}

// Newest is [Session.Oldest] for the greatest time of creation.
func (s *Session) Newest(ctx context.Context, t Table, f Filter) (at time.Time, there bool, err error) {
	return (&counter{session: s, table: t, filter: f}).moment(ctx, true)
}
