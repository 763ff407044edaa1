package dynamics

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Whoever reads on behind an echo gets no more of the answer.
func TestNothingIsReadBehindAnEcho(t *testing.T) {
	const token = "x.y.0123456789abcdefghij"
	r := new(echoIndexes).without(&request{redact: redaction{tokens: []string{token}}},
		strings.NewReader("before "+token+strings.Repeat(" and behind it", 100)))
	got, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if len(got) > 0 || !errors.Is(err, errEcho) {
		t.Errorf("%q, %v", got, err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errEcho) {
		t.Errorf("then %d bytes, %v", n, err)
	}
}

// An echo is found at every place and however few bytes come at a time: 16 characters
// of the signature are one, 15 are none.
func TestAnEchoIsFoundAtEveryPlace(t *testing.T) {
	const token = "eyJ.eyJ.Zq0t7uXw2nBxYkD8mLhVfRrC5sJpEeTg"
	sign := token[8:]
	read := func(text string, slow bool) error {
		var from io.Reader = strings.NewReader(text)
		if slow {
			from = iotest.OneByteReader(from)
		}
		_, err := io.Copy(io.Discard, new(echoIndexes).without(&request{redact: redaction{tokens: []string{token}}}, from))
		return err
	}
	for _, slow := range []bool{false, true} {
		for at := 0; at+16 <= len(sign); at++ {
			for _, before := range []int{0, 1, 5, 8, 100, 101, 102, 103, 600} {
				front := strings.Repeat("-", before)
				if err := read(front+sign[at:at+16]+"-", slow); !errors.Is(err, errEcho) {
					t.Fatalf("16 characters from %d on after %d, slowly %t: %v", at, before, slow, err)
				}
				if err := read(front+sign[at:at+15]+"-", slow); err != nil {
					t.Fatalf("15 characters from %d on after %d, slowly %t: %v", at, before, slow, err)
				}
			}
		}
		var escaped strings.Builder
		for _, c := range []byte(sign[:20]) {
			escaped.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
		}
		for before := range 120 {
			if err := read(strings.Repeat("-", before)+escaped.String()+"-", slow); !errors.Is(err, errEcho) {
				t.Fatalf("escaped after %d, slowly %t: %v", before, slow, err)
			}
		}
	}
	for before := range 3 { // base64 has three forms of a text, by what stands before it
		coded := base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00"[:before] + sign))
		if err := read("-"+coded, false); !errors.Is(err, errEcho) {
			t.Errorf("in base64 behind %d bytes: %v", before, err)
		}
	}
	// A token whose signature is as short as an echo.
	short := "a.b.0123456789abcdef"
	if _, err := io.Copy(io.Discard, new(echoIndexes).without(&request{redact: redaction{tokens: []string{short}}}, strings.NewReader("0123456789ABCDEF"))); !errors.Is(err, errEcho) {
		t.Errorf("a signature of 16 characters: %v", err)
	}
}

// Escapes may stand in escapes; what they hide is an echo from 12 characters on.
func TestEscapesInEscapes(t *testing.T) {
	const token = "Zq0t7uXw2nBxYkD8mLhVfRrC5sJpEeTg"
	h := redaction{tokens: []string{token}}
	for name, form := range map[string]string{"HTML in JSON": `\u0026#%d;`, "JSON's \\x": `\x%02x`, "HTML": "&#%d;", "percent": "%%%02x", "percent in JSON": `\u0025%02x`} {
		var text strings.Builder
		for _, c := range []byte(token[4:16]) {
			fmt.Fprintf(&text, form, c)
		}
		if !h.echoes(text.String()) {
			t.Errorf("%s is not found: %s", name, text.String())
		}
	}
	if h.echoes(token[4:15]) || !h.echoes(token[4:16]) {
		t.Error("an echo is 12 characters")
	}
}
