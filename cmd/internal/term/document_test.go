package term_test

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// A document goes on below itself where the terminal ends, and code is as it was written.
func TestDocument(t *testing.T) {
	text := func(s string) term.Block { return term.Block{Kind: term.ParagraphBlock, Text: s} }
	code := term.Block{Kind: term.CodeBlock, Lines: []string{`{"a":  "a line that is longer than any terminal here is",`, `  "b": 1}`}}
	table := term.Block{Kind: term.TableBlock, Header: []string{"code", "number", "what to do"}, Rows: [][]string{
		{"throttled", "429", "wait for as long as the answer says, and ask again then"}, {"internal", "", "report it"}}}
	unnamed := term.Block{Kind: term.TableBlock, Header: []string{"", ""}, Rows: [][]string{{"one", "two"}}}
	list := term.Block{Kind: term.ListBlock, First: 9, Items: [][]term.Block{{text("first of these many items")},
		{text("second"), {Kind: term.ListBlock, Items: [][]term.Block{{text("inner one of them here")}}}}}}
	loose := term.Block{Kind: term.ListBlock, Loose: true, Items: [][]term.Block{{text("a"), code}, {text("b")}}}
	for _, test := range []struct {
		name    string
		columns int
		block   term.Block
		want    string
	}{
		{"paragraph", 20, text("one two three four five six"), "one two three four\nfive six"},
		{"a word that nobody cuts", 20, text("see https://example.com/a/long/path there"), "see\nhttps://example.com/a/long/path\nthere"},
		{"what would act on a terminal", 40, text("a\x1b[2Jb"), "a [2Jb"},
		{"title", 40, term.Block{Kind: term.HeadingBlock, Level: 1, Text: "Keys"}, "Keys\n===="},
		{"heading", 40, term.Block{Kind: term.HeadingBlock, Level: 3, Text: "Keys"}, "Keys\n----"},
		{"code", 20, code, strings.Join(code.Lines, "\n")},
		{"tight list", 24, list, "9. first of these many\n   items\n10. second\n    - inner one of them\n      here"},
		{"loose list", 20, loose, "- a\n\n  " + code.Lines[0] + "\n  " + code.Lines[1] + "\n\n- b"},
		{"table", 80, table, "code       number  what to do\n---------  ------  -------------------------------------------------------\n" +
			"throttled  429     wait for as long as the answer says, and ask again then\ninternal           report it"},
		{"table of lines", 60, table, "code       number  what to do\n---------  ------  -----------------------------------------\n" +
			"throttled  429     wait for as long as the answer says, and\n                   ask again then\ninternal           report it"},
		{"table as records", 40, table, "throttled\n  number: 429\n  what to do: wait for as long as the\n    answer says, and ask again then\n" +
			"internal\n  what to do: report it"},
		{"table without names", 40, unnamed, "one  two"},
		{"no more than people read", 500, text(strings.Repeat("word ", 30) + "end"),
			strings.TrimSuffix(strings.Repeat("word ", 20), " ") + "\n" + strings.Repeat("word ", 10) + "end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			if err := term.Document(&out, test.columns, []term.Block{test.block}); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want+"\n" {
				t.Errorf("have\n%s\nwant\n%s", out.String(), test.want)
			}
		})
	}
}
