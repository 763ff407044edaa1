package messages

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// OptionList writes options for an error, as "7 Consulting, 8 …"; long lists are cut.
func OptionList(options []Choice) string {
	const most = 60
	texts := make([]string, 0, min(len(options), most+1))
	for _, option := range options {
		if len(texts) == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, fmt.Sprintf("%d %s", option.Value, option.Label))
	}
	if len(texts) == 0 {
		return "unknown: give an integer"
	}
	return strings.Join(texts, ", ")
}

// OptionsMeant says for an error which options a person may have meant by a label that none has, or
// what options there are: of many the three with the lowest values.
func OptionsMeant(label string, options []Choice) string {
	const likely, listed, first = 3, 8, 3
	labels := make([]string, len(options))
	for i, option := range options {
		labels[i] = option.Label
	}
	slices.Sort(labels)
	if near := Nearest(label, slices.Compact(labels), likely); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	byValue := slices.SortedFunc(slices.Values(options), func(a, b Choice) int { return cmp.Compare(a.Value, b.Value) })
	if len(options) <= listed {
		return "its options are " + OptionList(byValue)
	}
	return fmt.Sprintf("the operation fields lists its %d options, such as %s", len(options), OptionList(byValue[:first]))
}
