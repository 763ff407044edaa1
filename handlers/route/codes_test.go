package route_test

import (
	"slices"
	"testing"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Every operation has the codes of all, each code stands once and is one of the contract's, and
// every code is some operation's.
func TestCodesOfOperations(t *testing.T) {
	met := map[string]bool{}
	for _, op := range messages.Operations(messages.Tables()) {
		codes := route.Codes(op)
		if codes[0] != route.OK || !slices.Contains(codes, string(messages.Overloaded)) {
			t.Errorf("%s: %v", op, codes)
		}
		seen := map[string]bool{}
		for _, code := range codes {
			if seen[code] {
				t.Errorf("%s has %s twice", op, code)
			}
			if code != route.OK && !slices.Contains(messages.Codes(), messages.Code(code)) {
				t.Errorf("%s: %s is no code", op, code)
			}
			seen[code], met[code] = true, true
		}
	}
	for _, code := range messages.Codes() {
		if !met[string(code)] {
			t.Errorf("no operation has %s", code)
		}
	}
	if got := route.Codes(messages.Accounts.Operation(messages.VerbGet)); !slices.Contains(got, string(messages.NotFound)) ||
		slices.Contains(got, string(messages.InvalidState)) {
		t.Errorf("%v", got)
	}
}
