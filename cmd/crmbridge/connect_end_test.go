package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// connecting is crmbridge connect in a process of its own, and the address of the page that it gave.
func connecting(t *testing.T, w *bridgetest.World, env []string, args ...string) (*watching, string) {
	t.Helper()
	c := &watching{t: t}
	c.Cmd = bridgetest.Program(t, append(env, "NATS_URL="+w.NATSURL), append([]string{"connect"}, args...)...)
	c.Stdout, c.Stderr = &c.out, &c.diag
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	page := ""
	bridgetest.Await(t, "the page's address", func() error {
		for word := range strings.FieldsSeq(c.out.String()) {
			if strings.HasPrefix(word, w.PublicURL()+"/connect/") {
				page = word
				return nil
			}
		}
		return fmt.Errorf("%s%s", &c.out, &c.diag)
	})
	return c, page
}

// declines goes through the page and does not consent; it must end on a page that says so.
func declines(t *testing.T, page, action string) {
	t.Helper()
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := browser.Open(t.Context(), page)
	if err == nil {
		shown, err = browser.Submit(t.Context(), shown, nil)
	}
	if err == nil {
		_, err = browser.Submit(t.Context(), shown, url.Values{"user": {emulator.DefaultUser}, "action": {action}})
	}
	if err == nil || !strings.HasPrefix(err.Error(), "403") {
		t.Fatalf("the person sees no refusal: %v", err)
	}
}

// The command ends when the person does, with what the page said; somebody else's link is another
// matter.
func TestConnectCommandEndsWhenThePersonDeclines(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it waits for people who decline")
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "acme"},
		EnvironmentURL: w.EmulatorURL})
	if err != nil {
		t.Fatal(err)
	}
	c, page := connecting(t, w, nil, "acme", w.EmulatorURL, "--no-browser")
	declines(t, begun.ConnectURL, "cancel") // of another link
	bridgetest.Await(t, "the other link's end", func() error {
		reply, err := client.SignIn(t.Context(), "acme", begun.ConnectURL)
		if err == nil && reply.SignIn.Phase != messages.SignInFailed {
			err = errors.New(reply.SignIn.Phase)
		}
		return err
	})
	if reply, err := client.SignIn(t.Context(), "acme", page); err != nil || reply.SignIn.Phase != messages.SignInWaiting {
		t.Fatalf("%+v %v; %s", reply, err, &c.diag)
	}
	declines(t, page, "cancel")
	c.ends(program.ExitError)
	said := c.diag.String()
	if !strings.Contains(said, "\nconsent_required: consent was not given: the person declined to consent (AADSTS65004). The page may be opened again until ") {
		t.Errorf("%s", said)
	}

	w.Emulator.Control().RequireAdminConsent(true)
	c, page = connecting(t, w, nil, "acme", w.EmulatorURL, "--no-browser")
	declines(t, page, "accept")
	c.ends(program.ExitError)
	if said := c.diag.String(); !strings.Contains(said, "AADSTS90094") ||
		!strings.Contains(said, "  an administrator consents at "+w.EmulatorURL) {
		t.Errorf("%s", said)
	}
	w.Emulator.Control().RequireAdminConsent(false)

	w.Connect("acme")
	c, page = connecting(t, w, nil, "acme", w.EmulatorURL, "--no-browser", "--prompt=consent")
	declines(t, page, "cancel")
	c.ends(program.ExitError)
	if said := c.diag.String(); !strings.Contains(said, "; acme is as it was before. The page may be opened again") {
		t.Errorf("%s", said)
	}
	if now, err := client.Connection(t.Context(), "acme"); err != nil || now.Status != messages.StatusActive {
		t.Errorf("%+v %v", now, err)
	}
}

