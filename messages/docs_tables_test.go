package messages_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

var update = flag.Bool("update", false, "write the sections of README.md that are made from the tables")

// sectionsEnd is the heading that follows the last table's section in README.md.
const sectionsEnd = "## Filters\n"

// section is what README.md has about a table, from its heading on.
func section(table messages.Table) string {
	var b strings.Builder
	code := func(names ...string) string { return "`" + strings.Join(names, "`, `") + "`" }
	fmt.Fprintf(&b, "### %s%s\n\n", strings.ToUpper(table.Name[:1]), table.Name[1:])
	fmt.Fprintf(&b, "| | |\n| --- | --- |\n")
	var operations []string
	for _, verb := range messages.Verbs() {
		operations = append(operations, string(table.Operation(verb)))
	}
	fmt.Fprintf(&b, "| operations | %s |\n", code(operations...))
	fmt.Fprintf(&b, "| members | rows in %s, one row in %s, its id in %s |\n", code(table.Name), code(table.One), code(table.IDMember()))
	fmt.Fprintf(&b, "| default fields | %s |\n", code(table.DefaultFields...))
	fmt.Fprintf(&b, "| Dataverse | table %s, set %s; reading takes %s |\n", code(table.Logical), code(table.Set), code(table.ReadPrivilege))
	if table.Product != "" {
		fmt.Fprintf(&b, "| comes with | %s; `not_supported` in an environment without it |\n", table.Product)
	}
	fmt.Fprintf(&b, "| the connect page says | %s |\n\n", table.Consent)
	fmt.Fprintf(&b, "| field | column | type |\n| --- | --- | --- |\n")
	for _, field := range table.Fields {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code(field.Name), code(field.Logical), field.Type)
	}
	return b.String() + "\n"
}

// Every table's section in README.md says what its description says.
func TestTablesAreDocumented(t *testing.T) {
	page := document(t, "messages/README.md")
	for _, table := range messages.Tables() {
		want := section(table)
		heading, _, _ := strings.Cut(want, "\n")
		if strings.Contains(page, "\n"+want) {
			continue
		}
		if !*update {
			t.Errorf("README.md does not say of %s what its description says; make the section with go generate ./messages", table.Name)
			continue
		}
		before, rest, found := strings.Cut(page, "\n"+heading+"\n")
		if !found {
			before, rest, _ = strings.Cut(page, "\n"+sectionsEnd)
			rest = sectionsEnd + rest
		} else if end := strings.Index(rest, "\n#"); end >= 0 {
			rest = rest[end+1:]
		}
		page = before + "\n" + want + rest
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
