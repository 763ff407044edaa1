package dynamics

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// writings are ways to write a character that [unescape] undoes.
var writings = []string{"%c", "%c", `\%c`, `\u00%02x`, `\u00%02X`, `\x%02x`, "%%%02x", "%%25%02x", "&#%d;", "&#x%x;", "&#000000%d;",
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
	around := []string{``, ` `, `"`, `","name":"`, `\"`, `\\`, `é`, "\n", `100 % `, ` & `, `C:\\new\\`, `https://x.example/?q=%20`, `&lt;b&gt;`, strings.Repeat("-", 40)}
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
		_, err := io.Copy(io.Discard, kept.without(&request{redact: redaction{tokens: []string{token}}}, strings.NewReader(all)))
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
