package messages

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// What a plain search looks like, in all of its members.
var plainSearches = []string{
	`{}`, ` { } `, "\t{\r\n}\n",
	`{"connection":"acme"}`,
	`{"connection":"","fields":[],"order_by":[ ],"cursor":"","mode":""}`,
	` { "connection" : "acme" , "fields" : [ "id" , "name, of ünits" ] , "order_by" : ["-name"] , "page_size" : 10 } `,
	`{"limit":999999999,"include_total":true,"mode":"stream","cursor":"abc","page_size":1}`,
	`{"include_total":false,"where":{}}`,
	`{"where":{"field":"name","op":"eq","value":"Zoë \"X\" \u00fc \\"}}`,
	`{"where":{"field":"name","op":"no such","value":[ "a" , 1 , true , false , -0.5e+7, 0, 1E9 ]}}`,
	`{"where":{"value":[]}}`,
	`{"where":{"and":[]}}`, `{"where":{"or":[],"and":[{}]}}`,
	`{"where":{"and":[{"field":"a","op":"eq","value":1},{"or":[{"field":"b","op":"lt","value":2},{"not":{"field":"c",` +
		`"op":"is_null"}}]},{"field":"d","op":"in","value":[3,4]}]},"fields":["a","b"]}`,
	`{"where":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"field":"x"}}}}}}}}}`,
}

// Bodies that are for the package json: wrong ones, and ones that are rare.
var otherSearches = []string{
	``, ` `, `null`, `[]`, `{`, `{"connection":"acme"`, `{"connection":"acme",}`, `{"connection":"acme"}x`, `{}{}`, `{,}`,
	`{"connection":null}`, `{"connection":"a\u0062"}`, `{"Connection":"acme"}`, `{"connection":"a","connection":"a"}`,
	`{"connection":1}`, `{"connection":"` + "\xff" + `"}`, "{\"connection\":\"a\nb\"}", `{"fields":null}`, `{"fields":["a",]}`,
	`{"fields":["a" "b"]}`, `{"fields":"a"}`, `{"fields":{"a":1}}`, `{"page_size":0}`, `{"page_size":01}`, `{"page_size":1.0}`, `{"page_size":1e1}`,
	`{"page_size":-1}`, `{"page_size":99999999999999999999}`, `{"page_size":"1"}`, `{"include_total":1}`, `{"include_total":truex}`,
	`{"where":null}`, `{"where":[]}`, `{"where":{"value":null}}`, `{"where":{"value":[null]}}`, `{"where":{"value":[[1]]}}`,
	`{"where":{"value":{"a":1}}}`, `{"where":{"value":"\ud800"}}`, `{"where":{"value":"\x"}}`, `{"where":{"value":01}}`, `{"where":{"value":.5}}`,
	`{"where":{"value":1.}}`, `{"where":{"value":-}}`, `{"where":{"value":1e}}`, `{"where":{"value":+1}}`, `{"where":{"value":nul}}`,
	`{"where":{"op":"eq","op":"eq"}}`, `{"where":{"opp":"eq"}}`, `{"where":{},"where":{}}`, `{"where":{"and":{}}}`, `{"where":{"and":[1]}}`,
	`{"where":{"and":[{},]}}`, `{"where":{"not":[]}}`, `{"where":{"and":null}}`, `{"where":{"not":null}}`, `{"where":{"op":null}}`,
	`{"where":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"field":"x"}}}}}}}}}}`,
	`{"fields":["` + strings.Repeat(`a","`, MaxFields) + `"]}`, `{"order_by":["` + strings.Repeat(`a","`, MaxOrderBy) + `"]}`,
	`{"where":{"value":[1` + strings.Repeat(`,1`, MaxWhereValues) + `]}}`,
	`{"where":{"and":[{"op":"eq"}` + strings.Repeat(`,{"op":"eq"}`, MaxWhereLeaves) + `]}}`,
	`{"where":{"and":[{}` + strings.Repeat(`,{}`, maxScannedNodes) + `]}}`,
	`{"cursor":"` + strings.Repeat("x", maxScanned) + `"}`,
}

