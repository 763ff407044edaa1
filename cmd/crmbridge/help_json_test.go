package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/contract"
)

// The JSON that a command's help or a topic shows is what goes over the wire: filters and bodies.
func TestHelpShowsJSONOfTheDocument(t *testing.T) {
	bridgetest.Unraced(t, "nothing but help texts is printed")
	document, err := contract.Of()
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, leaf := range parser.Model.Leaves(false) {
		lines = append(lines, strings.TrimSpace(leaf.Path())+" --help")
	}
	for _, topic := range topics {
		lines = append(lines, "help "+topic.name)
	}
	shown := 0
	for _, line := range lines {
		var out, diag strings.Builder
		if status := run(strings.Fields(line), &out, &diag); status != 0 {
			t.Errorf("%s: status %d: %s", line, status, &diag)
		}
		for _, e := range contract.Examples(out.String()) {
			shown++
			if e.Message == "" && !e.Where {
				if e.Message = inTopics[line]; e.Message == "" {
					t.Errorf("%s: which message is it? %s", line, e.JSON)
					continue
				}
			}
			if err := document.Shown(e); err != nil {
				t.Errorf("%s: %v: %s", line, err, e.JSON)
			}
		}
	}
	if shown < 6 { // a filter in each table's search and two in a topic, at the least
		t.Errorf("%d objects in the help of %d commands and topics", shown, len(lines))
	}
	t.Logf("%d objects in the help of %d commands and topics", shown, len(lines))
}

// inTopics are the messages that topics show, where the topic does not say so.
var inTopics = map[string]string{
	"help connecting": "connections.authorize.request",
	"help errors":     "error",
}
