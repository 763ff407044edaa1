package route

import (
	"strings"
	"testing"
)

// The connection of a request is its subject's or its body's, never another than the
// subject's: whoever may publish to a scoped subject may ask about that connection only.
func TestTheConnectionOfARequest(t *testing.T) {
	for _, c := range []struct {
		scope, member string
		required      bool
		want, says    string
	}{
		{"acme", "", true, "acme", ""},
		{"acme", "acme", true, "acme", ""},
		{"", "acme", true, "acme", ""},
		{"", "", false, "", ""},
		{"", "", true, "", "is missing"},
		{"acme", "globex", true, "acme", "another connection than the subject"},
		{"acme", "Acme", false, "acme", "another connection than the subject"},
		{"", "a b", true, "", "is not a connection id"},
		{"acme", "*", true, "acme", "is not a connection id"},
	} {
		member := c.member
		got, fault := target(c.scope, &member, c.required)
		if c.says != "" {
			if fault == nil || !strings.Contains(fault.Message, c.says) {
				t.Errorf("%+v: %v", c, fault)
			}
		} else if fault != nil || member != c.want {
			t.Errorf("%+v: %v, member %q", c, fault, member)
		}
		if got != c.want {
			t.Errorf("%+v: connection %q", c, got)
		}
	}
}
