package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
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

// whereRows are accounts with boundary values in every column beside the texts.
// The same seed gives the same ones; owners and parents come from others.
func whereRows(rng *rand.Rand, others []emulator.Account) []emulator.Account {
	texts := append(slices.Clone(hostileTexts), strings.Repeat("long ", 31)+"ends", strings.Repeat("é", 160), strings.Repeat("%", 150), strings.Repeat("'", 150))
	var rows []emulator.Account
	for i := range texts {
		a := emulator.Account{ID: fmt.Sprintf("feedc0de-%04x-4bad-8bad-%012x", i, rng.Uint64N(1<<48)), Name: texts[i]}
		if i%4 == 1 {
			a.Name = one(rng, texts) + one(rng, texts)
		}
		for _, column := range []*string{&a.Website, &a.Phone, &a.Email, &a.City, &a.State, &a.PostalCode, &a.Land, &a.Number, &a.ExternalRef} {
			if rng.IntN(3) == 0 {
				*column = one(rng, texts)
			}
		}
		a.Description = strings.Repeat(texts[i], 1+rng.IntN(3))
		boundaries(rng, &a)
		other := others[rng.IntN(len(others))]
		if i%3 == 0 {
			a.OwnerID = other.OwnerID
		}
		if i%5 == 0 {
			a.ParentID = other.ID
		}
		rows = append(rows, a)
	}
	// Nothing at all, and only one long text.
	rows = append(rows, emulator.Account{ID: "feedc0de-ffff-4bad-8bad-000000000000"},
		emulator.Account{ID: "feedc0de-ffff-4bad-8bad-000000000001", Description: strings.Repeat("0123456789", 200)})
	return rows
}

func boundaries(rng *rand.Rand, a *emulator.Account) {
	a.Employees = some(rng, int32(0), 1, -1, math.MaxInt32, math.MaxInt32-1, math.MinInt32)
	money := []int64{0, 1, -1, 99, 100, 10_000, 10_001, -10_000, 1e18, 1e18 - 1, -1e18, 123_456_789, 250_000_0000, 250_000_0001}
	a.Revenue, a.CreditLimit = some(rng, money...), some(rng, money...)
	a.LeadScore = some(rng, int64(0), 1, -1, 333_333, 999_999, 1_000_000, 1_000_000_000_0000)
	a.Industry, a.Classification = some(rng, int32(1), 33, 11), some(rng, int32(1), 4)
	a.Category, a.CustomerType = some(rng, int32(1), 2), some(rng, int32(1), 12)
	a.Tier = some(rng, int32(100000000), 100000003)
	a.StateCode = rng.Int32N(2)
	a.DoNotEmail, a.DoNotBulkEmail, a.CreditOnHold = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
	for value := range int32(5) {
		if rng.IntN(4) == 0 {
			a.Channels = append(a.Channels, 100000000+value)
		}
	}
	a.CreatedOn = one(rng, []time.Time{moment("1753-01-01T00:00:01Z"), moment("1969-12-31T23:59:59Z"), moment("1970-01-01T00:00:00Z"),
		moment("2000-02-29T12:00:00Z"), moment("2023-12-31T23:59:59Z"), moment("2024-01-01T00:00:00Z"), moment("2024-02-28T23:59:59Z"),
		moment("2024-02-29T00:00:00Z"), moment("2024-02-29T23:59:59Z"), moment("2024-03-01T00:00:00Z"), moment("2038-01-19T03:14:08Z"), moment("9990-12-31T23:59:59Z")})
	if rng.IntN(3) > 0 {
		a.LastCampaign = one(rng, []time.Time{moment("1900-03-01T00:00:00Z"), moment("1970-01-01T00:00:00Z"), moment("2023-02-28T00:00:00Z"),
			moment("2024-02-29T00:00:00Z"), moment("2024-03-01T00:00:00Z"), moment("2100-02-28T00:00:00Z"), moment("9990-12-31T00:00:00Z")})
	}
}

func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	must(err)
	return t
}

// one is one of the list.
func one[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// some is one of the list, or in one of four cases nothing.
func some[T any](rng *rand.Rand, list ...T) *T {
	if rng.IntN(4) == 0 {
		return nil
	}
	value := one(rng, list)
	return &value
}
