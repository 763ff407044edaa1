package plan

import (
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// The items of a list are those that the package json finds, as they are written.
func FuzzListItems(f *testing.F) {
	for _, list := range []string{`[]`, `[ ]`, `[1]`, `[ 1 , -2.5e+7 ,true,null , "a,b]" ]`, `["\"","\\","\\\"",""]`, `[[1,2],{"a":[]}]`,
		`[1,{"a":"]"},2]`, "[\n\"ü\"\t]"} {
		f.Add([]byte(list))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list := jsontext.Value(text)
		if len(text) == 0 || text[0] != '[' || !list.IsValid() { // a filter's values have been read
			return
		}
		var want []jsontext.Value
		if err := json.Unmarshal(list, &want); err != nil {
			t.Skip()
		}
		got, err := listItems(nil, list)
		if err != nil || !slices.EqualFunc(got, want, func(a, b jsontext.Value) bool { return string(a) == string(b) }) {
			t.Fatalf("%s: %s, want %s", list, got, want)
		}
	})
}

// A text is read as the package json reads it, or by it.
func FuzzPlainText(f *testing.F) {
	for _, text := range []string{`""`, `"a"`, `"ü"`, `"\u00fc"`, `"\""`, `"\\"`, `"`, "\"\xff\"", "\"\n\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) == 0 || value[0] != '"' {
			return
		}
		text, plain := plainText(value)
		var want string
		if err := json.Unmarshal(value, &want); plain && (err != nil || text != want) {
			t.Fatalf("%q: %q, want %q, %v", value, text, want, err)
		}
	})
}

// Lists of friendly fields are planned once, others for each environment.
func TestFieldsArePlannedOnce(t *testing.T) {
	entity, err := NewEntity(messages.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	p := plannerOf(t)
	p.columns.entity = entity
	names := []string{"id", "name", "industry"}
	first, err := p.Fields(t.Context(), names)
	if err != nil || len(first) != 3 {
		t.Fatal(first, err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if again, err := p.Fields(t.Context(), names); err != nil || &again[0] != &first[0] {
			t.Fatal("planned again", err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, other := range [][]string{{"id", "name"}, {"idname", "industry"}, {"name", "id", "industry"}} {
		if got, err := p.Fields(t.Context(), other); err == nil && &got[0] == &first[0] {
			t.Errorf("%v is %v", other, names)
		}
	}
	if _, err := p.Fields(t.Context(), []string{"id", "id"}); err == nil {
		t.Error("a field is there twice")
	}
	for i := range 2 * maxSelections {
		key := selectionKey(nil, []string{string(rune('a' + i%26)), string(rune(0x100 + i))})
		entity.selections.keep(key, first)
	}
	entity.selections.keep(make([]byte, maxSelectionKey+1), first)
	if n := len(entity.selections.known); n != maxSelections {
		t.Errorf("%d are kept", n)
	}
}
