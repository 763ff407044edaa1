package e2e

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// hostileTexts would mean something to a filter, a URL, LIKE or JSON, or are
// awkward in themselves. Some are near misses of others: a wildcard or a quote
// that went through unescaped would find them too.
var hostileTexts = []string{
	`'`, `''`, `'''`, `O'Brien`, `O''Brien`, `OBrien`, `' or 1 eq 1 or name eq '`, `x') or contains(name,'`, `"`, `"quoted"`, `\"`, `\`, `\\`, `\n`,
	`%`, `%%`, `100%`, `100%25`, `100x`, `%27`, `'%27'`, `_`, `__`, `a_b`, `axb`, `a__b`, `[`, `]`, `[]`, `[[]`, `[a-z]`, `b`, `[^a-z]`, `[%]`, `[_]`, `^`, `^a`,
	`[a`, `a]`, `-`, `[a-`, `+`, `a+b`, `a b`, `a%20b`, `a%2Bb`, `&`, `a&b`, `$filter=name eq 'x'`, `&$top=1`, `#`, `a#b`, `/`, `//`, `a/b`, `?`, `a?b`,
	`=`, `a=b`, `,`, `a,b`, `;`, `:`, `@p1`, `{x}`, `<x>`, `&lt;`, `&amp;`, `(`, `)`, `(a)`, `()`, `null`, `true`, `false`, `0`, `00`, `not`,
	`["a","b"]`, `{"a":1}`, "tab\tinside", "line\nbreak", "cr\r\nlf", "🚀", "🚀🚀", "a🚀b", "👩‍👩‍👧‍👦", "👍🏽", "👍",
	"שלום", "שלום עולם", "مرحبا بالعالم", "a\u200fb", "\u202eabc\u202c", "東京", "東京都", "Иванов", "ИВАНОВ и Ко", "Ωμέγα", "ελλην", "한국", "ไทย", "ភាសា",
	"e\u0301", "é", "E\u0301COLE", "école", "ecole", "a\u0308o\u0308", "Ünïcödé", "ﬁ", "ａｂｃ", "abc", "\u00a0", "a\u00a0b", "\u200b", "\ufeffx",
	" leading", "  two leading", "trailing ", "trailing  two  ", " both ", "leading", "a", "A", "aA", "Aa", "...", "--", "/*", "*", "**", "~", "`", "|", "!",
}

// whereRows are rows with boundary values in every column beside the texts. The same
// seed gives the same ones; lookups come from others.
func whereRows(rng *rand.Rand, table *testedTable, others []emulator.Row) []emulator.Row {
	texts := append(slices.Clone(hostileTexts), strings.Repeat("long ", 31)+"ends", strings.Repeat("é", 160), strings.Repeat("%", 150), strings.Repeat("'", 150))
	var rows []emulator.Row
	for i, text := range texts {
		row := emulator.Row{}
		for _, c := range table.columns {
			if value := boundary(rng, c, texts, others); value != nil && c.value == nil {
				row[c.logical] = value
			}
		}
		row[table.Key] = fmt.Sprintf("feedc0de-%04x-4bad-8bad-%012x", i, rng.Uint64N(1<<48))
		row[table.namedColumn] = text
		if i%4 == 1 {
			row[table.namedColumn] = one(rng, texts) + one(rng, texts)
		}
		if i%2 == 1 {
			delete(row, "firstname") // so that a whole name is such a text too
		}
		row["description"] = strings.Repeat(text, 1+rng.IntN(3))
		rows = append(rows, row)
	}
	// Nothing at all, and only one long text.
	return append(rows, emulator.Row{table.Key: "feedc0de-ffff-4bad-8bad-000000000000"},
		emulator.Row{table.Key: "feedc0de-ffff-4bad-8bad-000000000001", "description": strings.Repeat("0123456789", 200)})
}

// boundary is a value for a column, often one at an end of what it can hold, or nil.
func boundary(rng *rand.Rand, c *oracleColumn, texts []string, others []emulator.Row) any {
	switch c.kind {
	case messages.FieldYesNo:
		return rng.IntN(2) == 0
	case messages.FieldChoices:
		var list []int32
		for _, value := range slices.Sorted(maps.Keys(c.options)) {
			if rng.IntN(4) == 0 {
				list = append(list, value)
			}
		}
		return list
	case messages.FieldLookup:
		if rng.IntN(3) > 0 {
			return nil
		}
		return one(rng, others)[c.logical]
	case messages.FieldDateTime:
		return one(rng, boundaryMoments)
	case messages.FieldText:
		if rng.IntN(3) > 0 {
			return nil
		}
		return one(rng, texts)
	}
	if rng.IntN(4) == 0 {
		return nil
	}
	switch c.kind {
	case messages.FieldDate:
		return one(rng, boundaryDates)
	case messages.FieldChoice:
		values := c.values
		if len(values) == 0 {
			values = slices.Sorted(maps.Keys(c.options))
		}
		return one(rng, values)
	case messages.FieldWholeNumber:
		return one(rng, []int{0, 1, -1, math.MaxInt32, math.MaxInt32 - 1, math.MinInt32})
	case messages.FieldMoney:
		return one(rng, []int{0, 1, -1, 99, 100, 10_000, 10_001, -10_000, 1e18, 1e18 - 1, -1e18, 123_456_789, 250_000_0000, 250_000_0001})
	case messages.FieldDecimal:
		return one(rng, []int{0, 1, -1, 333_333, 999_999, 1_000_000, 1_000_000_000_0000})
	}
	return nil // the key
}

var (
	boundaryMoments = []time.Time{moment("1753-01-01T00:00:01Z"), moment("1969-12-31T23:59:59Z"), moment("1970-01-01T00:00:00Z"),
		moment("2000-02-29T12:00:00Z"), moment("2023-12-31T23:59:59Z"), moment("2024-01-01T00:00:00Z"), moment("2024-02-28T23:59:59Z"),
		moment("2024-02-29T00:00:00Z"), moment("2024-02-29T23:59:59Z"), moment("2024-03-01T00:00:00Z"), moment("2038-01-19T03:14:08Z"), moment("9990-12-31T23:59:59Z")}
	boundaryDates = []time.Time{moment("1900-03-01T00:00:00Z"), moment("1970-01-01T00:00:00Z"), moment("2023-02-28T00:00:00Z"),
		moment("2024-02-29T00:00:00Z"), moment("2024-03-01T00:00:00Z"), moment("2100-02-28T00:00:00Z"), moment("9990-12-31T00:00:00Z")}
)

func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	must(err)
	return t
}

// one is one of the list.
func one[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }
