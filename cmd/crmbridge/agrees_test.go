package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// Nothing is deleted before a person says yes, or --yes does.
func TestDeletingAsksOnATerminal(t *testing.T) {
	for typed, want := range map[string]bool{"y\n": true, "YES\n": true, " yes": true, "\n": false, "n\n": false, "": false, "yesterday\n": false, "no\nyes\n": false,
		strings.Repeat(" ", 2000) + "y\n": false} {
		var out, err strings.Builder
		std := &stdio{out: &out, err: &err, live: true, in: strings.NewReader(typed)}
		c := connectionsDelete{connection: connection{"acme"}}
		c.URL = "nats://127.0.0.1:1" // where nobody listens: who asks there has been told to go on
		fault := c.Run(t.Context(), std)
		if code := codeOf(fault); (code == messages.Cancelled) == want {
			t.Errorf("%.20q: %v", typed, fault)
		}
		if !strings.Contains(err.String(), "Delete connection acme") {
			t.Errorf("asked %q", err.String())
		}
	}
	var out strings.Builder
	std := &stdio{out: &out, err: &out, in: strings.NewReader("n\n")}
	c := connectionsDelete{Yes: true}
	c.URL = "nats://127.0.0.1:1"
	if fault := c.Run(t.Context(), std); codeOf(fault) == messages.Cancelled || out.Len() > 0 {
		t.Errorf("--yes: %v, said %q", fault, out.String())
	}
}

// Where nobody can be asked nothing is deleted, and a script learns it from the status.
func TestDeletingIsRefusedWhereNobodyCanBeAsked(t *testing.T) {
	for name, run := range map[string]func(context.Context, *stdio) error{
		"connections": (&connectionsDelete{}).Run, "jobs": (&jobsDelete{}).Run,
	} {
		var out strings.Builder
		fault := run(t.Context(), &stdio{out: &out, err: &out})
		if !errors.Is(fault, bridge.ErrUsage) || !strings.Contains(fault.Error(), "--yes") || out.Len() > 0 {
			t.Errorf("%s: %v, said %q", name, fault, out.String())
		}
	}
}

// deleting is the line that this test binary, as crmbridge on a terminal, runs.
const deleting = `"$0" connections delete acme --nats-url=nats://127.0.0.1:1`

// Whatever goes elsewhere, a person who types is asked on the terminal; a line that another program
// writes is no answer.
func TestDeletingAsksOnTheTerminalThatThereIs(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for line, asks := range map[string]bool{
		deleting: true, deleting + " 2>err.txt": true, deleting + " >out.txt 2>&1": true,
		"echo y | " + deleting: false, deleting + " </dev/null": false,
	} {
		cmd := exec.Command("sh", "-c", line+"; echo status $?", self)
		cmd.Dir, cmd.Env = t.TempDir(), bridgetest.Program(t, nil).Env
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if asks {
			if _, err := terminal.WriteString("n\n"); err != nil {
				t.Fatal(err)
			}
		}
		shown, _ := io.ReadAll(terminal) // Linux ends it with EIO
		_ = cmd.Wait()                   // the status is shown
		_ = terminal.Close()
		want := "status 2"
		if asks {
			want = "status 1"
		}
		if text := string(shown); !strings.Contains(text, want) || strings.Contains(text, "[y/N]") != asks {
			t.Errorf("%s: asks: %t, %s:\n%s", line, asks, want, text)
		}
	}
}

func codeOf(err error) messages.Code {
	if fault, ok := err.(*messages.Error); ok {
		return fault.Code
	}
	return ""
}
