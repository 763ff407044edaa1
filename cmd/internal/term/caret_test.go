package term_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// The spot stands between ⟦ and ⟧.
func TestCaret(t *testing.T) {
	if err := term.Caret(broken{}, "a", 0, 1); err == nil {
		t.Error("the writer's error does not come back")
	}
	for _, test := range []struct{ line, shown, carets string }{
		{"⟦⟧", "", "^"},
		{"name =⟦⟧", "name =", "      ^"},
		{"name ⟦lik⟧ x", "name lik x", "     ^^^"},
		{"name = 東京 ⟦or⟧", "name = 東京 or", "            ^^"},
		{"name = '🚀' ⟦東京⟧ x", "name = '🚀' 東京 x", "            ^^^^"},
		{"name = Cafe\u0301 ⟦e\u0301t⟧", "name = Cafe\u0301 e\u0301t", "            ^^"},
		{"name = ⟦\u0301⟧x", "name = \u0301x", "       ^"},
		{"a = '\x1b[2J\u202e\n' ⟦x⟧", "a = ' [2J ' x", "            ^"},
		{strings.Repeat("東", 50) + "⟦x⟧", "…" + strings.Repeat("東", 19) + "x", strings.Repeat(" ", 39) + "^"},
		{strings.Repeat("e\u0301", 60) + "⟦x⟧", "…" + strings.Repeat("e\u0301", 39) + "x", strings.Repeat(" ", 40) + "^"},
		{"⟦x⟧" + strings.Repeat("y", 60), "x" + strings.Repeat("y", 32) + "…", "^"},
		{"⟦" + strings.Repeat("x", 60) + "⟧yy", strings.Repeat("x", 24) + "…", strings.Repeat("^", 24)},
	} {
		before, spot, _ := strings.Cut(test.line, "⟦")
		spot, behind, _ := strings.Cut(spot, "⟧")
		var out bytes.Buffer
		if err := term.Caret(&out, before+spot+behind, len(before), len(spot)); err != nil {
			t.Error(err)
		}
		if want := "  " + test.shown + "\n  " + test.carets + "\n"; out.String() != want {
			t.Errorf("%q shows as\n%swant\n%s", test.line, out.String(), want)
		}
	}
}

func FuzzCaret(f *testing.F) {
	f.Add("name = 東京", uint(4), uint(3))
	f.Add("e\u0301\u0301\xff\x1b", uint(1), uint(9))
	f.Fuzz(func(t *testing.T, line string, offset, length uint) {
		from := int(offset % uint(len(line)+1))
		var out bytes.Buffer
		if err := term.Caret(&out, line, from, int(length%uint(len(line)-from+1))); err != nil {
			t.Fatal(err)
		}
		if strings.Count(out.String(), "\n") != 2 || !strings.HasSuffix(out.String(), "^\n") || !utf8.ValidString(out.String()) || out.Len() > 8000 {
			t.Fatalf("%q", out.String())
		}
	})
}
