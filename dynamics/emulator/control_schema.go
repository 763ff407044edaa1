package emulator

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// What an administrator changes in the tables while programs keep what they read of them: columns
// and their options. Names are logical names, labels go by LCID ([Languages]). Each of these takes
// effect with the next request.

// RelabelOption sets labels of an option. Where the base language gets a new one, languages that
// are not named have none any more. Two options may have the same label. It returns false where
// there is no such column or option.
func (c TableControl) RelabelOption(name string, value int, labels map[int]string) bool {
	return c.s.schema.changeColumn(c.set, name, func(x *column) bool {
		i := x.option(value)
		if i < 0 || !knownLanguages(labels) {
			return false
		}
		x.options[i].own = relabelled(x.options[i].own, labels)
		return true
	})
}

// AddOption adds an option to a choice or to several choices, with at least a label in the base
// language; false where the column is neither, or the value is taken.
func (c TableControl) AddOption(name string, value int, labels map[int]string) bool {
	return c.s.schema.changeColumn(c.set, name, func(x *column) bool {
		if x.kind != kindChoice && x.kind != kindChoices || x.option(value) >= 0 || !knownLanguages(labels) ||
			labels[baseLanguage] == "" {
			return false
		}
		x.options = append(x.options, option{value: int32(value), label: labels[baseLanguage], own: relabelled(nil, labels)})
		return true
	})
}

// RemoveOption removes an option of a choice or of several choices. Rows that have it keep its
// integer, without a label.
func (c TableControl) RemoveOption(name string, value int) bool {
	return c.s.schema.changeColumn(c.set, name, func(x *column) bool {
		i := x.option(value)
		if x.kind != kindChoice && x.kind != kindChoices || i < 0 {
			return false
		}
		x.options = slices.Delete(x.options, i, i+1)
		return true
	})
}

// RelabelColumn sets names of a column, as RelabelOption does.
func (c TableControl) RelabelColumn(name string, labels map[int]string) bool {
	return c.s.schema.changeColumn(c.set, name, func(x *column) bool {
		x.own = relabelled(x.own, labels)
		return knownLanguages(labels)
	})
}

// RemoveColumn removes a custom column: asking for it is then the error of an unknown property. It
// returns false for one that is not there or not custom.
func (c TableControl) RemoveColumn(name string) bool {
	return c.s.schema.change(c.set, func(t *table) bool {
		n := len(t.columns)
		t.columns = slices.DeleteFunc(t.columns, func(x *column) bool { return x.name == name && x.custom })
		return len(t.columns) < n
	})
}

// Column is a custom column to add to a table. Rows that are there have no value in it. Every
// second choice uses a global one.
type Column struct {
	// Name is the logical name, with a publisher's prefix: cb_region. Label is in the base language.
	Name, Label string
	// Type is one of String, Memo, Integer, Decimal, Money, DateTime, Boolean, Picklist, MultiSelectPicklist.
	Type string
	// Options are the labels of a choice by value.
	Options map[int]string
	// Targets are the tables that a lookup names, by their logical names. Lookup, Customer, DateOnly,
	// BigInt and Uniqueidentifier are types of the columns of an added [Table] only.
	Targets []string
}

var (
	customName  = regexp.MustCompile(`^[a-z][a-z0-9]{1,7}_[a-z0-9_]{1,40}$`)
	columnKinds = map[string]kind{"String": kindText, "Memo": kindMemo, "Integer": kindInt, "Decimal": kindDecimal,
		"Money":    kindMoney,
		"DateTime": kindDateTime, "Boolean": kindBool, "Picklist": kindChoice, "MultiSelectPicklist": kindChoices}
)

// AddColumn adds a custom column; it fails where the description makes no sense or the name is taken.
func (c TableControl) AddColumn(d Column) error {
	if !customName.MatchString(d.Name) {
		return fmt.Errorf("emulator: column %q: a custom column's name is like cb_region", d.Name)
	}
	if _, ok := columnKinds[d.Type]; !ok {
		return fmt.Errorf("emulator: column %s: type is %q; it must be one of %s", d.Name, d.Type,
			strings.Join(slices.Sorted(maps.Keys(columnKinds)), ", "))
	}
	x, err := d.column()
	if err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	if c.table() == nil {
		return fmt.Errorf("emulator: there is no entity set %q that could get a column", c.set)
	}
	if !c.s.schema.change(c.set, func(t *table) bool {
		free := t.column(d.Name) == nil
		choices := 0
		for _, other := range t.columns {
			choices += btoi(other.kind == kindChoice || other.kind == kindChoices)
		}
		x.global = choices%2 == 1 && len(x.options) > 0 // every second one
		if free {
			t.place(x)
			t.columns = append(t.columns, x)
		}
		return free
	}) {
		return fmt.Errorf("emulator: there is a column %s", d.Name)
	}
	return nil
}

func (c *column) option(value int) int {
	return slices.IndexFunc(c.options, func(o option) bool { return int(o.value) == value })
}

func knownLanguages(labels map[int]string) bool {
	for lcid, text := range labels {
		if text == "" || !slices.Contains(Languages(), lcid) {
			return false
		}
	}
	return len(labels) > 0
}

// relabelled is a copy: requests that are under way read the old one.
func relabelled(old map[int32]string, labels map[int]string) map[int32]string {
	out := map[int32]string{}
	if _, anew := labels[baseLanguage]; !anew {
		maps.Copy(out, old)
	}
	for lcid, text := range labels {
		out[int32(lcid)] = text
	}
	return out
}
