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

// A wide cell makes its own line long and no other.
func TestGrowingIsBounded(t *testing.T) {
	for columns, most := range map[int]int{0: 70_000, 80: 80} {
		table := NewGrowing(&strings.Builder{}, []string{"id", "about"}, []int{2, 0})
		var lines []string
		for _, id := range []string{"a", strings.Repeat("x", 60_000), "b"} {
			text := table.rowWithin(columns, []string{id, "about it"})
			lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
		}
		for i, line := range lines {
			if i != 2 && len(line) > mostGrown+20 || width(line) > most {
				t.Errorf("%d columns: line %d has %d", columns, i, width(line))
			}
		}
		if whole := strings.Contains(lines[2], strings.Repeat("x", 60_000)); whole != (columns == 0) {
			t.Errorf("%d columns: %.100s", columns, lines[2])
		}
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"{ \"a\": 1.50,\n \"b\": [ ] }":         `{"a":1.50,"b":[]}` + "\n",
		"{\"a\":\"\u202e\u009b\\u001b\u2028\"}": `{"a":"\u202e\u009b\u001b\u2028"}` + "\n",
		"{\"a\":\"\u200b👩\u200d💻\U000e0001\"}":  `{"a":"\u200b👩` + "\u200d" + `💻\udb40\udc01"}` + "\n",
		"{": "", "": "", "{} {}": "",
	} {
		have, err := OneLine([]byte(text))
		if string(have) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, have, err)
		}
	}
}
