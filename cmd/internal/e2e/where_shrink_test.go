package e2e

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// shrink makes a failing case smaller as long as it fails, with at most so many
// questions as a person would wait for.
func shrink(c whereCase, fails func(whereCase) string) whereCase {
	for questions := 0; questions < 400; {
		smaller := false
		for _, where := range simpler(c.where) {
			next := c
			next.where = where
			questions++
			if next.fault = fails(next); next.fault != "" {
				c, smaller = next, true
				break
			}
			if questions >= 400 {
				break
			}
		}
		if !smaller {
			return c
		}
	}
	return c
}

// simpler are trees with one thing less, those with much less first.
func simpler(w messages.Where) []messages.Where {
	switch {
	case w.Not != nil:
		out := []messages.Where{*w.Not}
		for _, inner := range simpler(*w.Not) {
			out = append(out, messages.Not(inner))
		}
		return out
	case w.And != nil:
		return simplerList(w.And, messages.All)
	case w.Or != nil:
		return simplerList(w.Or, messages.Any)
	}
	return simplerLeaf(w)
}

func simplerList(nodes []messages.Where, join func(...messages.Where) messages.Where) []messages.Where {
	out := slices.Clone(nodes)
	if len(nodes) > 3 {
		out = append(out, join(nodes[:len(nodes)/2]...), join(nodes[len(nodes)/2:]...))
	}
	for i := range nodes {
		if len(nodes) > 1 {
			out = append(out, join(slices.Delete(slices.Clone(nodes), i, i+1)...))
		}
	}
	for i, node := range nodes {
		for _, less := range simpler(node) {
			list := slices.Clone(nodes)
			list[i] = less
			out = append(out, join(list...))
		}
	}
	return out
}

// simplerLeaf has fewer values, or shorter texts.
func simplerLeaf(w messages.Where) []messages.Where {
	var out []messages.Where
	var list []jsontext.Value
	var text string
	switch {
	case w.Op != messages.Between && json.Unmarshal(w.Value, &list) == nil && len(list) > 1:
		out = append(out, messages.Leaf(w.Field, w.Op, list[:len(list)/2]), messages.Leaf(w.Field, w.Op, list[len(list)/2:]))
		for i := range list {
			if len(list) < 8 {
				out = append(out, messages.Leaf(w.Field, w.Op, slices.Delete(slices.Clone(list), i, i+1)))
			}
		}
	case slices.Contains([]messages.Op{messages.Contains, messages.NotContains, messages.StartsWith, messages.EndsWith}, w.Op) &&
		json.Unmarshal(w.Value, &text) == nil:
		if runes := []rune(text); len(runes) > 1 {
			out = append(out, messages.Leaf(w.Field, w.Op, string(runes[1:])), messages.Leaf(w.Field, w.Op, string(runes[:len(runes)-1])))
		}
	}
	return out
}
