package term

import (
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether file is a terminal, and not a pipe or a file.
func IsTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// Columns is how many columns the terminal has that to writes to, 0 for a pipe, a file, or anything
// else.
func Columns(to io.Writer) int { return columnsOf(to) }

// columnsOf is how wide the terminal is that to writes to, 0 for a pipe, a file, or anything else.
func columnsOf(to io.Writer) int {
	file, ok := to.(*os.File)
	if !ok || !IsTerminal(file) {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
