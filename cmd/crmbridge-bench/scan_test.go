package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

func scan(page string, most int) (rows int, parts []string, err error) {
	s := scanner{in: []byte(page), most: most}
	err = s.page()
	for _, p := range s.parts {
		parts = append(parts, page[p.from:p.to])
	}
	return s.rows, parts, err
}

func TestScanner(t *testing.T) {
	row := `{"a":"x","b":-1.50e+2,"c":null,"d":true,"e":false,"f":{"g":[1,[],{}]},"h":"\u00e4\n\"","i":"Käse 😀"}`
	for _, of := range []struct {
		page  string
		most  int
		parts []string
	}{
		{`{"value":[]}`, 10, nil},
		{` { "@odata.context" : "x" , "value" : [ {} , { "a" : 0 } ] , "@odata.nextLink":"y" } `, 100, []string{`{} , { "a" : 0 }`}},
		{`{"value":[` + row + `]}`, 1, []string{row}},
		{`{"value":[{"a":1},{"a":2},{"a":3}]}`, 15, []string{`{"a":1},{"a":2}`, `{"a":3}`}},
		{`{"value":[{"a":1},{"a":2},{"a":3}]}`, 14, []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}},
	} {
		_, parts, err := scan(of.page, of.most)
		if err != nil || !slices.Equal(parts, of.parts) {
			t.Errorf("%s: %q, %v; want %q", of.page, parts, err, of.parts)
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
	if rows, parts, err := scan(page, 1<<20); err != nil || rows != 2 || len(parts) != 1 || !json.Valid([]byte("["+parts[0]+"]")) {
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
		all := bytes.Buffer{}
		for _, part := range parts {
			all.WriteString("[" + part + "]")
		}
		for decoder := json.NewDecoder(&all); decoder.More(); {
			var list []map[string]any
			if err := decoder.Decode(&list); err != nil {
				t.Fatalf("the parts %q: %v", parts, err)
			}
			rows -= len(list)
		}
		if rows != 0 {
			t.Fatalf("the parts %q lack %d rows", parts, rows)
		}
	})
}
