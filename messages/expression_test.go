package messages_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/messages"
)

// The spot of each error stands between ⟦ and ⟧.
func TestParseExpressionRefuses(t *testing.T) {
	list := strings.TrimSuffix(strings.Repeat("1, ", 501), ", ")
	many := strings.TrimSuffix(strings.Repeat("a = 1 or ", 100), " or ")
	for _, test := range []struct{ text, message string }{
		{"⟦⟧", "the filter is empty"},
		{"  \t⟦⟧", "the filter is empty"},
		{"industry⟦⟧", "expected an operator after the field, not the end; the operators are = !="},
		{"industry =⟦⟧", "expected a value, not the end"},
		{"industry = ⟦)⟧", "expected a value, not )"},
		{"industry = Consulting and⟦⟧", "expected a field, not the end"},
		{"industry = Consulting and ⟦and⟧ city = Rome", "expected a field, not and"},
		{"⟦50⟧ < employees", "expected a field, not a number; a comparison begins with the name of its field"},
		{"⟦\"name\"⟧ = Zq7X", "expected a field, not text in quotes"},
		{"⟦=⟧ 5", "expected a field, not ="},
		{"⟦in⟧ (5)", "expected a field, not in"},

		{"name ⟦contians⟧ Zq7X", "no such operator; did you mean contains?"},
		{"name ⟦start⟧ with Zq7X", "did you mean starts with"},
		{"name ⟦not_contain⟧ Zq7X", "did you mean not contains"},
		{"name ⟦like⟧ 'Zq7X%'", "write contains, starts with or ends with"},
		{"name ⟦equals⟧ Zq7X", "write ="},
		{"name ⟦Zq7X⟧", "expected an operator after the field"},
		{"name ⟦5⟧", "expected an operator after the field, not a number"},
		{"name is ⟦Zq7X⟧", "expected null or not null after is"},
		{"name is not ⟦Zq7X⟧", "expected null after is not"},
		{"name not ⟦starts⟧ with Zq7X", "expected in, contains or null after not"},
		{"name starts ⟦Zq7X⟧", "expected with after starts"},
		{"employees ⟦=>⟧ 5", "did you mean >=?"},
		{"employees ⟦&&⟧ 5", "did you mean and?"},
		{"a = 1 ⟦||⟧ b = 2", "did you mean or?"},
		{"⟦!⟧(a = 1)", "did you mean not?"},
		{"employees ⟦<<⟧ 5", "no such sign; the comparisons are"},

		{"industry = Durable ⟦Manufacturing⟧", "text of several words goes in quotes"},
		{"industry in (Durable ⟦Manufacturing⟧)", "text of several words goes in quotes"},
		{"name = 'Zq7X' ⟦'Zq8X'⟧", "text of several words goes in quotes"},
		{"employees > 1⟦,⟧000", "commas separate the values of a list"},
		{"employees > ⟦.5⟧", "a number begins with a digit"},
		{"employees > ⟦+⟧5", "allowed in quotes only"},
		{"email = a⟦@⟧b.example", "allowed in quotes only"},
		{"state = ⟦OR⟧", "expected a value, not or; as text it goes in quotes"},
		{"state in (⟦IN⟧)", "expected a value, not in"},
		{"phone = ⟦null⟧", "write is null or is not null"},
		{"phone != ⟦NULL⟧", "write is null or is not null"},
		{"phone in (1, ⟦null⟧)", "write is null or is not null"},
		{"a = 1 ⟦=⟧ 2", "expected and, or, or the end, not ="},
		{"(a = 1 ⟦=⟧ 2)", "expected and, or, or a closing parenthesis, not ="},

		{"a in ⟦5⟧", "expected a list in parentheses, (A, B), not a number"},
		{"a not in⟦⟧", "expected a list in parentheses"},
		{"a in (⟦)⟧", "the list is empty"},
		{"a in (5,⟦)⟧", "expected a value, not )"},
		{"a in ⟦(⟧5, 6", "this parenthesis is never closed"},
		{"a in (5 ⟦=⟧ 6)", "expected a comma or a closing parenthesis, not ="},
		{"name != ⟦(⟧A, B)", "write not in (A, B)"},
		{"name contains ⟦(⟧A, B)", "write contains any (A, B)"},
		{"name starts with ⟦(⟧A, B)", "joined with or"},
		{"a between 1⟦⟧", "between takes the lowest and the highest value"},
		{"a between 1 ⟦,⟧ 2", "expected and, not ,"},
		{"a between 1 and⟦⟧", "expected a value, not the end"},
		{"a between ⟦(⟧1, 2)", "expected a value, not ("},

		{"⟦(⟧a = 1", "this parenthesis is never closed"},
		{"((a = 1) or ⟦)⟧", "expected a field, not )"},
		{"a = 1⟦)⟧", "closes nothing"},
		{"(⟦)⟧", "expected a field"},

		{`name = ⟦"⟧Zq7X`, "the text that begins at this quote has no end"},
		{`name = ⟦'⟧Zq7X"`, "has no end"},
		{`name = ⟦"⟧Zq7X\"`, "has no end"},
		{`name = ⟦"⟧Zq7X""`, "has no end"},
		{`name = ⟦'⟧`, "has no end"},
		{`name = "a⟦\⟧n"`, `a backslash is written \\`},
		{"name = ⟦“⟧Zq7X”", "straight ones"},
		{"name = \"東京🚀\" ⟦;⟧", "allowed in quotes only"},
		{"name = a⟦\xff⟧", "no text in UTF-8"},
		{"name = \"a⟦\xff⟧\"", "no text in UTF-8"},
		{"name ⟦contians⟧ \"Zq7X", "did you mean contains?"}, // the first fault, not the quote

		{"name = A and employees in ⟦(" + list + ")⟧", "more than 500 values"},
		{many + " or ⟦a = 1⟧", "more than 100 leaves"},
		{strings.Repeat("not ", 8) + "⟦a = 1⟧", "nested deeper than 8 levels"},
		{strings.Repeat("(", 1000) + "⟦(⟧a = 1", "nested too deep"},
		{strings.Repeat("not ", 1000) + "⟦not⟧ a = 1", "nested too deep"},
	} {
		t.Run(test.text[:min(len(test.text), 60)], func(t *testing.T) {
			before, spot, _ := strings.Cut(test.text, "⟦")
			spot, after, _ := strings.Cut(spot, "⟧")
			_, err := messages.ParseWhere(before + spot + after)
			fault, ok := errors.AsType[*messages.ExpressionError](err)
			if !ok {
				t.Fatalf("%v is no ExpressionError", err)
			}
			if fault.Offset != len(before) || fault.Length != len(spot) {
				t.Errorf("the spot is %d bytes at %d, want %d at %d", fault.Length, fault.Offset, len(spot), len(before))
			}
			if !strings.Contains(fault.Message, test.message) || strings.Contains(err.Error(), "Zq") {
				t.Errorf("%v, want %q and no value", err, test.message)
			}
		})
	}
}

