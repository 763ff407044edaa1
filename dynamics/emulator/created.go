package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Created says when a part of a table's rows was created. An import leaves most rows within an
// hour, a plug-in that writes createdon many within one second; rows without createdon are known
// from tables that another system fills.
type Created struct {
	// Percent is how many of a hundred rows, which are chosen by chance.
	Percent int `json:"percent"`
	// From and Span are from when on and for how long they were created, evenly, in whole seconds;
	// a Span of less than a second is one second. Null is instead of both: they have no value.
	From time.Time     `json:"from"`
	Span time.Duration `json:"span"` // in JSON "1h" or nanoseconds
	Null bool          `json:"null"`
}

// longestSpan bounds for how long rows are created.
const longestSpan = 100 * 365 * 24 * time.Hour

// UnmarshalJSON reads the form that the control endpoint takes.
func (x *Created) UnmarshalJSON(b []byte) error {
	var in struct {
		Percent int       `json:"percent"`
		From    time.Time `json:"from"`
		Span    duration  `json:"span"`
		Null    bool      `json:"null"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*x = Created{in.Percent, in.From, time.Duration(in.Span), in.Null}
	return nil
}

// checkCreated refuses what cannot be meant.
func checkCreated(list []Created) error {
	sum := 0
	for _, x := range list {
		sum += x.Percent
		switch {
		case x.Percent < 1 || x.Percent > 100 || sum > 100:
			return errors.New("percent of Created must be from 1 to 100, and all of them together 100 at most")
		case x.Null && (!x.From.IsZero() || x.Span != 0):
			return errors.New("rows of Created that are null have neither from nor span")
		case !x.Null && x.From.IsZero():
			return errors.New("from of Created is missing; it is a time such as 2024-02-29T08:00:00Z")
		case x.Span < 0 || x.Span > longestSpan:
			return fmt.Errorf("span of Created is %s; it must be from 0 to %s", x.Span, longestSpan)
		}
	}
	return nil
}

// spreader gives rows when they were created, in the order in which they come.
type spreader struct {
	rng             *rand.Rand
	list            []Created
	created, change *column
}

func newSpreader(t *table, seed uint64, list []Created) *spreader {
	return &spreader{rand.New(rand.NewPCG(seed, 0x6372_6f6e)), list, t.column("createdon"), t.column("modifiedon")}
}

// next is when the next row was created; false leaves it as it is.
func (x *spreader) next() (at value, ok bool) {
	n := x.rng.IntN(100)
	for _, part := range x.list {
		if n -= part.Percent; n >= 0 {
			continue
		}
		if part.Null {
			return value{}, true
		}
		return numberCellValue(part.From.Unix() + x.rng.Int64N(max(1, int64(part.Span/time.Second)))), true
	}
	return value{}, false
}

// createdAt sets when a record was created that nobody reads yet. It was not modified before.
func (r *record) createdAt(created, modified *column, at value) {
	r.set(created, at)
	if modified == nil || !modified.stored() {
		return
	}
	if m := r.value(modified); at.ok && m.ok && m.n < at.n {
		r.set(modified, at)
	}
}

// spread sets when new records were created.
func (t *table) spread(rows []*record, seed uint64, list []Created) {
	x := newSpreader(t, seed, list)
	if len(list) == 0 || x.created == nil || !x.created.stored() {
		return
	}
	for _, r := range rows {
		if at, ok := x.next(); ok {
			r.createdAt(x.created, x.change, at)
		}
	}
}

// again is the record as it is written anew: createdon is another, versionnumber and modifiedon are those of the write.
func (r *record) again(t *table, version, now int64, at value) *record {
	out := *r
	out.version, out.numbers = version, slices.Clone(r.numbers)
	out.set(t.column("createdon"), at)
	if m := t.column("modifiedon"); m != nil && m.stored() {
		out.set(m, numberCellValue(now))
	}
	return &out
}

// creating is the table, if it is known when its rows were created.
func (c TableControl) creating() (*table, error) {
	t := c.table()
	if t == nil || t.column("createdon") == nil || !t.column("createdon").stored() {
		return nil, fmt.Errorf("emulator: there is no entity set %q whose rows have a createdon that can be set", c.set)
	}
	return t, nil
}

// SetCreated rewrites when a row was created, as a plug-in can, and an import with
// overriddencreatedon; the zero time is no value. The row is modified by that. It reports whether
// the row is there.
func (c TableControl) SetCreated(id string, at time.Time) bool {
	t, err := c.creating()
	key, ok := parseGUID(id)
	if err != nil || !ok {
		return false
	}
	created := value{}
	if !at.IsZero() {
		created = numberCellValue(at.Unix())
	}
	now := c.s.opts.Now().Unix()
	return c.s.data.rewrite(t, key, func(r *record, version int64) *record { return r.again(t, version, now, created) })
}

// SpreadCreated rewrites when the rows of the table were created, as [Options.Created] does for a
// new server. Those that the list is not about stay as they are.
func (c TableControl) SpreadCreated(list []Created) error {
	t, err := c.creating()
	if err != nil {
		return err
	}
	if err := checkCreated(list); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	x, now := newSpreader(t, c.s.opts.Seed, list), c.s.opts.Now().Unix()
	c.s.data.rewriteAll(t, func(r *record, version int64) *record {
		at, ok := x.next()
		if !ok {
			return nil
		}
		return r.again(t, version, now, at)
	})
	return nil
}
