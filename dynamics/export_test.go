package dynamics

import (
	"context"
	"io"
)

// ReadPage reads a page of p without a call, so that its pass can be measured alone.
func ReadPage(from io.Reader, p *Prepared) (*Page, error) {
	return readPage(&body{ctx: context.Background(), from: from, most: 64 << 20, left: 64 << 20}, p)
}

// SearchedPages reads pages of p as ReadPage does, and looks for a token in them.
func SearchedPages(p *Prepared, token string) func(io.Reader) (*Page, error) {
	var kept echoIndexes
	r := request{redact: redaction{tokens: []string{token}}}
	return func(from io.Reader) (*Page, error) {
		reader := kept.without(&r, from)
		e := reader.(*echoReader)
		defer e.release()
		return readPage(&body{ctx: context.Background(), from: reader, echoes: e, most: 64 << 20, left: 64 << 20}, p)
	}
}
