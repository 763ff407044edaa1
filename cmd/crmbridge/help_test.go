package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

var update = flag.Bool("update", false, "write the topics of help anew")

// topicSections are where the topics come from.
var topicSections = map[string][]struct{ document, heading string }{
	"connecting": {{"deploy/README.md", "Connecting a real tenant"}},
	"filters":    {{"messages/README.md", "Filters"}},
	"errors":     {{"messages/README.md", "Errors"}, {"cmd/crmbridge/README.md", "Errors and exit status"}},
	"keys":       {{"deploy/README.md", "Keys"}},
}

// section is a section of a document with its subsections.
func section(t *testing.T, document, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(bridgetest.File(t, document), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", document, heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return "# " + heading + "\n" + strings.TrimRight(text, "\n") + "\n"
}

// The topics are the documents' sections as they are now.
func TestTopicsAreTheDocuments(t *testing.T) {
	if len(topics) != len(topicSections) {
		t.Errorf("%d topics, %d sections", len(topics), len(topicSections))
	}
	for name, sections := range topicSections {
		var blocks []term.Block
		for _, from := range sections {
			blocks = append(blocks, blocksOf(t, section(t, from.document, from.heading))...)
		}
		want, err := json.Marshal(blocks, jsontext.WithIndent("  "))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		file := filepath.Join("topics", name+".json")
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(file); err != nil || string(have) != string(want) {
			t.Errorf("%s is stale (%v): go test ./cmd/crmbridge -run TopicsAreTheDocuments -update", file, err)
		}
	}
}

func TestHelp(t *testing.T) {
	bridgetest.Unraced(t, "nothing but help texts is printed")
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"help", 0, "crmbridge help filters"},
		{"help filters", 0, "starts_with"},
		{"help connecting", 0, "Redirect URI"},
		{"help errors", 0, "reauthorization_required"},
		{"help keys", 0, "Grants, connect links and sign-ins"},
		{"help keys rotate", 0, "Usage: crmbridge keys rotate"},
		{"help accounts search", 0, "--order-by"},
		{"help doctor", 0, "Usage: crmbridge doctor"},
		{"help filter", 0, "starts_with"},
		{"help filtres", program.ExitUsage, `no topic "filtres"; did you mean filters?`},
		{"help accont", program.ExitUsage, `no topic "accont"; did you mean accounts?`},
		{"help fields", program.ExitUsage, `no topic "fields"; --fields is a flag`},
		{"help tables", program.ExitUsage, `no topic "tables"; --tables is a flag`},
		{"help limits", program.ExitUsage, `no topic "limits"; --limit is a flag`},
		{"help cheese", program.ExitUsage, "connecting, filters, errors, keys"},
	} {
		var out, diag strings.Builder
		status := run(strings.Fields(test.args), &out, &diag)
		text := out.String()
		if test.status != 0 {
			text = diag.String()
		}
		if status != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s: status %d, no %q in %.300s", test.args, status, test.want, text)
		}
	}
}
