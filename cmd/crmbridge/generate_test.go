package main

import (
	"path"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

//go:generate go test -run ^TestTopicsAreTheDocuments$ -update .

// "go generate ./..." makes everything that is generated: who writes a file with -update says so beside it.
func TestWhatIsGeneratedHasADirective(t *testing.T) {
	writes, directed := map[string]bool{}, map[string]bool{}
	walkSource(t, func(name, text string) {
		folder := path.Dir(name)
		writes[folder] = writes[folder] || strings.Contains(text, "= flag.Bool(\"update\",")
		directed[folder] = directed[folder] || strings.Contains(text, "\n//go:generate go test -run ")
	})
	found := 0
	for folder, is := range writes {
		if is {
			found++
		}
		if is && !directed[folder] {
			t.Errorf("go generate does not make what a test of %s writes with -update", folder)
		}
	}
	if found < 5 { // help, metrics, codes, the contract, verdicts
		t.Errorf("found %d packages whose tests write files", found)
	}
}

// Topics are made before other parts of the documents: go generate goes by the names of folders.
func TestTopicsHaveNothingGenerated(t *testing.T) {
	for name, sections := range topicSections {
		for _, from := range sections {
			_, text, _ := strings.Cut(bridgetest.File(t, from.document), "\n## "+from.heading+"\n")
			text, _, _ = strings.Cut(text, "\n## ")
			if text == "" || strings.Contains(text, "go generate") {
				t.Errorf("%s: %q of %s is not there, or has a part that is made later", name, from.heading, from.document)
			}
		}
	}
}
