package main

import (
	"io"
	"os"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// stdio is where a command writes. live says that err is a terminal, where a
// line may be written over, outLive that out is one.
type stdio struct {
	out, err io.Writer
	live     bool
	outLive  bool
	in       io.Reader // where a person answers what err asks; nil where there is none
	typed    bool      // a person types, though err may go elsewhere
	utc      bool      // times are shown as they are on the wire
}

// when is a time for people; "" for none.
func (t *stdio) when(at *time.Time) string {
	if t.utc && at != nil && !at.IsZero() {
		return at.UTC().Format(time.RFC3339)
	}
	return term.When(at)
}

func newStdio(stdout, stderr io.Writer) *stdio {
	file, isFile := stderr.(*os.File)
	t := &stdio{out: stdout, err: stderr, live: isFile && term.IsTerminal(file) && os.Getenv("TERM") != "dumb"}
	if file, isFile := stdout.(*os.File); isFile {
		t.outLive = term.IsTerminal(file)
	}
	if t.typed = isFile && term.IsTerminal(os.Stdin); t.typed && term.IsTerminal(file) {
		t.in = os.Stdin
	}
	return t
}
