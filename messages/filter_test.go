package messages_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

func leaf() messages.Where { return messages.Leaf("name", messages.Eq, "Zq7X") }

func leaves(n int) []messages.Where {
	nodes := make([]messages.Where, n)
	for i := range nodes {
		nodes[i] = leaf()
	}
	return nodes
}

func nested(depth int) messages.Where {
	node := leaf()
	for range depth - 1 {
		node = messages.Not(node)
	}
	return node
}

func TestLeafKeepsTheDigitsOfNumbers(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{json.Number("12345678901234567890.1230"), `12345678901234567890.1230`},
		{json.Number("-5e0"), `-5e0`},
		{[]json.Number{"1", "2.50"}, `[1,2.50]`},
		{[]any{json.Number("7"), "7"}, `[7,"7"]`},
	} {
		if got := string(messages.Leaf("revenue", messages.Eq, test.value).Value); got != test.want {
			t.Errorf("%v: got %s, want %s", test.value, got, test.want)
		}
	}
	for _, number := range []json.Number{"", "seven", "1 2", "1,2", "NaN", `"7"`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is taken for a number", number)
				}
			}()
			messages.Leaf("revenue", messages.Eq, number)
		}()
	}
}

func TestWhereCheck(t *testing.T) {
	in := func(n int) messages.Where { return messages.Leaf("employees", messages.In, make([]int, n)) }
	nulls := func(n int) []messages.Where {
		nodes := make([]messages.Where, n)
		for i := range nodes {
			nodes[i] = messages.Null("phone")
		}
		return nodes
	}
	mixed := leaf()
	mixed.And = leaves(1)
	not := leaf()
	for _, test := range []struct {
		name          string
		where         messages.Where
		path, message string
	}{
		{"9 levels", nested(9), "where" + strings.Repeat(".not", 8), "deeper than 8 levels"},
		{"101 leaves", messages.Any(leaves(101)...), "where.or[100]", "more than 100 leaves"},
		{"101 leaves in two lists", messages.All(messages.Any(leaves(60)...), messages.Any(leaves(41)...)), "where.and[1].or[40]", "more than 100 leaves"},
		{"501 values", in(501), "where.value", "more than 500 values"},
		{"501 values in two leaves", messages.All(in(300), in(201)), "where.and[1].value", "more than 500 values"},
		{"nothing", messages.Where{}, "where", "none of them"},
		{"empty and", messages.Where{And: []messages.Where{}}, "where.and", "the list is empty"},
		{"empty or within not", messages.Not(messages.Where{Or: []messages.Where{}}), "where.not.or", "the list is empty"},
		{"list and leaf", mixed, "where", "this one has and, field"},
		{"three kinds", messages.Where{And: leaves(1), Or: leaves(1), Not: &not}, "where", "this one has and, or, not"},
		{"value alone", messages.Where{Value: jsontext.Value(`"Zq7X"`)}, "where.field", "is missing"},
		{"no operator", messages.Where{Field: "name"}, "where.op", "is missing; give one of eq ne"},
		{"unknown operator", messages.Leaf("name", "Zq7X", 1), "where.op", "no such operator"},
		{"operator in another case", messages.Leaf("name", "EQ", 1), "where.op", "no such operator"},

		{"8 levels", nested(8), "", ""},
		{"100 leaves", messages.Any(leaves(100)...), "", ""},
		{"500 values", in(500), "", ""},
		{"500 values beside leaves without one", messages.All(append(nulls(99), in(500))...), "", ""},
		{"leaf without a value", messages.HasValue("phone"), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.where.Check("where")
			if test.message == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			if err.Details[0].Path != test.path || !strings.Contains(err.Message, test.message) || strings.Contains(everything(t, err), "Zq7X") {
				t.Errorf("%v at %q, want %q at %q", err, err.Details[0].Path, test.message, test.path)
			}
		})
	}
}

func TestWhereCheckKnowsEveryOp(t *testing.T) {
	for _, op := range messages.Ops() {
		where := messages.Leaf("name", op, "x")
		if err := where.Check("where"); err != nil {
			t.Error(err)
		}
	}
}

// A list that is there and empty differs from one that is not there.
func TestWhereEmptyListSurvivesDecoding(t *testing.T) {
	in, err := messages.Decode[messages.SearchRequest]([]byte(`{"where":{"and":[]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Where.Check("where"); err == nil || err.Details[0].Path != "where.and" {
		t.Errorf("got %v", err)
	}
}

func TestLeaf(t *testing.T) {
	if got := messages.Leaf("name", messages.Eq, "a\xffb"); !json.Valid(got.Value) || string(got.Value) != "\"a\ufffdb\"" {
		t.Errorf("text that is not UTF-8 became %s", got.Value)
	}
	for value, want := range map[any]string{"50% \"off\"": `"50% \"off\""`, 12: "12", true: "true"} {
		if got := messages.Leaf("name", messages.Eq, value); string(got.Value) != want {
			t.Errorf("%v became %s", value, got.Value)
		}
	}
	if got := messages.Leaf("revenue", messages.Gt, jsontext.Value("0.10")); string(got.Value) != "0.10" {
		t.Errorf("digits became %s", got.Value)
	}
	defer func() {
		if recover() == nil {
			t.Error("NaN has a JSON form")
		}
	}()
	messages.Leaf("revenue", messages.Eq, math.NaN())
}
