package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// crmbridge connect waits until the person is done, also where the connection is
// active already, and says so when it is deleted meanwhile.
func TestConnectCommandWaitsForThePerson(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	begin := func() (*exec.Cmd, *bridgetest.Buffer, *bridgetest.Buffer, string) {
		out, diag := &bridgetest.Buffer{}, &bridgetest.Buffer{}
		cmd := bridgetest.Program(t, []string{"NATS_URL=" + w.NATSURL}, "connect", "acme", w.EmulatorURL, "--no-browser", "--login-hint", emulator.DefaultUser)
		cmd.Stdout, cmd.Stderr = out, diag
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		page := ""
		bridgetest.Await(t, "the page's address", func() error {
			for word := range strings.FieldsSeq(out.String()) {
				if strings.HasPrefix(word, w.PublicURL()+"/connect/") {
					page = word
					return nil
				}
			}
			return fmt.Errorf("stdout %q, stderr %q", out, diag)
		})
		return cmd, out, diag, page
	}
	signIn := func(page string) {
		browser, err := signin.NewBrowser()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := browser.SignIn(t.Context(), page, w.EmulatorURL, emulator.DefaultUser); err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []bool{false, true} {
		cmd, out, diag, page := begin()
		bridgetest.Await(t, "the waiting", func() error {
			if strings.Contains(diag.String(), "connected already") != again || !strings.Contains(diag.String(), "Waiting") {
				return errors.New(diag.String())
			}
			return nil
		})
		signIn(page)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil || !bytes.Contains([]byte(out.String()), []byte("Connected.")) {
				t.Errorf("again %v: %v, %s %s", again, err, out, diag)
			}
		case <-time.After(time.Minute):
			t.Fatalf("again %v: still waiting; %s", again, diag)
		}
	}
	cmd, _, diag, _ := begin()
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != program.ExitError || !strings.HasPrefix(lastLine(diag.String()), string(messages.ConnectionNotFound)) {
		t.Errorf("%v: %s", err, diag)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
