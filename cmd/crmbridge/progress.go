package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/crmbridge/crmbridge/cmd/internal/show"
)

// terminal is where a command writes. live says that err is a terminal, where a
// line may be written over.
type terminal struct {
	out, err io.Writer
	live     bool
	in       io.Reader // nil where no person can answer
}

func newTerminal(stdout, stderr io.Writer) *terminal {
	file, isFile := stderr.(*os.File)
	t := &terminal{out: stdout, err: stderr, live: isFile && term.IsTerminal(int(file.Fd()))}
	if t.live && term.IsTerminal(int(os.Stdin.Fd())) {
		t.in = os.Stdin
	}
	return t
}

// agrees asks a question and reports whether the answer is yes; where nobody can
// answer it does not ask.
func (t *terminal) agrees(question string) bool {
	if t.in == nil {
		return true
	}
	fmt.Fprint(t.err, show.Safe(question)+" [y/N] ")
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
	to    *terminal
	shown bool
}

func (t *terminal) progress() *progressLine { return &progressLine{to: t} }

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
