package fair_test

import (
	"slices"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/fair"
)

func TestLanesTakeTurns(t *testing.T) {
	var q fair.Queue[string]
	if _, ok := q.Pop(); ok || q.Len() != 0 {
		t.Error("an empty queue gave something")
	}
	for _, item := range []string{"a1", "a2", "a3", "b1", "c1", "c2"} {
		q.Push(item[:1], item)
	}
	removed := q.Remove(func(item string) bool { return item == "a2" })
	var order []string
	for q.Len() > 0 {
		item, _ := q.Pop()
		order = append(order, item)
	}
	if want := []string{"a1", "b1", "c1", "a3", "c2"}; !slices.Equal(order, want) || !slices.Equal(removed, []string{"a2"}) {
		t.Errorf("%v without %v, want %v", order, removed, want)
	}
	q.Push("a", "a4")
	if item, ok := q.Pop(); !ok || item != "a4" {
		t.Errorf("after being empty: %q", item)
	}
}

// A lane that comes empty and full again does not get a turn more than the others.
func TestTurnsStayFairWhileLanesComeAndGo(t *testing.T) {
	var q fair.Queue[string]
	got := map[string]int{}
	for range 3 {
		q.Push("flood", "flood")
	}
	for range 300 {
		q.Push("flood", "flood")
		q.Push("one", "one")
		q.Push("two", "two")
		for range 2 {
			item, _ := q.Pop()
			got[item]++
		}
	}
	if got["one"] < 190 || got["two"] < 190 {
		t.Errorf("turns: %v", got)
	}
}
