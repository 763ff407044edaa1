package plan

import (
	"strconv"
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// A spot is where in a request a name or a value stands. Few requests have a fault, so its
// path is written when there is one.
type spot struct {
	root   string // "where", "fields", "order_by"
	steps  [messages.MaxWhereDepth]step
	deep   int    // how many steps there are
	member string // of a leaf, with the point before it
	item   int    // of a list of values, counted from 1 on; 0 is the value itself
}

// A step goes to a member of a list, or below not.
type step struct {
	word  uint8 // index in stepWords
	index int32 // -1 below not
}

const (
	stepItem = iota // of a list of names
	stepAnd
	stepOr
	stepNot
)

var stepWords = [...]string{stepItem: "", stepAnd: ".and", stepOr: ".or", stepNot: ".not"}

// to is the spot one step further. Filters that have been checked have no more levels than
// there is room for.
func (s spot) to(word uint8, index int) spot {
	if s.deep < len(s.steps) {
		s.steps[s.deep] = step{word, int32(index)}
		s.deep++
	}
	return s
}

// of is the spot of a leaf's member.
func (s spot) of(member string) spot {
	s.member = member
	return s
}

// path writes the spot as error details name it: where.and[0].value[2].
func (s spot) path() string {
	var path strings.Builder
	path.WriteString(s.root)
	for _, step := range s.steps[:s.deep] {
		path.WriteString(stepWords[step.word])
		if step.index >= 0 {
			path.WriteString("[" + strconv.Itoa(int(step.index)) + "]")
		}
	}
	path.WriteString(s.member)
	if s.item > 0 {
		path.WriteString("[" + strconv.Itoa(s.item-1) + "]")
	}
	return path.String()
}

// invalid is the error of what stands there.
func (s spot) invalid(format string, args ...any) *messages.Error {
	return messages.Invalid(s.path(), format, args...)
}
