package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// terminal is where a command writes. live says that err is a terminal, where a
// line may be written over.
type terminal struct {
	out, err io.Writer
	live     bool
}

func newTerminal(stdout, stderr io.Writer) *terminal {
	file, isFile := stderr.(*os.File)
	return &terminal{out: stdout, err: stderr, live: isFile && term.IsTerminal(int(file.Fd()))}
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
