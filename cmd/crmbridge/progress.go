package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// stdio is where a command writes. live says that err is a terminal, where a
// line may be written over.
type stdio struct {
	out, err io.Writer
	live     bool
	in       io.Reader // nil where no person can answer
}

func newStdio(stdout, stderr io.Writer) *stdio {
	file, isFile := stderr.(*os.File)
	t := &stdio{out: stdout, err: stderr, live: isFile && term.IsTerminal(file)}
	if t.live && term.IsTerminal(os.Stdin) {
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

// progressLine is a line about long work, which goes away when the work is done. On
// what is no terminal it says nothing.
type progressLine struct {
	to    *stdio
	shown bool
}

func (t *stdio) progress() *progressLine { return &progressLine{to: t} }

// beginning goes to the line's beginning and empties it.
const beginning = "\r\x1b[K"

func (p *progressLine) say(format string, args ...any) {
	if p.to.live {
		p.shown = true
		fmt.Fprint(p.to.err, beginning+fmt.Sprintf(format, args...))
	}
}

func (p *progressLine) clear() {
	if p.shown {
		p.shown = false
		fmt.Fprint(p.to.err, beginning)
	}
}
