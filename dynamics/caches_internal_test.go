package dynamics

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is kept of queries and tokens is bounded, and a token's proof is not kept for
// longer than a token is valid.
func TestCachesAreBounded(t *testing.T) {
	table := Table{Name: "accounts", Set: "accounts", Logical: "account", Key: "accountid"}
	var kept layouts
	for i := range 3 * maxLayouts {
		q := Query{Select: []Output{{Column: Column{Logical: "name", Type: Text}, As: fmt.Sprint(i)}}}
		first, err := kept.of(&table, &q, verbPage, false)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := kept.of(&table, &q, verbPage, false); again != first {
			t.Fatal("a layout is not used again")
		}
	}
	long := Query{Select: []Output{{Column: Column{Logical: "name", Type: Text}, As: strings.Repeat("x", maxLayoutKey)}}}
	if _, err := kept.of(&table, &long, verbPage, false); err != nil || len(kept.known) != maxLayouts {
		t.Errorf("%d layouts are kept, %v", len(kept.known), err)
	}
	synctest.Test(t, func(t *testing.T) {
		var echoes echoIndexes
		token := func(i int) string { return fmt.Sprintf("%064d", i) }
		of := func(i int) *echoIndex {
			return echoes.of(useOf(token(i)), maxEchoIndexes, func() *echoIndex { return newEchoIndex([]string{token(i)}) })
		}
		for i := range 3 * maxEchoIndexes {
			if first := of(i); of(i) != first || !first.in([]byte(token(i))) {
				t.Fatal("an index is not used again")
			}
		}
		if len(echoes.known) != maxEchoIndexes {
			t.Errorf("%d indexes are kept", len(echoes.known))
		}
		time.Sleep(echoLife)
		if of(0); len(echoes.known) != 1 {
			t.Errorf("%d indexes are kept after their time", len(echoes.known))
		}
	})
}

// A query takes the operators and numbers of values that the type says, and no others.
func TestTheTypeSaysWhatAFilterTakes(t *testing.T) {
	values := map[ColumnType]string{Text: "x", Integer: "1", BigInt: "1", Decimal: "1.5", Double: "1.5", Money: "1.5",
		DateTime: "2024-01-31",
		Date:     "2024-01-31", Boolean: "true", Choice: "1", Choices: "1", UniqueID: "78914942-34cb-ed11-b596-0022481d68cd",
		Lookup: "78914942-34cb-ed11-b596-0022481d68cd"}
	every := []Op{Eq, Ne, Lt, Le, Gt, Ge, In, NotIn, Between, Contains, NotContains, StartsWith, EndsWith, IsNull,
		NotNull, ContainsAny, ContainsNone, "", "like"}
	for kind := Unsupported; kind <= Lookup; kind++ {
		has := map[Op]bool{}
		for _, op := range kind.Ops() {
			has[op] = true
		}
		if len(has) == 0 != (kind == Unsupported) {
			t.Errorf("%v has %d operators", kind, len(has))
		}
		for _, op := range every {
			least, most := kind.Arity(op)
			for n := range 4 {
				test := Test{Column: Column{Logical: "a", Type: kind}, Op: op}
				for range n {
					test.Values = append(test.Values, values[kind])
				}
				err := new(expression).fit(test, func(dst, f []byte) []byte { return append(dst, f...) })
				if want := has[op] && n >= least && n <= most; (err == nil) != want || (Check(test) == nil) != want {
					t.Errorf("%v %q with %d values: %v, %v", kind, op, n, err, Check(test))
				}
			}
		}
	}
}
