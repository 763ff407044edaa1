package handlers

import (
	"reflect"
	"testing"

	"github.com/crmbridge/crmbridge/handlers/route"
)

// The memory of a search is another's after it: nothing of the first one is left in it, and
// the first one's answer cannot be asked for again.
func TestNothingIsLeftOfASearch(t *testing.T) {
	operations := operationsOf(t, canned(smallPage(10)))
	serve := routesOf(t, operations)["accounts.search"]
	call := route.Call{Operation: "accounts.search", RequestID: "a request", Named: "acme", Budget: 1 << 20}
	for name, body := range map[string]string{
		"answered": string(smallSearch(nil, 12345)),
		"counted":  `{"connection":"acme","order_by":["-employees","name"],"include_total":true,"page_size":10,"limit":5}`,
		"streamed": `{"connection":"acme","mode":"stream","fields":["name"]}`,
		"refused":  `{"connection":"acme","where":{"field":"employees","op":"ge","value":"many"}}`,
	} {
		answer := serve.Serve(t.Context(), call, []byte(body))
		var left *search
		for part, err := range answer.Parts {
			if (err != nil) != (name == "refused") {
				t.Fatal(name, err)
			}
			left, _ = part.After.(*search)
		}
		if left == nil != (name == "refused") {
			t.Fatal(name, "no search has answered")
		}
		if left != nil && !reflect.DeepEqual(left, &search{turn: left.turn}) {
			t.Errorf("%s: %+v is left of it", name, left)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error(name, "is answered twice")
				}
			}()
			for range answer.Parts {
			}
		}()
	}
}
