package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// stdio is where a command writes. live says that err is a terminal, where a
// line may be written over, outLive that out is one.
type stdio struct {
	out, err io.Writer
	live     bool
	outLive  bool
	in       io.Reader // nil where no person can answer
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
	if isFile && term.IsTerminal(file) && term.IsTerminal(os.Stdin) {
		t.in = os.Stdin
	}
	return t
}

// agrees asks a question and reports whether the answer is yes; where nobody can
// answer it does not ask.
func (t *stdio) agrees(question string) bool {
	if t.in == nil {
		return true
	}
	_ = term.Prose(t.err, 0, question) // where it cannot be read there is no answer
	fmt.Fprint(t.err, "[y/N] ")
	answer, err := bufio.NewReader(io.LimitReader(t.in, 1<<10)).ReadString('\n')
	if err != nil {
		fmt.Fprintln(t.err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
