package messages_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// costlyBodies are a megabyte each, and wrong beyond their beginning.
func costlyBodies() []struct{ name, body, path, message string } {
	const size = 960 << 10
	many := func(before, one, after string) string {
		return before + strings.Repeat(one+",", size/(len(one)+1)) + one + after
	}
	var names strings.Builder // different ones: names of one object are compared
	for i := 0; names.Len() < size; i++ {
		fmt.Fprintf(&names, `"%d":1,`, i)
	}
	object := "{" + strings.TrimSuffix(names.String(), ",") + "}"
	long := strings.Repeat("x", size)
	return []struct{ name, body, path, message string }{
		{"numbers of in", many(`{"where":{"field":"employees","op":"in","value":[`, "1", `]}}`), "where.value", "more than 500 values"},
		{"texts of in", many(`{"where":{"field":"name","op":"in","value":[`, `"a"`, `]}}`), "where.value", "more than 500 values"},
		{"value before its field", many(`{"where":{"value": [ `, "1 ", `],"field":"employees","op":"in"}}`), "where.value", "more than 500 values"},
		{"lists in a list", many(`{"where":{"field":"employees","op":"in","value":[`, "[]", `]}}`), "where.value", "more than 500 values"},
		{"an object for a value", `{"where":{"field":"name","op":"eq","value":` + object + `}}`, "where.value", "more than 500 values"},
		{"leaves", many(`{"where":{"or":[`, `{"field":"name","op":"is_null"}`, `]}}`), "where.or[100]", "more than 100 leaves"},
		{"empty nodes", many(`{"where":{"or":[`, `{}`, `]}}`), "where.or[799]", "more than 800 nodes"},
		{"fields", many(`{"fields":[`, `"a"`, `]}`), "fields", "must not be more than 100"},
		{"order_by", many(`{"order_by":[`, `"a"`, `]}`), "order_by", "must not be more than 10"},
		{"a list for a number", many(`{"page_size":[`, `1`, `]}`), "", "more than 4000 members and elements"},
		{"an object for a text", `{"mode":` + object + `}`, "", "more than 4000 members and elements"},
		{"a long text", `{"mode":"` + long + `"}`, "mode", "longer than 65536 bytes"},
		{"a long name of a field", `{"where":{"field":"` + long + `","op":"is_null"}}`, "where.field", "longer than 65536 bytes"},
		{"a long name in a list", `{"fields":["` + long + `"]}`, "fields[0]", "longer than 65536 bytes"},
		{"a long connection", `{"connection":"` + long + `"}`, "connection", "longer than 65536 bytes"},
		{"a long cursor", `{"cursor":"` + long + `"}`, "cursor", "longer than 262144 bytes"},
		{"a member that does not exist", `{"` + long + `":1}`, "", "whose name is longer than 1024 bytes"},
	}
}

// What a body may hold is checked while it is read: one that is wrong costs no more for
// being long.
func TestCostlyBodiesAreNotReadToTheirEnd(t *testing.T) {
	for _, test := range costlyBodies() {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(test.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := messages.Decode[messages.SearchRequest](body)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatalf("decoded %d values", len(got.Fields))
			}
			if err.Code != messages.InvalidRequest || !strings.Contains(err.Message, test.message) || len(err.Details) != 1 || err.Details[0].Path != test.path {
				t.Errorf("%v at %q, want %q at %q", err, err.Details[0].Path, test.message, test.path)
			}
			if text := everything(t, err); len(text) > 2000 {
				t.Errorf("the error has %d bytes", len(text))
			}
			// Each value of the body would take more than it has bytes.
			if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
				t.Errorf("it took %d KiB of memory", used>>10)
			}
		})
	}
}

// Bodies at the bounds are still read.
func TestBodiesAtTheBounds(t *testing.T) {
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for _, body := range []string{
		`{"where":{"field":"employees","op":"in","value":[` + list(500, " 1 ") + `]}}`,
		`{"where":{"or":[` + list(100, `{"field":"name","op":"eq","value":"a,b]"}`) + `]},"fields":[` + list(100, `"a"`) + `],"order_by":[` + list(10, `"a"`) + `]}`,
		`{"where":` + strings.Repeat(`{"and":[`, 7) + `{"field":"name","op":"is_null","value":null}` + strings.Repeat(`]}`, 7) + `}`,
		`{"cursor":"` + strings.Repeat("x", messages.MaxCursor) + `"}`,
		`{"where":{"field":"name","op":"in","value":[]}}`,
	} {
		in, err := messages.Decode[messages.SearchRequest]([]byte(body))
		if err == nil && in.Where != nil {
			err = in.Where.Check("where")
		}
		if err != nil {
			t.Errorf("%.80s: %v", body, err)
		}
	}
}

// The ratio is what a costly body takes to that of a usual one:
//
//	go test ./messages -run '^$' -bench Decode
func BenchmarkDecodeUsual(b *testing.B) {
	body := []byte(`{"connection":"acme","where":{"and":[{"field":"industry","op":"in","value":["Consulting","Retail"]},{"field":"city","op":"eq","value":"Bonn"}]},"fields":["id","name"],"page_size":100}`)
	for b.Loop() {
		if _, err := messages.Decode[messages.SearchRequest](body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCostly(b *testing.B) {
	for _, costly := range costlyBodies() {
		body := []byte(costly.body)
		b.Run(costly.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := messages.Decode[messages.SearchRequest](body); err == nil {
					b.Fatal("decoded")
				}
			}
		})
	}
}