// The scan and the package json read the same body to the same request; what the scan does
// not read is the other's.
func TestSearchScan(t *testing.T) {
	for _, body := range plainSearches {
		if in := scannedAlike(t, []byte(body)); in == nil {
			t.Errorf("not read in one pass: %s", body)
		}
	}
	for _, body := range otherSearches {
		if in := scannedAlike(t, []byte(body)); in != nil {
			t.Errorf("read in one pass: %.200s", body)
		}
	}
}

// What has been read has memory of its own.
func TestASearchKeepsNothingOfItsBody(t *testing.T) {
	body := []byte(plainSearches[len(plainSearches)-2])
	in, fault := Decode[SearchRequest](body)
	before := fmt.Sprintf("%+v", in)
	clear(body)
	if fault != nil || fmt.Sprintf("%+v", in) != before {
		t.Errorf("%+v, %v", in, fault)
	}
}

// One search takes the body's text, the names, the nodes, and unless it shares the body a
// copy for values: no more, however many there are. In memory of the caller's it takes the text.
func TestAllocationsOfASearchScan(t *testing.T) {
	body := []byte(plainSearches[len(plainSearches)-2])
	codec := NewCodec[SearchRequest]()
	for want, decode := range map[float64]func([]byte) (SearchRequest, *Error){4: codec.Decode, 3: codec.DecodeShared} {
		if n := testing.AllocsPerRun(100, func() {
			if _, fault := decode(body); fault != nil {
				t.Fatal(fault)
			}
		}); n != want {
			t.Errorf("%v allocations, want %v", n, want)
		}
	}
	var in SearchRequest
	var memory SearchMemory
	if n := testing.AllocsPerRun(100, func() {
		in, memory = SearchRequest{}, SearchMemory{}
		if fault := codec.DecodeIn(body, &in, &memory); fault != nil {
			t.Fatal(fault)
		}
	}); n != 1 {
		t.Errorf("%v allocations in memory of the caller's, want 1", n)
	}
}

// scannedAlike returns what the scan read, nil where it read nothing.
func scannedAlike(t *testing.T, body []byte) *SearchRequest {
	t.Helper()
	var got SearchRequest
	if !scanSearch(body, &got, false, nil) {
		if !reflect.DeepEqual(got, SearchRequest{}) {
			t.Errorf("half a request: %+v", got)
		}
		return nil
	}
	want, fault := NewCodec[SearchRequest]().decode(body)
	if fault != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\n%+v\n%+v, %v", body, got, want, fault)
	}
	var kept SearchRequest
	if fault := NewCodec[SearchRequest]().DecodeIn(body, &kept, new(SearchMemory)); fault != nil || !reflect.DeepEqual(kept, want) {
		t.Fatalf("%q: in memory of another's\n%+v\n%+v, %v", body, kept, want, fault)
	}
	if w := got.Where; w != nil {
		var quick, slow whereCount
		if fault := slow.node(w, "where", 1); quick.sound(w, 1) != (fault == nil) {
			t.Fatalf("%q: %v", body, fault)
		}
	}
	return &got
}

func FuzzSearchScan(f *testing.F) {
	for _, body := range append(plainSearches, otherSearches...) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { scannedAlike(t, body) })
}

func BenchmarkDecodeSearch(b *testing.B) {
	codec := NewCodec[SearchRequest]()
	body := []byte(`{"connection":"acme","fields":["id","name","website","industry","employees","revenue","created_at","do_not_email",` +
		`"owner","city"],"where":{"and":[{"field":"industry","op":"in","value":[1,7]},{"field":"employees","op":"ge","value":50}]},"page_size":10}`)
	for name, decode := range map[string]func([]byte) (SearchRequest, *Error){"scan": codec.DecodeShared, "json": codec.decode} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, fault := decode(body); fault != nil {
					b.Fatal(fault)
				}
			}
		})
	}
}
