package handlers

import (
	"slices"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// The connect page says what may be read, each thing once, what matters most first.
func TestReads(t *testing.T) {
	got := Reads(messages.Operations([]messages.Table{messages.Accounts}))
	if len(got) != 4 || got[0] != reads()[messages.Accounts.Operation(messages.VerbChanges)] || got[3] != reads()[messages.ConnectionsGet] || slices.Contains(got, "") {
		t.Errorf("%q", got)
	}
	for _, op := range messages.Operations([]messages.Table{messages.Accounts}) {
		if _, known := reads()[op]; !known {
			t.Errorf("it is not said what %s reads", op)
		}
	}
}
