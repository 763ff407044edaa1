package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

// What people write for columns, orders and numbers.
func TestFlagsOfRows(t *testing.T) {
	for _, test := range []struct {
		args          string // separated by |
		fields, order string
		limit         int
		fails         string
	}{
		{args: "--fields|name, city ,revenue", fields: "name city revenue"},
		{args: "--fields|name|--fields=city", fields: "name city"},
		{args: "--order-by|-revenue", order: "-revenue"},
		{args: "--order-by|-revenue,name", order: "-revenue name"},
		{args: "--order-by=-revenue|--order-by|name", order: "-revenue name"},
		{args: "--order-by|revenue desc, name asc", order: "-revenue name"},
		{args: "--order-by|revenue DESC", order: "-revenue"},
		{args: "--limit|3", limit: 3},
		{args: "--limit|0", fails: `"0" is not a whole number from 1 on`},
		{args: "--limit=-1", fails: `"-1" is not a whole number from 1 on`},
		{args: "--limit|many", fails: `"many" is not a whole number from 1 on`},
		{args: "--page-size|0", fails: "--page-size"},
		{args: "--fields|name,,city", fails: "a name is missing"},
		{args: "--order-by|-revenue desc", fails: "is no order"},
		{args: "--order-by|revenue downwards", fails: "is no order"},
		{args: "--order-by|--limit=3", fails: "--order-by"},
	} {
		commands := newCommands()
		parser, err := kong.New(commands)
		if err != nil {
			t.Fatal(err)
		}
		args := append([]string{"accounts", "search", "acme"}, strings.Split(test.args, "|")...)
		parsed, err := parser.Parse(usual(args))
		if test.fails != "" {
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%s: %v", test.args, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		search, ok := parsed.Selected().Target.Addr().Interface().(*rowsSearch)
		if !ok {
			t.Fatalf("%T", parsed.Selected().Target.Interface())
		}
		if !slices.Equal(search.Fields, strings.Fields(test.fields)) ||
			!slices.Equal(search.OrderBy, strings.Fields(test.order)) || int(search.Limit) != test.limit {
			t.Errorf("%s: %q %q %d", test.args, search.Fields, search.OrderBy, search.Limit)
		}
	}
}

// What people type first.
func TestTheFirstThatIsTyped(t *testing.T) {
	for args, want := range map[string]string{"": "Usage: crmbridge <command>", "--version": "0.", "--help": "accounts"} {
		var out, diag strings.Builder
		if status := run(strings.Fields(args), &out, &diag); status != 0 || !strings.Contains(out.String(), want) ||
			diag.String() != "" {
			t.Errorf("crmbridge %s: status %d: %.200s%.200s", args, status, out.String(), diag.String())
		}
	}
}

// Nothing, where a flag bounds something, would be no bound: it is refused, as on the wire.
func TestNoFlagTakesNothingForNoBound(t *testing.T) {
	for _, line := range []string{
		"connect acme https://contoso.crm4.dynamics.com --daily-calls=",
		"connect acme https://contoso.crm4.dynamics.com --timeout=",
		"events watch --timeout=", "events watch --max=", "events watch --since=",
		"accounts search acme --limit=", "accounts search acme --page-size=", "accounts changes acme --page-size=",
		"accounts export acme --out=a.csv --limit=", "accounts export acme --out=a.csv --split=",
		"healthcheck --timeout=", "accounts count acme --timeout=",
	} {
		for _, nothing := range []string{"0", "0s", "-1", "-1s"} {
			var out, diag strings.Builder
			words := strings.Fields(line + nothing)
			if status := run(words, &out, &diag); status != program.ExitUsage || !strings.Contains(diag.String(), "--") {
				t.Errorf("%s: status %d, %s", words, status, &diag)
			}
		}
	}
}