// The command ends by its own page where no event says so, although another page has been used
// since, and also where the page is one of a connection that is no more.
func TestConnectCommandAndOtherLinks(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it waits for people")
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	// Without JetStream there are no events.
	w.NATSURL = w.Overheard(streamstest.Server(t, func(o *server.Options) { o.JetStream = false }).ClientURL())
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	link := func(id string) string {
		t.Helper()
		begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: id},
			EnvironmentURL: w.EmulatorURL})
		if err != nil {
			t.Fatal(err)
		}
		return begun.ConnectURL
	}
	signsIn := func(page string) {
		t.Helper()
		browser, err := signin.NewBrowser()
		if err == nil {
			_, err = browser.SignIn(t.Context(), page, w.EmulatorURL, emulator.DefaultUser)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(id, page, phase string) {
		t.Helper()
		if reply, err := client.SignIn(t.Context(), id, page); err != nil || reply.SignIn.Phase != phase {
			t.Errorf("%s: %+v %v, want %s", page, reply, err, phase)
		}
	}
	c, page := connecting(t, w, nil, "acme", w.EmulatorURL, "--no-browser", "--timeout=50s")
	bridgetest.Await(t, "the waiting", func() error {
		if !strings.Contains(c.diag.String(), "Waiting for the person") {
			return errors.New(c.diag.String())
		}
		return nil
	})
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil { // it sees the end only
		t.Fatal(err)
	}
	other, declined := link("acme"), link("acme")
	signsIn(page)
	is("acme", page, messages.SignInConnected)
	declines(t, declined, "cancel")
	signsIn(other)
	for link, phase := range map[string]string{page: messages.SignInConnected, other: messages.SignInConnected,
		declined: messages.SignInFailed} {
		is("acme", link, phase)
	}
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.ends(0)
	if !strings.Contains(c.out.String(), "Connected.") {
		t.Errorf("%s%s", &c.out, &c.diag)
	}

	// Nobody has connected it, and it is made again.
	c, page = connecting(t, w, nil, "other", w.EmulatorURL, "--no-browser", "--timeout=50s")
	if err := client.Delete(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	is("other", link("other"), messages.SignInWaiting)
	is("other", page, messages.SignInExpired)
	c.ends(program.ExitError)
	if said := c.diag.String(); !strings.Contains(said, "other was deleted or replaced meanwhile") &&
		!strings.Contains(said, "other was deleted meanwhile") {
		t.Error(said)
	}
}

// What opens the browser is not heard, and not waited for; where there is no screen nothing is
// opened, and the page's address is all.
func TestConnectCommandKeepsTheBrowserQuiet(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts openers that last")
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	w.Bridge(w.Settings(true), nil)
	path := string(os.PathListSeparator) + os.Getenv("PATH")
	for _, test := range []struct {
		name, opener string
		env          []string
		says         string
		opens        bool
	}{
		{"lasts", "exec sleep 60", []string{"DISPLAY=:0"}, "Waiting for the person", true},
		{"children", "sleep 60 & exit 0", []string{"WAYLAND_DISPLAY=x"}, "Waiting for the person", true},
		{"fails", "exit 3", []string{"DISPLAY=:0"}, "No browser could be opened here; open the page in one.", true},
		{"no-opener", "", []string{"DISPLAY=:0"}, "No browser could be opened here; open the page in one.", false},
		{"no-screen", "exit 0", nil, "No browser could be opened here; open the page in one.", false},
	} {
		folder := t.TempDir()
		opened := filepath.Join(folder, "opened")
		env := append(test.env, "PATH="+folder)
		if test.opener != "" {
			script := "#!/bin/sh\necho noise; echo noise >&2; echo \"$1\" >> " + opened + "\n" + test.opener + "\n"
			if err := os.WriteFile(filepath.Join(folder, "xdg-open"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			env = append(test.env, "PATH="+folder+path)
		}
		c, page := connecting(t, w, env, "b-"+test.name, w.EmulatorURL, "--timeout=1s")
		c.ends(program.ExitError)
		said := c.diag.String()
		if !strings.Contains(said, test.says) || strings.Contains(said+c.out.String(), "noise") ||
			strings.Contains(said, "No browser") != strings.Contains(test.says, "No browser") {
			t.Errorf("%s: %s%s", test.name, &c.out, said)
		}
		text, err := os.ReadFile(opened)
		if tried := err == nil && strings.Contains(string(text), page); tried != test.opens {
			t.Errorf("%s: opened: %t", test.name, tried)
		}
	}
}
