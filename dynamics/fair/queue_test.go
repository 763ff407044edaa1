package fair_test

import (
	"slices"
	"strings"
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
	if want := []string{"a1", "b1", "c1", "a3", "c2"}; !slices.Equal(order, want) ||
		!slices.Equal(removed, []string{"a2"}) {
		t.Errorf("%v without %v, want %v", order, removed, want)
	}
	q.Push("a", "a4")
	if item, ok := q.Pop(); !ok || item != "a4" {
		t.Errorf("after being empty: %q", item)
	}
}

// A queue that comes empty and full again does not get a turn more than the others.
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

// A queue that is taken out does not take another one's turn with it, wherever it stands.
func TestRemovingALaneLeavesTheTurn(t *testing.T) {
	for _, c := range []struct{ remove, want string }{
		{"a", "bcd"}, // before the queue whose turn it is
		{"b", "cda"}, // that queue itself
		{"c", "bda"}, // behind it
		{"ab", "cd"}, // several
		{"ad", "bc"}, // the ends
		{"bcd", "a"}, // all behind
		{"abcd", ""}, // all
		{"none", "bcda"},
	} {
		var q fair.Queue[string]
		for _, queue := range []string{"a", "a", "b", "c", "d"} {
			q.Push(queue, queue)
		}
		if first, _ := q.Pop(); first != "a" { // the turn is b's now
			t.Fatalf("first: %s", first)
		}
		q.Remove(func(item string) bool { return strings.Contains(c.remove, item) })
		order := ""
		for q.Len() > 0 {
			item, _ := q.Pop()
			order += item
		}
		if order != c.want {
			t.Errorf("without %s: %s, want %s", c.remove, order, c.want)
		}
	}
}
