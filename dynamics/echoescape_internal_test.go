package dynamics

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// writings are ways to write a character that [unescape] undoes.
var writings = []string{"%c", "%c", `\%c`, `\u00%02x`, `\u00%02X`, `\x%02x`, "%%%02x", "%%25%02x", "&#%d;", "&#x%x;",
	"&#000000%d;",
	`\u0026#%d;`, `\u0025%02x`, "&amp;#%d;"}

// TestNoEscapeHidesAnEcho: 16 characters of a signature, each written in one of the ways
// that are undone, are found wherever they stand, as they are where all of an answer is
// undone at once.
func TestNoEscapeHidesAnEcho(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	token := aToken(random)
	sign := token[strings.LastIndexByte(token, '.')+1:]
	var kept echoIndexes
	index := newEchoIndex([]string{sign})
	around := []string{``, ` `, `"`, `","name":"`, `\"`, `\\`, `é`, "\n", `100 % `, ` & `, `C:\\new\\`,
		`https://x.example/?q=%20`, `&lt;b&gt;`, strings.Repeat("-", 40)}
	found := 0
	for range 3000 {
		length := 14 + random.IntN(4)
		at := random.IntN(len(sign) - length)
		var text strings.Builder
		text.WriteString(around[random.IntN(len(around))])
		way := writings[random.IntN(len(writings))]
		for _, c := range []byte(sign[at : at+length]) {
			if random.IntN(3) == 0 {
				way = writings[random.IntN(len(writings))]
			}
			fmt.Fprintf(&text, way, c)
		}
		text.WriteString(around[random.IntN(len(around))])
		all := strings.Repeat("before ", random.IntN(3)) + text.String()
		want := index.in([]byte(all)) || index.in([]byte(unescape(all)))
		_, err := io.Copy(io.Discard, kept.without(&request{redact: redaction{tokens: []string{token}}},
			strings.NewReader(all)))
		if got := errors.Is(err, errEcho); want && !got {
			t.Fatalf("%d characters pass: %s", length, all)
		}
		if want {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("%d echoes are too few to show anything", found)
	}
}

// jsonEscaped writes every character of a text as JSON may.
func jsonEscaped(text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, `\u%04x`, text[i])
	}
	return b.String()
}

// TestNoBorderHidesAnEcho: an escape within an escape makes a character long; an echo of such is
// found also where the answer comes in pieces, wherever these end.
func TestNoBorderHidesAnEcho(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	token := aToken(random)
	sign := token[strings.LastIndexByte(token, '.')+1:]
	for name, write := range map[string]func(c byte) string{
		"HTML in JSON":         func(c byte) string { return fmt.Sprintf(`\u0026#%d;`, c) },
		"HTML in HTML":         func(c byte) string { return fmt.Sprintf(`&amp;#x%x;`, c) },
		"HTML in a URL":        func(c byte) string { return fmt.Sprintf(`%%26%%23%d%%3B`, c) },
		"HTML, all in JSON":    func(c byte) string { return jsonEscaped(fmt.Sprintf(`&#x%x;`, c)) },
		"JSON, all in JSON":    func(c byte) string { return jsonEscaped(jsonEscaped(string(c))) },
		"a URL, twice in JSON": func(c byte) string { return jsonEscaped(jsonEscaped(fmt.Sprintf(`%%%02x`, c))) },
	} {
		for range 8 {
			at := random.IntN(len(sign) - echoExact)
			var echo strings.Builder
			for _, c := range []byte(sign[at : at+echoExact]) {
				echo.WriteString(write(c))
			}
			all := `{"name":"` + echo.String() + `"}`
			cut := 1 + random.IntN(len(all)-2)
			for how, from := range map[string]io.Reader{
				"two pieces": io.MultiReader(strings.NewReader(all[:cut]), strings.NewReader(all[cut:])),
				"bytes":      iotest.OneByteReader(strings.NewReader(all)),
				"in much": io.MultiReader(strings.NewReader(strings.Repeat("before ", 2000)+all[:cut]),
					strings.NewReader(all[cut:]+strings.Repeat(" behind", 2000))),
			} {
				var kept echoIndexes
				e := kept.without(&request{redact: redaction{tokens: []string{token}}}, from)
				if _, err := io.Copy(io.Discard, e); !errors.Is(err, errEcho) {
					t.Fatalf("%s, %s, cut at %d: it passes: %s", name, how, cut, all)
				}
			}
		}
	}
}
