package term_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type broken struct{}

var errBroken = errors.New("the pipe is closed")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWritersErrorComesBack(t *testing.T) {
	for name, err := range map[string]error{
		"Table": term.Table(broken{}, []string{"a"}, nil),
		"JSON":  term.JSON(broken{}, 1),
		"Pairs": term.Pairs(broken{}, [][2]string{{"a", "b"}}),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	if err := term.JSON(&out, func() {}); err == nil || out.Len() > 0 {
		t.Errorf("a function printed as %q, %v", out.String(), err)
	}
}

// The second column begins at the same column of the terminal on every line. The
// widths are those of the characters in Unicode's East Asian Width and emoji data.
func TestTableAligns(t *testing.T) {
	names := []struct {
		name  string
		width int
	}{
		{"A. Datum", 8},
		{"株式会社日本", 12},
		{"한국", 4},
		{"Rocket 🚀", 9},
		{"שלום", 4},
		{"شركة", 4},
		{"Cafe\u0301", 4},
		{"\u0938\u0902\u0917\u0920\u0928", 4}, // Devanagari, one combining mark
		{"Ｆｕｌｌ", 8},
	}
	rows := make([][]string, len(names))
	for i, n := range names {
		rows[i] = []string{n.name, "|"}
	}
	var out bytes.Buffer
	if err := term.Table(&out, []string{"name", "x"}, rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	lines = lines[len(lines)-len(names):]
	for i, n := range names {
		at := strings.Index(lines[i], n.name)
		if at < 0 {
			t.Fatalf("%q is not in %q", n.name, lines[i])
		}
		gap := strings.Count(lines[i][at+len(n.name):], " ")
		if column := at + n.width + gap; column != 12+at+2 {
			t.Errorf("%s: the next cell begins at column %d\n%s", n.name, column, out.String())
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := term.Table(&out, []string{"name", "note"}, [][]string{{"a\x1b[31mred", "two\nlines\tand a tab"}, {"b", ""},
		{strings.Repeat("x", 60), strings.Repeat("語", 60)}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\t\r") || strings.Contains(out.String(), " \n") {
		t.Errorf("not clean: %q", out.String())
	}
	for _, want := range []string{"name", "note", "a [31mred", "two lines and a tab",
		strings.Repeat("x", 60), strings.Repeat("語", 60)} { // into a pipe nothing is cut
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	header := strings.SplitN(out.String(), "\n", 2)[0]
	out.Reset()
	if err := term.Table(&out, []string{"name", "note"}, nil); err != nil || !strings.Contains(out.String(), "name") ||
		header == "" {
		t.Errorf("no rows: %q, %v", out.String(), err)
	}
}

// A table fits the terminal, or is one of records.
func TestTablesFit(t *testing.T) {
	header := []string{"name", "note", "revenue"}
	rows := [][]string{{"Contoso", strings.Repeat("x", 70), "14953730000.00"},
		{"A. Datum", strings.Repeat("語", 60), "7.5\u00a0EUR"},
		{"Fabrikam", "", ""}}
	for _, test := range []struct {
		columns     int
		wants, none []string
	}{
		{0, []string{strings.Repeat("x", 70), strings.Repeat("語", 60), "        7.5\u00a0EUR\n"}, []string{"…"}},
		{200, []string{strings.Repeat("x", 70), "14953730000.00\n"}, []string{"…"}},
		{80, []string{" Contoso ", "x…", "語…", "        7.5\u00a0EUR\n", "revenue"}, []string{strings.Repeat("x", 70)}},
		{40, []string{"name     Contoso\nnote\n  " + strings.Repeat("x", 70) + "\nrevenue  14953730000.00\n\n",
			"name  Fabrikam\n"}, []string{"…"}},
	} {
		var out bytes.Buffer
		if err := term.TableWithin(&out, test.columns, header, rows); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%d columns: %q is not in\n%s", test.columns, want, out.String())
			}
		}
		for _, none := range test.none {
			if strings.Contains(out.String(), none) {
				t.Errorf("%d columns: %q is in\n%s", test.columns, none, out.String())
			}
		}
	}
	var out bytes.Buffer // so many columns that nothing of them would be left
	many := slices.Repeat([]string{strings.Repeat("y", 30)}, 10)
	if err := term.TableWithin(&out, 100, many, [][]string{many}); err != nil || strings.Contains(out.String(), "…") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// A part of a number, a time or an id is another one, or none: they are whole on any terminal. The
// texts beside them are cut, or where that does not help every row is a record.
func TestTablesCutNoValue(t *testing.T) {
	const text = "so much text that a part of it will do"
	for _, value := range []string{"bd578f43-69f8-4eb1-8182-a5e19293d60c", "922337203685477.5807", "-14953730000.00\u00a0US\u00a0Dollar",
		"1,317,535,000.25", "2024-11-22 09:30:00", "2024-11-22T09:30:00Z", "1000000 of 25000000", "ann@contoso.example",
		strings.Repeat("c", 64)} {
		for columns := 40; columns <= 200; columns++ {
			var out bytes.Buffer
			rows := [][]string{{text, value, value, text}, {value, text, value, ""}}
			if err := term.TableWithin(&out, columns, []string{"a", "b", "c", "d"}, rows); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), value); n != 4 {
				t.Fatalf("%d columns: %q stands there %d times of 4:\n%s", columns, value, n, &out)
			}
		}
	}
	var out bytes.Buffer // beside an id a text gives way
	id := "bd578f43-69f8-4eb1-8182-a5e19293d60c"
	err := term.TableWithin(&out, 70, []string{"row", "name"}, [][]string{{id, text}})
	if want := " " + id + "  so much text that a part of i…\n"; err != nil || !strings.HasSuffix(out.String(), want) {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"Zoë & Søn, 100 %":                             "Zoë & Søn, 100 %",
		"\x1b]0;title\x07":                             " ]0;title ",
		"a\u009b31mb":                                  "a 31mb",
		"a\x7fb\x00c\rd\ne\tf\u0085g":                  "a b c d e f g",
		"a\u2028b\u2029c":                              "a b c",
		"user\u202egpj.exe\u202c":                      "usergpj.exe",
		"\u2066a\u2069\u200e\u200f\u061c\ufeff\ufff9b": "ab",
		"שלום عالم":                                    "שלום عالم",
		"👩\u200d💻 e\u0301":                             "👩\u200d💻 e\u0301",
		"a\xffb":                                       "a\ufffdb",
		// Nothing that is not seen,
		"a\u200bd\u00admi\u2060n\u034f\u180e": "admin",
		"\u3164\u115f\uffa0":                  "",
		"x\U000e0041\U000e007f":               "x",
		"pay\u200dpal\u200c":                  "paypal",
		"\u200dpay\ufe0fpal\ufe0f":            "paypal",
		"a1\ufe0fb":                           "a1b",
		"👩\u200d":                             "👩",
		"👩\u200dx":                            "👩x",
		"👩\u200d\u200d💻":                      "👩\u200d💻",
		"Auf\u200clage":                       "Auflage",
		// but what belongs to emoji, and to scripts whose letters have forms.
		"❤\ufe0f\u200d🔥 🏳\ufe0f\u200d🌈 👩🏽\u200d🚀":                       "❤\ufe0f\u200d🔥 🏳\ufe0f\u200d🌈 👩🏽\u200d🚀",
		"1\ufe0f\u20e3 ©\ufe0f ‼\ufe0f":                                 "1\ufe0f\u20e3 ©\ufe0f ‼\ufe0f",
		"🏃\u200d♂\ufe0f":                                                "🏃\u200d♂\ufe0f",
		"می\u200cخواهم क्\u200dष":                                       "می\u200cخواهم क्\u200dष",
		"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
		"葛\U000e0100": "葛\U000e0100",
		"z" + strings.Repeat("\u0335", 500) + "y" + strings.Repeat("\u0335", 3): "z" + strings.Repeat("\u0335", 8) + "y" + strings.Repeat("\u0335", 3),
	} {
		if got := term.Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	page := messages.Page{Head: messages.Head{RequestID: "r"}, Rows: []messages.Row{{
		"revenue": jsontext.Value("90071992547409930.1000"), "big": jsontext.Value("1E400"),
		"name": jsontext.Value("\"a\u009b31m\u202eb\u007f\ufeff é 語 \\u001b\""),
	}}}
	var out bytes.Buffer
	if err := term.JSON(&out, messages.CodecFor[messages.Page](messages.Accounts).Wire(&page)); err != nil {
		t.Fatal(err)
	}
	want := `{
  "request_id": "r",
  "accounts": [
    {
      "big": 1E400,
      "name": "a\u009b31m\u202eb\u007f\ufeff é 語 \u001b",
      "revenue": 90071992547409930.1000
    }
  ]
}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	var back struct{ Accounts []struct{ Name string } }
	if err := json.Unmarshal(out.Bytes(), &back); err != nil ||
		back.Accounts[0].Name != "a\u009b31m\u202eb\u007f\ufeff é 語 \x1b" {
		t.Errorf("reads back as %+q, %v", back, err)
	}
}

func TestPairs(t *testing.T) {
	var out bytes.Buffer
	if err := term.Pairs(&out, [][2]string{{"id", "a\x1bb"}, {"名前", "x"}, {"größe", "y"}, {"a\u202eb", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "id     a b\n名前   x\ngröße  y\nab\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestWhenThereIsNoTime(t *testing.T) {
	if term.When(nil) != "" || term.When(&time.Time{}) != "" {
		t.Error("no time is shown as one")
	}
}

func FuzzSafe(f *testing.F) {
	for _, seed := range []string{"", "A. Datum", "\x1b[2J", "\u202e\u009b", "e\u0301\u0301", "\xff\xfe", "👩\u200d💻",
		"1\ufe0f\u200d\u200c👩\u200d\U000e0041", "🏴\U000e0067\U000e007f\u200d\u3164"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		safe := term.Safe(s)
		if !utf8.ValidString(safe) {
			t.Fatalf("%q is not UTF-8", safe)
		}
		for _, r := range safe {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 ||
				r == 0x2029 {
				t.Fatalf("%q holds %U", safe, r)
			}
		}
		if again := term.Safe(safe); again != safe {
			t.Fatalf("%q became %q the second time", safe, again)
		}
		var out bytes.Buffer
		if err := term.Table(&out, []string{"a", "b"}, [][]string{{s, s}}); err != nil ||
			strings.Count(out.String(), "\n") > 3 {
			t.Fatalf("%v\n%s", err, out.String())
		}
	})
}
