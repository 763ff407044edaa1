package handlers

import (
	"slices"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// The connect page says what may be read besides tables, each thing once, what matters
// most first.
func TestReads(t *testing.T) {
	got := Reads(messages.Operations())
	if len(got) != 3 || got[0] != readsColumns || got[2] != reads()[messages.ConnectionsGet] || slices.Contains(got, "") {
		t.Errorf("%q", got)
	}
	tables := map[string]bool{}
	for _, table := range messages.Tables() {
		tables[table.Name] = true
	}
	for _, op := range messages.Operations() {
		if _, known := reads()[op]; !known && !tables[op.Entity()] {
			t.Errorf("it is not said what %s reads", op)
		}
	}
}
