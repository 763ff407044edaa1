package term

import (
	"strings"
	"testing"
)

func TestGrowing(t *testing.T) {
	rows := [][]string{{"a", "short", "what it is about"}, {"b", "much longer", "東京 is far\x1b[2J"}, {"c", "s", ""}}
	for columns, want := range map[int]string{
		0:  " id  name   about\n a   short  what it is about\n b   much longer  東京 is far [2J\n c   s\n",
		60: " id  name   about\n a   short  what it is about\n b   much longer  東京 is far [2J\n c   s\n",
		59: "id     a\nname   short\nabout  what it is about\n\nid     b\nname   much longer\nabout  東京 is far [2J\n\nid    c\nname  s\n",
	} {
		table := NewGrowing(&strings.Builder{}, []string{"id", "name", "about"}, []int{2, 5, 0})
		var text string
		for _, row := range rows {
			text += string(table.rowWithin(columns, row))
		}
		if text != want {
			t.Errorf("%d columns:\n%swant\n%s", columns, text, want)
		}
	}
	table := NewGrowing(&strings.Builder{}, []string{"id", "about"}, []int{2, 0})
	line := string(table.rowWithin(60, []string{"a", strings.Repeat("東", 60)}))
	if last := strings.Split(line, "\n")[1]; width(last) > 60 || !strings.HasSuffix(last, "東…") {
		t.Errorf("%d columns: %s", width(last), last)
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"{ \"a\": 1.50,\n \"b\": [ ] }":         `{"a":1.50,"b":[]}` + "\n",
		"{\"a\":\"\u202e\u009b\\u001b\u2028\"}": `{"a":"\u202e\u009b\u001b\u2028"}` + "\n",
		"{":                                     "", "": "", "{} {}": "",
	} {
		have, err := OneLine([]byte(text))
		if string(have) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, have, err)
		}
	}
}