func TestParseWhere(t *testing.T) {
	for _, test := range []struct{ text, tree string }{
		{`name = "O''Brien"`, `{"field":"name","op":"eq","value":"O'Brien"}`},
		{`name = "O'Brien"`, `{"field":"name","op":"eq","value":"O'Brien"}`},
		{`name = 'O''Brien'`, `{"field":"name","op":"eq","value":"O'Brien"}`},
		{`name = "''''"`, `{"field":"name","op":"eq","value":"''"}`},
		{`name = ''''''`, `{"field":"name","op":"eq","value":"''"}`},
		{`name = "a ""b"" \"c\" \\ d"`, `{"field":"name","op":"eq","value":"a \"b\" \"c\" \\ d"}`},
		{`name = 'a "b" \n %_[x]'`, `{"field":"name","op":"eq","value":"a \"b\" \\n %_[x]"}`},
		{`name = ""`, `{"field":"name","op":"eq","value":""}`},
		{"name = '東京 🚀 \u202e'", `{"field":"name","op":"eq","value":"東京 🚀 ` + "\u202e" + `"}`},

		{"name = Zoë", `{"field":"name","op":"eq","value":"Zoë"}`},
		{"city == St._-Gallen", `{"field":"city","op":"eq","value":"St._-Gallen"}`},
		{"city EQ Rome", `{"field":"city","op":"eq","value":"Rome"}`},
		{"name contains and_more", `{"field":"name","op":"contains","value":"and_more"}`},
		{"name = any", `{"field":"name","op":"eq","value":"any"}`},
		{"name contains any", `{"field":"name","op":"contains","value":"any"}`},
		{"contains = contains", `{"field":"contains","op":"eq","value":"contains"}`},
		{"postal_code = 01234", `{"field":"postal_code","op":"eq","value":"01234"}`},
		{"postal_code = '12345'", `{"field":"postal_code","op":"eq","value":"12345"}`},
		{"id = 00000000-0000-0000-0000-000000000001", `{"field":"id","op":"eq","value":"00000000-0000-0000-0000-000000000001"}`},
		{"id = 12345678-0000-0000-0000-000000000001", `{"field":"id","op":"eq","value":"12345678-0000-0000-0000-000000000001"}`},
		{"revenue > 90071992547409930.1000", `{"field":"revenue","op":"gt","value":90071992547409930.1000}`},
		{"revenue>=-1.5e+3", `{"field":"revenue","op":"ge","value":-1.5e+3}`},
		{"revenue<-0", `{"field":"revenue","op":"lt","value":-0}`},
		{"revenue <= 1e400", `{"field":"revenue","op":"le","value":1e400}`},
		{"employees <> 5", `{"field":"employees","op":"ne","value":5}`},
		{"employees != 5", `{"field":"employees","op":"ne","value":5}`},
		{"do_not_email = TRUE", `{"field":"do_not_email","op":"eq","value":true}`},
		{"name = 'true'", `{"field":"name","op":"eq","value":"true"}`},
		{"name = 'null'", `{"field":"name","op":"eq","value":"null"}`},
		{"created_at >= 2024-01-31", `{"field":"created_at","op":"ge","value":"2024-01-31"}`},
		{"created_at lt 2024-01-31T09:30:00Z", `{"field":"created_at","op":"lt","value":"2024-01-31T09:30:00Z"}`},
		{"created_at le 2024-01-31T09:30:00.5+02:00", `{"field":"created_at","op":"le","value":"2024-01-31T09:30:00.5+02:00"}`},
		{"employees between 10 and 20", `{"field":"employees","op":"between","value":[10,20]}`},
		{"phone is null", `{"field":"phone","op":"is_null"}`},
		{"phone IS NOT NULL", `{"field":"phone","op":"not_null"}`},
		{"phone not null", `{"field":"phone","op":"not_null"}`},
		{"state in ('OR', \"IN\", WA)", `{"field":"state","op":"in","value":["OR","IN","WA"]}`},
		{"industry not in(7,Consulting)", `{"field":"industry","op":"not_in","value":[7,"Consulting"]}`},
		{"name not contains x", `{"field":"name","op":"not_contains","value":"x"}`},
		{"name starts with x", `{"field":"name","op":"starts_with","value":"x"}`},
		{"name starts_with x", `{"field":"name","op":"starts_with","value":"x"}`},
		{"name StartsWith x", `{"field":"name","op":"starts_with","value":"x"}`},
		{"name ends with x", `{"field":"name","op":"ends_with","value":"x"}`},
		{"name endswith x", `{"field":"name","op":"ends_with","value":"x"}`},
		{"interests contains any (Sailing, 'Table tennis')", `{"field":"interests","op":"contains_any","value":["Sailing","Table tennis"]}`},
		{"interests contains none (5)", `{"field":"interests","op":"contains_none","value":[5]}`},
		{"interests = (A, B)", `{"field":"interests","op":"eq","value":["A","B"]}`},

		{"a = 1 or b = 2 and not c = 3", `{"or":[{"field":"a","op":"eq","value":1},{"and":[{"field":"b","op":"eq","value":2},{"not":{"field":"c","op":"eq","value":3}}]}]}`},
		{"(a = 1 OR b = 2) AND c = 3 and d = 4", `{"and":[{"or":[{"field":"a","op":"eq","value":1},{"field":"b","op":"eq","value":2}]},{"field":"c","op":"eq","value":3},{"field":"d","op":"eq","value":4}]}`},
		{"a between 1 and 2 and b = 3", `{"and":[{"field":"a","op":"between","value":[1,2]},{"field":"b","op":"eq","value":3}]}`},
		{"not not (a = 1)", `{"not":{"not":{"field":"a","op":"eq","value":1}}}`},
		{"(a = 1 and b = 2) and c = 3", `{"and":[{"and":[{"field":"a","op":"eq","value":1},{"field":"b","op":"eq","value":2}]},{"field":"c","op":"eq","value":3}]}`},
		{"((((((((((a = 1))))))))))", `{"field":"a","op":"eq","value":1}`},
		{"a=1\n\tand\u00a0b='x'", `{"and":[{"field":"a","op":"eq","value":1},{"field":"b","op":"eq","value":"x"}]}`},
	} {
		t.Run(test.text, func(t *testing.T) {
			where, err := messages.ParseWhere(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if tree := treeOf(t, where); tree != test.tree {
				t.Errorf("%s, want %s", tree, test.tree)
			}
		})
	}
}

// Each operator can be written by the name that it has in the tree.
func TestParseWhereKnowsEveryOp(t *testing.T) {
	for _, op := range messages.Ops() {
		text := "x " + string(op)
		switch op {
		case messages.IsNull, messages.NotNull:
		case messages.Between:
			text += " 1 and 2"
		case messages.In, messages.NotIn, messages.ContainsAny, messages.ContainsNone:
			text += " (1)"
		default:
			text += " 1"
		}
		if where, err := messages.ParseWhere(text); err != nil || where.Op != op {
			t.Errorf("%s: %v, %+v", text, err, where)
		}
	}
}

// The example of README.md and the help, whose places are those that crmbridge
// names in its errors.
func TestExpressionSpan(t *testing.T) {
	const text = `industry in (Consulting, "Durable Manufacturing") and (employees >= 50 or not phone is null) and name = "東京''s"`
	e, err := messages.ParseExpression(text)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"where":                        text,
		"where.and":                    text,
		"where.and[0].field":           "industry",
		"where.and[0].op":              "in",
		"where.and[0].value":           `(Consulting, "Durable Manufacturing")`,
		"where.and[0].value[1]":        `"Durable Manufacturing"`,
		"where.and[1]":                 "(employees >= 50 or not phone is null)",
		"where.and[1].or[0]":           "employees >= 50",
		"where.and[1].or[0].op":        ">=",
		"where.and[1].or[1]":           "not phone is null",
		"where.and[1].or[1].not":       "phone is null",
		"where.and[1].or[1].not.op":    "is null",
		"where.and[1].or[1].not.value": "is null",
		"where.and[2].value":           `"東京''s"`,
		"where.and[2].value[7].x":      `"東京''s"`,
		"where.and[9].op":              text,
	} {
		offset, length, ok := e.Span(path)
		if !ok || text[offset:offset+length] != want {
			t.Errorf("%s is %q, %v; want %q", path, text[offset:offset+length], ok, want)
		}
	}
	for _, path := range []string{"", "fields[0]", "page_size", "whereabouts"} {
		if _, _, ok := e.Span(path); ok {
			t.Errorf("%q has a place in the expression", path)
		}
	}
}

