package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// A markdown is a document that is read into blocks. Its test fails where it meets what terminals
// would not be shown: pictures, HTML, quotations.
type markdown struct {
	t      *testing.T
	source []byte
}

func blocksOf(t *testing.T, document string) []term.Block {
	t.Helper()
	m := markdown{t, []byte(document)}
	parser := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser()
	return m.blocks(parser.Parse(text.NewReader(m.source)))
}

func (m markdown) blocks(parent ast.Node) (blocks []term.Block) {
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Heading:
			blocks = append(blocks, term.Block{Kind: term.HeadingBlock, Level: n.Level, Text: m.inline(n, true)})
		case *ast.Paragraph, *ast.TextBlock:
			blocks = append(blocks, term.Block{Kind: term.ParagraphBlock, Text: m.inline(n, false)})
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			code := strings.TrimRight(string(n.Lines().Value(m.source)), "\n")
			blocks = append(blocks, term.Block{Kind: term.CodeBlock, Lines: strings.Split(code, "\n")})
		case *ast.List:
			list := term.Block{Kind: term.ListBlock, First: n.Start, Loose: !n.IsTight}
			for item := n.FirstChild(); item != nil; item = item.NextSibling() {
				list.Items = append(list.Items, m.blocks(item))
			}
			blocks = append(blocks, list)
		case *tables.Table:
			table := term.Block{Kind: term.TableBlock}
			for row := n.FirstChild(); row != nil; row = row.NextSibling() {
				var cells []string
				header := row.Kind() == tables.KindTableHeader
				for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
					cells = append(cells, m.inline(cell, header || m.onlyCode(cell)))
				}
				if header {
					table.Header = cells
				} else {
					table.Rows = append(table.Rows, cells)
				}
			}
			blocks = append(blocks, table)
		default:
			m.t.Errorf("a %s cannot be shown on a terminal", node.Kind())
		}
	}
	return blocks
}

// onlyCode reports whether a cell is code, or several with signs between them, so that nothing needs
// to set it apart.
func (m markdown) onlyCode(cell ast.Node) bool {
	for node := cell.FirstChild(); node != nil; node = node.NextSibling() {
		if span, ok := node.(*ast.Text); ok && strings.Trim(string(span.Value(m.source)), " ,?…") == "" {
			continue
		}
		if node.Kind() != ast.KindCodeSpan {
			return false
		}
	}
	return true
}

// inline is the text of a paragraph, a heading or a cell on one line: of links the text, and code in
// its backticks, unless it is bare.
func (m markdown) inline(parent ast.Node, bare bool) string {
	var out strings.Builder
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Text:
			out.Write(util.ResolveEntityNames(util.ResolveNumericReferences(util.UnescapePunctuations(n.Value(m.source)))))
			if n.SoftLineBreak() || n.HardLineBreak() {
				out.WriteByte(' ')
			}
		case *ast.String:
			out.Write(n.Value)
		case *ast.CodeSpan:
			code := strings.ReplaceAll(m.literal(n), "\n", " ")
			if !bare {
				tick := "`"
				if strings.Contains(code, tick) {
					tick = "``"
				}
				code = tick + code + tick
			}
			out.WriteString(code)
		case *ast.Emphasis:
			inner := m.inline(n, bare)
			if n.Level == 1 { // what a page shows by these words
				inner = `"` + inner + `"`
			}
			out.WriteString(inner)
		case *ast.Link:
			out.WriteString(m.inline(n, bare))
		case *ast.AutoLink:
			out.Write(n.URL(m.source))
		default:
			m.t.Errorf("a %s cannot be shown on a terminal", node.Kind())
		}
	}
	return out.String()
}

func (m markdown) literal(parent ast.Node) string {
	var out strings.Builder
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Text:
			out.Write(n.Value(m.source))
			if n.SoftLineBreak() {
				out.WriteByte(' ')
			}
		case *ast.String:
			out.Write(n.Value)
		}
	}
	return out.String()
}

// What documents may have, and what terminals show of it.
func TestMarkdownIsReadIntoBlocks(t *testing.T) {
	got := blocksOf(t, strings.Join([]string{
		"# Title of `x`", "A *Label*, **strong**, [a `link`](x.md#y), <https://a.example>,", "&amp; \\*, ``a ` b``.", "",
		"3. one", "", "   ```sh", "   a  b", "", "   c", "   ```", "4. two", "", "- tight", "  - inner", "",
		"| | of |", "| --- | --- |", "| `a`, `b`? | `x \\| y` or |"}, "\n"))
	paragraph := func(text string) term.Block { return term.Block{Kind: term.ParagraphBlock, Text: text} }
	want := []term.Block{
		{Kind: term.HeadingBlock, Level: 1, Text: "Title of x"},
		paragraph("A \"Label\", strong, a `link`, https://a.example, & *, ``a ` b``."),
		{Kind: term.ListBlock, First: 3, Loose: true, Items: [][]term.Block{
			{paragraph("one"), {Kind: term.CodeBlock, Lines: []string{"a  b", "", "c"}}}, {paragraph("two")}}},
		{Kind: term.ListBlock, Items: [][]term.Block{
			{paragraph("tight"), {Kind: term.ListBlock, Items: [][]term.Block{{paragraph("inner")}}}}}},
		{Kind: term.TableBlock, Header: []string{"", "of"}, Rows: [][]string{{"a, b?", "`x | y` or"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
