package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scan reads a page, of whose rows a, b and A are wanted, the last as c.
func scan(page string, most int) (rows int, parts []string, err error) {
	s := scanner{in: []byte(page), wanted: map[string]string{"a": "a", "b": "b", "A": "c"}, most: most}
	err = s.page()
	for _, p := range s.parts {
		parts = append(parts, string(s.out[p.from:p.to]))
	}
	return s.rows, parts, err
}

func TestScanner(t *testing.T) {
	for _, of := range []struct {
		page  string
		most  int
		parts []string
	}{
		{`{"value":[]}`, 10, nil},
		{` { "@odata.context" : "x" , "value" : [ {} , { "a" : 0 } ] , "@odata.nextLink":"y" } `, 100, []string{`{"value":[{},{"a":0}]}`}},
		{`{"value":[{"a":"x\u00e4\"","b":-1.50e+2,"c":null,"d":true,"e":false,"f":{"g":[1,[],{}]},"A":"Käse 😀"}]}`, 1,
			[]string{`{"value":[{"a":"x\u00e4\"","b":-1.50e+2,"c":"Käse 😀"}]}`}},
		{`{"value":[{"x":1,"a":1},{"x":[2],"a":2},{"a":3,"x":null}]}`, 27, []string{`{"value":[{"a":1},{"a":2}]}`, `{"value":[{"a":3}]}`}},
		{`{"value":[{"a":1},{"a":2},{"b":3}]}`, 26, []string{`{"value":[{"a":1}]}`, `{"value":[{"a":2}]}`, `{"value":[{"b":3}]}`}},
		{`{"value":[{"a":1,"b":2},{"b":3,"a":4},{"b":5}]}`, 99, []string{`{"value":[{"a":1,"b":2},{"b":3,"a":4},{"b":5}]}`}},
	} {
		rows, parts, err := scan(of.page, of.most)
		if err != nil || !slices.Equal(parts, of.parts) {
			t.Errorf("%s: %d rows, %q, %v; want %q", of.page, rows, parts, err, of.parts)
		}
	}
}

// malformed are pages of which each breaks the grammar, or a page's shape, in one place.
var malformed = []string{``, `[]`, `{}`, `{"value":{}}`, `{"value":[1]}`, `{"value":[[]]}`, `{"value":[{}}`, `{"value":[{}]`,
	`{"value":[{}]}x`, `{"value":[{}],}`, `{"value":[{},]}`, `{"value":[{"a"}]}`, `{"value":[{"a":}]}`, `{"value":[{"a":1,}]}`,
	`{"value":[{"a":01}]}`, `{"value":[{"a":1.}]}`, `{"value":[{"a":.5}]}`, `{"value":[{"a":+1}]}`, `{"value":[{"a":1e}]}`,
	`{"value":[{"a":-}]}`, `{"value":[{"a":0x1}]}`, `{"value":[{"a":nul}]}`, `{"value":[{"a":True}]}`, `{"value":[{a:1}]}`,
	`{"value":[{'a':1}]}`, `{"value":[{"a":"\x"}]}`, `{"value":[{"a":"\u12g4"}]}`, "{\"value\":[{\"a\":\"\n\"}]}",
	"{\"value\":[{\"a\":\"long enough for words \x01\"}]}", "{\"value\":[{\"a\":\"\xff\"}]}", "{\"value\":[{\"a\":\"long enough \xc3(\"}]}",
	`{"value":[{"a":"open}]}`, `{"value":[{"a":"\"}]}`, `{"value":[{"a":1 "b":2}]}`, `{"value":[{"a":[1 2]}]}`,
	`{"value":[{"a":[1,]}]}`, `{"value":[{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}]}`, "\ufeff{\"value\":[{}]}"}

func TestScannerRefusesWhatIsNotJSON(t *testing.T) {
	for _, page := range malformed {
		if rows, _, err := scan(page, 100); err == nil {
			t.Errorf("%.80q is read as %d rows", page, rows)
		}
	}
}

// TestScannerReadsEveryCutAsBroken has the pages of the stub, which are whole JSON, cut at
// every place.
func TestScannerReadsEveryCutAsBroken(t *testing.T) {
	page := string(stubPage("http://localhost/", 2))
	if rows, parts, err := scan(page, 1<<20); err != nil || rows != 2 || len(parts) != 1 || !json.Valid([]byte(parts[0])) {
		t.Fatalf("%d rows in %d parts: %v", rows, len(parts), err)
	}
	for end := range page {
		if _, _, err := scan(page[:end], 1<<20); err == nil {
			t.Errorf("the page is read without its last %d bytes", len(page)-end)
		}
	}
}

// FuzzScanner compares with jsontext, which is stricter in two things: it refuses names that
// come twice, and escapes of half a character.
func FuzzScanner(f *testing.F) {
	for _, page := range malformed {
		f.Add(page)
	}
	f.Add(string(stubPage("http://localhost/", 1)))
	f.Add(`{"value":[{"a":"\ud83d\ude00 Käse"},{"a":1}]}`)
	f.Fuzz(func(t *testing.T, page string) {
		rows, parts, err := scan(page, 20)
		if err != nil {
			return
		}
		if !json.Valid([]byte(page)) || !utf8.ValidString(page) {
			t.Fatalf("%q is read", page)
		}
		var read struct {
			Value []jsontext.Value `json:"value"`
		}
		// A page with "value" twice has the rows of the first; encoding/json takes the last.
		if strings.Count(page, "alue\"") == 1 && !strings.Contains(page, `\u`) {
			if err := json.Unmarshal([]byte(page), &read); err != nil || len(read.Value) != rows {
				t.Fatalf("%q: %d rows, %v; want %d", page, rows, err, len(read.Value))
			}
		}
		for _, part := range parts {
			var list struct{ Value []map[string]any }
			if err := json.Unmarshal([]byte(part), &list); err != nil {
				t.Fatalf("%q: the message %q: %v", page, part, err)
			}
			rows -= len(list.Value)
		}
		if rows != 0 {
			t.Fatalf("%q: the messages %q lack %d rows", page, parts, rows)
		}
	})
}
