package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// terminal is the one that a process is started from, wherever its output goes.
const terminal = "/dev/tty"

// agrees asks before something is deleted, and returns an error unless the answer is yes: of usage
// where nobody can be asked, who would not know of the question either.
func (t *stdio) agrees(question string) error {
	in, to := t.in, t.err
	if in == nil && t.typed {
		if own, err := os.OpenFile(terminal, os.O_RDWR, 0); err == nil {
			defer own.Close()
			in, to = own, own
		}
	}
	if in == nil {
		return fmt.Errorf("%w: --yes is missing: nobody can be asked here, and nothing was deleted", bridge.ErrUsage)
	}
	_ = term.Prose(to, 0, question) // where it cannot be read there is no answer
	fmt.Fprint(to, "[y/N] ")
	const longest = 1 << 10
	answer, err := bufio.NewReader(io.LimitReader(in, longest)).ReadString('\n')
	if err != nil {
		fmt.Fprintln(to)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return messages.Errorf(messages.Cancelled, "nothing was deleted")
}
