package dynamics_test

import (
	"bytes"
	"io"
	"testing"
)

// rawScanner is what a page's pass is measured against: it reads an answer into one buffer,
// finds where each row begins and ends and copies its values, and believes whatever it is
// sent. Of texts it looks for quotation marks only.
type rawScanner struct {
	from         *bytes.Reader
	answer       []byte
	body, values []byte
}

func newRawScanner(answer []byte) *rawScanner {
	return &rawScanner{bytes.NewReader(nil), answer, make([]byte, len(answer)+1), make([]byte, 0, len(answer))}
}

func (s *rawScanner) scan() {
	if s.from.Reset(s.answer); s.read(s.from) == 0 {
		panic("no rows")
	}
}

func (s *rawScanner) read(from io.Reader) (rows int) {
	n := 0
	for err := error(nil); err == nil; {
		var more int
		more, err = from.Read(s.body[n:])
		n += more
	}
	s.values, rows = rawScan(s.values[:0], s.body[:n])
	return rows
}

func rawScan(dst, body []byte) ([]byte, int) {
	rows := 0
	i := bytes.Index(body, []byte(`"value":[`)) + len(`"value":[`)
	for i < len(body) && body[i] == '{' {
		i++
		for body[i-1] != '}' {
			i = textEnd(body, i) + 1 // behind the colon of a name
			begin := i
			if body[i] == '"' {
				i = textEnd(body, i)
			} else {
				for body[i] != ',' && body[i] != '}' {
					i++
				}
			}
			dst = append(append(dst, body[begin:i]...), ',')
			i++ // behind a comma, or the row
		}
		if rows++; body[i] == ',' {
			i++
		}
	}
	return dst, rows
}

// textEnd is where the text ends that begins at i.
func textEnd(body []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(body[i+1:], '"')
		if body[i-1] != '\\' || escapedQuote(body, i) {
			return i + 1
		}
	}
}

// escapedQuote reports whether the backslashes before a quotation mark are escapes of each
// other.
func escapedQuote(body []byte, i int) bool {
	n := 0
	for body[i-1-n] == '\\' {
		n++
	}
	return n%2 == 0
}

// BenchmarkPageRaw is the lenient raw scan of the same page.
func BenchmarkPageRaw(b *testing.B) {
	body, _ := benchPage(5000)
	s := newRawScanner(body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		s.scan()
	}
}
