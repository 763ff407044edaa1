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

// searchedPage reads a page with a window of some size, which looks for echoes itself, or
// leaves that to the reader below it. It says whether the page is refused for one, and
// whether it is used.
func searchedPage(t *testing.T, p *Prepared, kept *echoIndexes, token, text string, size int, itself bool) (echo,
	used bool) {
	t.Helper()
	from := io.Reader(strings.NewReader(text))
	if size%2 == 0 {
		from = iotest.HalfReader(from)
	}
	b := newBody(text, false)
	b.from = kept.without(&request{redact: redaction{tokens: []string{token}}}, from)
	if itself {
		b.echoes = b.from.(*echoReader)
		if b.echoes.forms == nil { // the token has not been in use for long
			b.echoes.forms = newEchoIndex([]string{b.echoes.sign})
		}
	}
	err := b.consume(&request{read: func(b *body) error {
		r := newRowReader(p, b, rowDepth)
		r.buf = make([]byte, size+scanPad)
		page := &Page{}
		err := r.page(page)
		if echo := r.look(); echo != nil {
			err = echo
		}
		r.buf = nil
		r.release()
		page.Release()
		return err
	}})
	return errors.Is(err, errEcho), err == nil
}

// TestAPageIsSearchedAsATextIs: wherever 14 to 17 characters of a token stand in a page,
// however they are written and whatever the page is otherwise, it is refused where a reader
// that looks at all of it finds them, and only where a search of the whole text does.
func TestAPageIsSearchedAsATextIs(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	long := aToken(random)
	tokens := []string{long, `a-b.c:[{12,3456],7890}{1:2345`, `quoted"0123456789"abcdef:,{}`,
		`x\u0031\n%41&amp;\x41 and more`}
	all := compared(t)
	var kept echoIndexes
	found, passed := 0, 0
	for n := range Fewer(20_000) {
		token := tokens[random.IntN(len(tokens))]
		sign := token[strings.LastIndexByte(token, '.')+1:]
		length := 14 + random.IntN(4)
		at := random.IntN(len(sign) - length)
		var echo strings.Builder
		way := writings[random.IntN(len(writings))]
		if random.IntN(2) == 0 {
			way = "%c"
		}
		for _, c := range []byte(sign[at : at+length]) {
			fmt.Fprintf(&echo, way, c)
		}
		page := pageSeeds[random.IntN(3)]
		rows := strings.Repeat(page, 1+random.IntN(8)) // of which all but the first are trailing
		if random.IntN(4) > 0 {
			row := page[strings.Index(page, `[`)+1 : strings.LastIndex(page, `]`)]
			rows = `{"value":[` + strings.Repeat(row+`,`, random.IntN(8)) + row + `],"@odata.count":3}`
		}
		text := rows
		switch place := random.IntN(len(rows)); random.IntN(4) {
		case 0: // where a value begins
			if k := strings.Index(rows[place:], `":"`); k >= 0 {
				place += k + 3
			}
			text = rows[:place] + echo.String() + rows[place:]
		case 1: // in place of what is there
			text = rows[:place] + echo.String() + rows[min(len(rows), place+echo.Len()):]
		case 2:
			text = rows[:place] + echo.String() + rows[place:]
		default: // a value of its own behind a name, quoted or not
			if k := strings.Index(rows[place:], `":`); k >= 0 {
				place += k + 2
			}
			text = rows[:place] + `"` + echo.String() + `",` + rows[place:]
		}
		size := 40 + random.IntN(2000)
		p := all[random.IntN(len(all))]
		want, usable := searchedPage(t, p, &kept, token, text, size, false)
		got, used := searchedPage(t, p, &kept, token, text, size, true)
		// The reader looks at what escapes hide only as far as six bytes a character go over its
		// reads' ends. One that is no page either may end before the echo is read.
		if used && !usable || got && !want && !newEchoIndex([]string{sign}).inAny([]byte(text)) {
			t.Fatalf("%d: an echo by the reader %t, by the window %t of %d, token %q, echo %s: %s", n, want, got, size,
				token, echo.String(), text)
		}
		switch {
		case got && want:
			found++
		case used:
			passed++
		}
	}
	if found < Fewer(5000) || passed < Fewer(1000) {
		t.Errorf("%d echoes and %d pages without are too few to show anything", found, passed)
	}
}