func treeOf(t *testing.T, where *messages.Where) string {
	t.Helper()
	tree, err := json.Marshal(where, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(tree)
}

// Whatever is written is refused at a place in it, or passes the check of trees;
// and what it became can be written again and means the same.
func FuzzParseWhere(f *testing.F) {
	for _, seed := range []string{"", `industry in (Consulting, Accounting) and employees >= 50 and name contains "O''Brien"`,
		"not (a = 1 or b is not null) and c between 1 and 2", `"\"`, "a contains any (1,'x')", "a = (1)", "(((", "a=2024-01-31T00:00:00Z",
		"a = \xff", "名 = '東京'", "a starts with \u202e", "a = -1.5e+3 and b = 01", "a not", "a contains any"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := messages.ParseExpression(text)
		if err != nil {
			fault, ok := errors.AsType[*messages.ExpressionError](err)
			if !ok || fault.Offset < 0 || fault.Length < 0 || fault.Offset+fault.Length > len(text) || fault.Message == "" {
				t.Fatalf("%#v for %d bytes", err, len(text))
			}
			return
		}
		if err := e.Where.Check("where"); err != nil {
			t.Fatal(err)
		}
		written := format(t, *e.Where)
		again, err := messages.ParseWhere(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if diff := cmp.Diff(treeOf(t, e.Where), treeOf(t, again)); diff != "" {
			t.Fatalf("%s: %s", written, diff)
		}
	})
}
