package emulator

import "strings"

// cellCounts are how many cells of each kind a record has.
type cellCounts struct{ texts, numbers, ids int }

// of is the count of the cells that hold values of a kind.
func (n *cellCounts) of(k kind) *int {
	switch {
	case k.textual() || k == kindChoices:
		return &n.texts
	case k == kindGUID || k == kindLookup:
		return &n.ids
	}
	return &n.numbers
}

// maker makes records. Those that are made together have their cells in common chunks, as an
// allocation for each of a million rows costs more than all else about them.
type maker struct {
	n       cellCounts
	many    bool
	texts   []string
	numbers []int64
	ids     []guid
}

// together is how many rows share a chunk.
const together = 64

func part[T any](chunk *[]T, n int, many bool) []T {
	if !many {
		return make([]T, n)
	}
	if len(*chunk) < n {
		*chunk = make([]T, n*together)
	}
	out := (*chunk)[:n:n]
	*chunk = (*chunk)[n:]
	return out
}

// record is one without values.
func (m *maker) record() *record {
	r := &record{texts: part(&m.texts, m.n.texts, m.many), numbers: part(&m.numbers, m.n.numbers, m.many),
		ids: part(&m.ids, m.n.ids, m.many)}
	for i := range r.numbers {
		r.numbers[i] = noNumber
	}
	for i := range r.ids {
		r.ids[i] = noID
	}
	return r
}

// pack puts the texts of a new record next to each other.
func (r *record) pack() {
	all := strings.Join(r.texts, "")
	for i, s := range r.texts {
		r.texts[i], all = all[:len(s)], all[len(s):]
	}
}

// value is what the record holds of a stored column.
func (r *record) value(c *column) value {
	switch slot := c.slot; {
	case c.kind.textual() || c.kind == kindChoices:
		return textValue(r, slot)
	case c.kind == kindGUID || c.kind == kindLookup:
		return idValue(r, slot)
	default:
		return numberValue(r, slot)
	}
}

func textValue(r *record, slot int) value {
	if slot >= len(r.texts) || r.texts[slot] == "" {
		return value{}
	}
	return value{ok: true, s: r.texts[slot]}
}

func numberValue(r *record, slot int) value {
	if slot >= len(r.numbers) || r.numbers[slot] == noNumber {
		return value{}
	}
	return value{ok: true, n: r.numbers[slot]}
}

func idValue(r *record, slot int) value {
	if slot >= len(r.ids) || r.ids[slot] == noID {
		return value{}
	}
	return value{ok: true, id: r.ids[slot]}
}

// set gives a new record a value of a stored column.
func (r *record) set(c *column, x value) {
	switch c.kind {
	case kindText, kindMemo, kindChoices:
		r.texts[c.slot] = x.s
	case kindGUID, kindLookup:
		if r.ids[c.slot] = x.id; !x.ok {
			r.ids[c.slot] = noID
		}
	default:
		if r.numbers[c.slot] = x.n; !x.ok {
			r.numbers[c.slot] = noNumber
		}
	}
}

func textCellValue(s string) value { return value{ok: s != "", s: s} }

func numberCellValue(n int64) value { return value{ok: true, n: n} }
