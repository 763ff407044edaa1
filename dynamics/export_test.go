package dynamics

import (
	"context"
	"io"
)

// ReadPage reads a page of p without a call, so that its pass can be measured alone.
func ReadPage(from io.Reader, p *Prepared) (*Page, error) {
	return readPage(&body{ctx: context.Background(), from: from, most: 64 << 20, left: 64 << 20}, p)
}
