package term

import (
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether file is a terminal, and not a pipe or a file.
func IsTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }
