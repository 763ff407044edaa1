package main

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// On a terminal nothing is deleted before a person says yes; elsewhere nobody is
// asked.
func TestDeletingAsksOnATerminal(t *testing.T) {
	for typed, want := range map[string]bool{"y\n": true, "YES\n": true, " yes": true, "\n": false, "n\n": false, "": false, "yesterday\n": false, "no\nyes\n": false,
		strings.Repeat(" ", 2000) + "y\n": false} {
		var out, err strings.Builder
		std := &stdio{out: &out, err: &err, live: true, in: strings.NewReader(typed)}
		c := connectionsDelete{connection: connection{"acme"}}
		c.URL = "nats://127.0.0.1:1" // where nobody listens: who asks there has been told to go on
		fault := c.Run(t.Context(), std)
		if code := codeOf(fault); (code == messages.Cancelled) == want {
			t.Errorf("%.20q: %v", typed, fault)
		}
		if !strings.Contains(err.String(), "Delete connection acme") {
			t.Errorf("asked %q", err.String())
		}
	}
	for name, c := range map[string]connectionsDelete{"--yes": {Yes: true}, "no terminal": {}} {
		var out strings.Builder
		std := &stdio{out: &out, err: &out, in: nil}
		if name == "--yes" {
			std.in = strings.NewReader("n\n")
		}
		c.URL = "nats://127.0.0.1:1"
		if fault := c.Run(t.Context(), std); codeOf(fault) == messages.Cancelled || out.Len() > 0 {
			t.Errorf("%s: %v, said %q", name, fault, out.String())
		}
	}
}

func codeOf(err error) messages.Code {
	if fault, ok := err.(*messages.Error); ok {
		return fault.Code
	}
	return ""
}
