package messages_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// null is as good as an absent member, in a node of a filter too.
func TestNullIsAsGoodAsAbsent(t *testing.T) {
	codec := messages.CodecFor[messages.SearchRequest](messages.Accounts)
	for body, as := range map[string]string{
		`{"connection":null,"where":null,"fields":null,"order_by":null,"page_size":null,"cursor":null,"limit":null,"include_total":null,"mode":null}`: `{}`,
		`{"page_size":null,"limit":7}`: `{"limit":7}`,
	} {
		got, fault := codec.Decode([]byte(body))
		want, other := codec.Decode([]byte(as))
		if fault != nil || other != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v %v", body, got, fault, want, other)
		}
	}
	for body, ok := range map[string]bool{
		`{"where":{"and":[{"field":"name","op":"not_null","value":null}],"or":null,"not":null,"field":null,"op":null,"value":null}}`: true,
		`{"where":{"and":null,"or":null,"not":{"field":"name","op":"not_null"},"value":null}}`:                                       true,
		`{"where":{"and":[{"field":"name","op":"not_null"}],"value":"x"}}`:                                                           false,
		`{"where":{"and":null}}`:   false,
		`{"where":{"value":null}}`: false,
	} {
		in, fault := codec.Decode([]byte(body))
		if fault != nil {
			t.Fatalf("%s: %v", body, fault)
		}
		if fault := in.Where.Check("where"); (fault == nil) != ok {
			t.Errorf("%s: %v", body, fault)
		}
	}
}

// A whole number may be written with a point or an exponent.
func TestCounts(t *testing.T) {
	for text, want := range map[string]messages.Count{
		`1`: 1, `100.0`: 100, `1e2`: 100, `1E+2`: 100, `12.5e1`: 125, `1000e-1`: 100, `9223372036854775807`: 9223372036854775807, `null`: 0,
		`0`: -1, `-1`: -1, `1.5`: -1, `1e-2`: -1, `0.0`: -1, `1e300`: -1, `1e999999999`: -1, `9223372036854775808`: -1, `1e-999999999`: -1,
		`100.00000000000000000000000000001`: -1, `"1"`: -1, `true`: -1, `[1]`: -1,
	} {
		var got messages.Count
		if err := json.Unmarshal([]byte(text), &got); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
