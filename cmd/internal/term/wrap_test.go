package term_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// Words go on on the next line, and what is to be copied stays whole.
func TestProseAndPairsFit(t *testing.T) {
	guid := "bd578f43-69f8-4eb1-8182-a5e19293d60c"
	pairs := [][2]string{{"user", guid + "  Ada Lindqvist"}, {"scopes", "openid profile email offline_access"},
		{"last error", ""}}
	prose := func(columns int, text string) (out strings.Builder) {
		if err := term.ProseWithin(&out, columns, 2, text); err != nil {
			t.Fatal(err)
		}
		return out
	}
	table := func(columns int) (out strings.Builder) {
		if err := term.PairsWithin(&out, columns, pairs); err != nil {
			t.Fatal(err)
		}
		return out
	}
	long := "unavailable: no crmbridge listens on crm.accounts.count.request.acme\x1b[2J"
	for _, test := range []struct {
		out  strings.Builder
		want string
	}{
		{prose(0, long), "unavailable: no crmbridge listens on crm.accounts.count.request.acme [2J\n"},
		{prose(80, long), "unavailable: no crmbridge listens on crm.accounts.count.request.acme [2J\n"},
		{prose(40, long), "unavailable: no crmbridge listens on\n  crm.accounts.count.request.acme [2J\n"},
		{prose(24, long), "unavailable: no\n  crmbridge listens on\n  crm.accounts.count.request.acme\n  [2J\n"},
		{prose(3, long), "unavailable: no\n  crmbridge listens on\n  crm.accounts.count.request.acme\n  [2J\n"},
		{prose(30, "  one and two and three and four\nfive\n"), "  one and two and three and\n    four\nfive\n"},
		{table(0), "user        " + guid + "  Ada Lindqvist\nscopes      openid profile email offline_access\nlast error\n"},
		{table(60), "user        " + guid + "  Ada\n            Lindqvist\nscopes      openid profile email offline_access\nlast error\n"},
		{table(40), "user\n  " + guid + "\n  Ada Lindqvist\nscopes      openid profile email\n            offline_access\nlast error\n"},
	} {
		if diff := cmp.Diff(test.want, test.out.String()); diff != "" {
			t.Error(diff)
		}
	}
}
