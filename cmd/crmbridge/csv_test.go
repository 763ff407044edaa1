package main

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// Cells as they are written for programs, and for spreadsheets.
func TestCSVCells(t *testing.T) {
	for _, test := range []struct {
		cell         csvCell
		plain, sheet string // with another cell before it
	}{
		{csvCell{text: "Contoso"}, "Contoso", `"Contoso"`},
		{csvCell{}, "", `""`},
		{csvCell{text: `A, "B"` + "\r\nC"}, `"A, ""B""` + "\r\n" + `C"`, `"A, ""B""` + "\r\n" + `C"`},
		{csvCell{text: " blanks "}, `" blanks "`, `" blanks "`},
		{csvCell{text: "Zoë 🚀 東京"}, "Zoë 🚀 東京", `"Zoë 🚀 東京"`},
		{csvCell{text: `=HYPERLINK("http://evil.example")`}, `"=HYPERLINK(""http://evil.example"")"`,
			`"'=HYPERLINK(""http://evil.example"")"`},
		{csvCell{text: "+49 30 1234"}, "+49 30 1234", `"'+49 30 1234"`},
		{csvCell{text: "-1+1"}, "-1+1", `"'-1+1"`},
		{csvCell{text: "@SUM(1)"}, "@SUM(1)", `"'@SUM(1)"`},
		{csvCell{text: "\t=1"}, "\"\t=1\"", "\"'\t'=1\""},
		{csvCell{text: `x;"=1+1;y`}, `"x;""=1+1;y"`, `"x;'""=1+1;y"`},
		{csvCell{text: "x\n=1\r\n@y"}, "\"x\n=1\r\n@y\"", "\"x\n'=1\r\n'@y\""},
		{csvCell{text: "x;\u00a0=1+1"}, "x;\u00a0=1+1", "\"x;'\u00a0=1+1\""},
		{csvCell{text: "x;\t \"=1"}, "\"x;\t \"\"=1\"", "\"x;\t' \"\"=1\""},
		{csvCell{text: "x;\u200b\x00+1"}, "x;\u200b\x00+1", "\"x;'\u200b\x00+1\""},
		{csvCell{text: "\u200b=1"}, "\u200b=1", "\"'\u200b=1\""},
		{csvCell{text: "a;b\n- c\td"}, "\"a;b\n- c\td\"", "\"a;b\n'- c\td\""},
		{csvCell{text: "\rx"}, "\"\rx\"", "\"'\rx\""},
		{csvCell{text: "\nx"}, "\"\nx\"", "\"'\nx\""},
		{csvCell{text: " =1"}, `" =1"`, `"' =1"`},
		{csvCell{text: "＝1"}, "＝1", `"'＝1"`},
		{csvCell{text: "Foo;=1+1;x"}, "Foo;=1+1;x", `"Foo;'=1+1;x"`},
		{csvCell{text: ";=1"}, ";=1", `";'=1"`},
		{csvCell{text: "Foo; @SUM(1)"}, "Foo; @SUM(1)", `"Foo;' @SUM(1)"`},
		{csvCell{text: "a; b; c-d"}, "a; b; c-d", `"a; b; c-d"`},
		{csvCell{text: "'=1"}, "'=1", `"'=1"`},
		{csvCell{text: "a=1"}, "a=1", `"a=1"`},
		{csvCell{"-2500000.5000", true}, "-2500000.5000", "-2500000.5000"},
		{csvCell{"1E+3", true}, "1E+3", "1E+3"},
	} {
		cells := []csvCell{{text: "x"}, test.cell}
		if got := string(csvForm{}.line(nil, cells)); got != "x,"+test.plain+"\n" {
			t.Errorf("%q is %q", test.cell.text, got)
		}
		if got := string(csvForm{true}.line(nil, cells)); got != `"x",`+test.sheet+"\r\n" {
			t.Errorf("%q for a spreadsheet is %q", test.cell.text, got)
		}
	}
	if got := string(csvForm{}.line(nil, csvTexts(""))); got != "\"\"\n" {
		t.Errorf("an empty line is %q, which readers pass over", got)
	}
	if got := string(csvForm{true}.header([]string{"a", "=b"})); got != byteOrderMark+"\"a\",\"'=b\"\r\n" {
		t.Errorf("the header is %q", got)
	}
}

// What is written is read again, whatever it is.
func FuzzCSV(f *testing.F) {
	f.Add("a", "b,\"\n", "")
	f.Add("", " =\t", "\xff\u2028")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, form := range []csvForm{{}, {true}} {
			text := form.header([]string{"1", "2", "3"})
			text = form.line(text, csvTexts(a, b, c))
			reader := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(text), byteOrderMark)))
			lines, err := reader.ReadAll()
			if err != nil || len(lines) != 2 {
				t.Fatalf("%q: %q, %v", text, lines, err)
			}
			want := []string{a, b, c}
			for i, cell := range want {
				if form.spreadsheet {
					cell = asText(cell)
				}
				want[i] = strings.ReplaceAll(cell, "\r\n", "\n") // as that reader does
			}
			if !slices.Equal(lines[1], want) {
				t.Fatalf("%q is read as %q", want, lines[1])
			}
		}
	})
}

// However a spreadsheet splits lines and cells, and whatever it makes of quotes, none begins a formula.
func FuzzSpreadsheets(f *testing.F) {
	for _, text := range []string{
		"x;\"=1+1;y", "x\n=1", "x;\u00a0=1", ";\t=1", "\t=1\t", "\r\n\" \"@x", "\"=1", "\v\u2028-1", ";;+",
	} {
		f.Add("x", text, "y")
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		line := string(csvForm{true}.line(nil, csvTexts(a, b, c)))
		ends := func(r rune) bool { return strings.ContainsRune(";\t\r\n\v\f\u0085\u2028\u2029", r) }
		for cell := range strings.FieldsFuncSeq(line, ends) {
			cell = strings.TrimLeftFunc(cell, func(r rune) bool { return r == '"' || unicode.In(r, unicode.Z, unicode.C) })
			if cell != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(cell)[0]) {
				t.Errorf("%q: %q", line, cell)
			}
		}
		for _, separator := range ";\t," {
			reader := csv.NewReader(strings.NewReader(line))
			reader.Comma, reader.LazyQuotes, reader.FieldsPerRecord = separator, true, -1
			lines, err := reader.ReadAll()
			if err != nil {
				continue // the end of a quote is missing
			}
			for _, cell := range slices.Concat(lines...) {
				if cell = strings.TrimSpace(cell); cell != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(cell)[0]) {
					t.Errorf("%q split at %q: %q", line, separator, cell)
				}
			}
		}
	})
}
