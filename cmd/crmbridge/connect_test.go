package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
		cmd := bridgetest.Program(t, []string{"NATS_URL=" + w.NATSURL}, "connect", "acme", w.EmulatorURL, "--no-browser",
			"--login-hint", emulator.DefaultUser)
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
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != program.ExitError ||
		!strings.HasPrefix(lastLine(diag.String()), string(messages.ConnectionNotFound)) {
		t.Errorf("%v: %s", err, diag)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// An application user is connected at once; who waits for a person need not wait for as long as the
// page is open.
func TestConnectCommandWithoutAPerson(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	settings.AppConnectionsFile = filepath.Join(t.TempDir(), "app.json")
	allowed := fmt.Sprintf(`[{"connection":"app","environment_url":%q}]`, w.EmulatorURL)
	if err := os.WriteFile(settings.AppConnectionsFile, []byte(allowed), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Bridge(settings, nil)
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"connect", "app", w.EmulatorURL, "--grant", "client_credentials"}, 0, "Connected.\n"},
		{[]string{"connect", "other", w.EmulatorURL, "--grant=client_credentials"}, program.ExitError, "APP_CONNECTIONS_FILE"},
		{[]string{"connect", "person", w.EmulatorURL, "--no-browser", "--timeout=1s"}, program.ExitError,
			"deadline_exceeded: nobody connected in time"},
		{[]string{"connect", "person", w.EmulatorURL, "--grant=password"}, program.ExitUsage, "client_credentials"},
		{[]string{"connect", "person", w.EmulatorURL, "--timeout=-1s"}, program.ExitUsage, "--timeout"},
	} {
		var out, diag strings.Builder
		status := run(append(test.args, "--nats-url="+w.NATSURL), &out, &diag)
		if status != test.status || !strings.Contains(out.String()+diag.String(), test.want) {
			t.Errorf("%v: status %d: %s%s", test.args, status, out.String(), diag.String())
		}
	}
}

// A page that is over before its time by this machine's clock may have been replaced, or the clock is
// behind: neither is called the cause.
func TestConnectCommandWithAClockThatIsBehind(t *testing.T) {
	bridgetest.Long(t, "it asks again after two seconds")
	t.Parallel()
	a := newAnswers(t)
	a.give("crm.connections.authorize.request.acme", `{"connection":"acme","connect_url":"http://127.0.0.1:1/connect/x",`+
		`"expires_at":"2999-01-01T00:00:00Z"}`)
	a.give("crm.connections.get.request.acme", `{"connection":{"id":"acme","status":"pending"},"sign_in":{"phase":"expired"}}`)
	status, _, stderr := a.run("connect", "acme", "http://127.0.0.1:1", "--no-browser")
	flat := strings.Join(strings.Fields(stderr), " ")
	if status != program.ExitError || !strings.Contains(flat, "acme was deleted or replaced meanwhile, or the page's time "+
		"is over and this machine's clock is behind: the page leads nowhere; start again") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
