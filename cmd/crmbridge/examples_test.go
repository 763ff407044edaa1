package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// helpOf is what a command's --help prints.
func helpOf(t *testing.T, path string) string {
	t.Helper()
	var out, diag strings.Builder
	if status := run(append(strings.Fields(path), "--help"), &out, &diag); status != 0 || diag.Len() > 0 {
		t.Fatalf("crmbridge %s --help: status %d: %s", path, status, &diag)
	}
	return out.String()
}

// commandPaths are all commands, and groups of them, as they are typed; "" is the program.
func commandPaths(t *testing.T) []string {
	t.Helper()
	parser, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(node *kong.Node, path string)
	walk = func(node *kong.Node, path string) {
		paths = append(paths, path)
		for _, child := range node.Children {
			if child.Type == kong.CommandNode {
				walk(child, strings.TrimSpace(path+" "+child.Name))
			}
		}
	}
	walk(parser.Model.Node, "")
	return paths
}

// examplesIn are the lines for a shell below "Examples:" in a help text, each as it is typed.
func examplesIn(help string) []string {
	var examples []string
	var typed string
	inside := false
	for line := range strings.Lines(help) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "Example") && strings.HasSuffix(line, ":"):
			inside = true
		case line != "" && !strings.HasPrefix(line, " "):
			inside = false
		case inside && strings.TrimSpace(line) != "":
			typed += line + "\n"
			if !strings.HasSuffix(line, `\`) && !strings.HasSuffix(line, "|") {
				examples, typed = append(examples, strings.TrimSpace(typed)), ""
			}
		}
	}
	return examples
}

// A devRig is what crmbridge-dev starts, with the connection that it makes, and a folder in which
// crmbridge is typed. Only the ports are others.
type devRig struct {
	*bridgetest.World
	t      *testing.T
	home   string
	env    []string
	client *messages.Client
	ports  *strings.Replacer // from those of crmbridge-dev to those of this rig
	keyset string
}

// browserProgram makes xdg-open of this test binary, where a person signs in at once.
const browserProgram = "CRMBRIDGE_TEST_BE_THE_BROWSER"

func newDevRig(t *testing.T) *devRig {
	t.Helper()
	w := bridgetest.New(t, emulator.Options{Accounts: 300})
	w.Tables = strings.Join(messages.TableNames(messages.Tables()), ",")
	// The set of keys is one that has been rotated once.
	rotated, err := tokens.RotateKeyset([]byte(w.Keyset))
	if err != nil {
		t.Fatal(err)
	}
	w.Keyset = string(rotated)
	r := &devRig{World: w, t: t, home: t.TempDir(), keyset: w.Keyset}
	settings := w.Settings(true)
	settings.AppConnectionsFile = filepath.Join(r.home, "robots.json")
	write(t, settings.AppConnectionsFile, fmt.Sprintf(`[{"connection":"robot","environment_url":%q}]`, w.EmulatorURL))
	w.Bridge(settings, nil)
	r.client, _ = w.Client()

	programs := filepath.Join(r.home, "bin")
	self, err := os.Executable()
	if err == nil {
		err = errors.Join(os.Mkdir(programs, 0o700), os.Symlink(self, filepath.Join(programs, "crmbridge")),
			os.WriteFile(filepath.Join(programs, "xdg-open"), fmt.Appendf(nil, "#!/bin/sh\n%s=%s exec '%s' \"$1\"\n",
				browserProgram, w.EmulatorURL, self), 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	settings.TokenKeyset, settings.TokenKeysetFile = "", filepath.Join(r.home, "keyset.json")
	r.env = append(bridgetest.Program(t, bridgetest.Environment(settings)).Env,
		"PATH="+programs+":"+os.Getenv("PATH"), "HOME="+r.home, "XDG_CONFIG_HOME="+r.home, "TZ=UTC", "LANG=C.UTF-8", "DISPLAY=:0")
	r.ports = strings.NewReplacer("http://127.0.0.1:8090", w.EmulatorURL,
		"127.0.0.1:4222", strings.TrimPrefix(w.NATSURL, "nats://"))
	return r
}

// prepare brings everything into the state that examples begin in, whatever the last one did: the
// connection demo, a job job-1 of it that has failed, a key set in its file.
func (r *devRig) prepare(line string) {
	r.t.Helper()
	write(r.t, filepath.Join(r.home, "keyset.json"), r.keyset)
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if known, err := r.client.Connection(ctx, "demo"); err != nil || known.Status != messages.StatusActive {
		r.Connect("demo")
	}
	if !strings.Contains(line, "job-") {
		return
	}
	for _, id := range []string{"job-1", "job-2"} {
		bridgetest.Await(r.t, "the end of "+id, func() error { // the last example may have begun it just now
			_, err := r.client.Jobs().Delete(ctx, "demo", id)
			if isCode(err, messages.NotFound) {
				return nil
			}
			return err
		})
	}
	in := messages.SearchRequest{Target: messages.Target{Connection: "demo"}, Fields: []string{"no_such_field"}}
	if _, err := r.client.Table(messages.Accounts).SearchJob(ctx, in, messages.JobPublication{ID: "job-1"}); err != nil {
		r.t.Fatal(err)
	}
	bridgetest.Await(r.t, "a failed job", func() error {
		job, err := r.client.Jobs().Get(ctx, "demo", "job-1")
		if err == nil && job.State != messages.JobFailed {
			err = fmt.Errorf("it is %s", job.State)
		}
		return err
	})
}

// typed runs a line as a person would, and interrupts one that goes on for ever when it has said
// something, and no more for a while.
func (r *devRig) typed(folder, line string) (status int, stdout, stderr string) {
	r.t.Helper()
	r.prepare(line)
	var out, diag bridgetest.Buffer
	cmd := exec.Command("sh", "-c", "trap : INT\n"+r.ports.Replace(line)) // the status is the command's
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = folder, r.env, &out, &diag
	if goesOn(line) { // 'crmbridge serve' is a second one
		cmd.Env = append(slices.Clone(r.env), "ADMIN_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // the status tells
	if goesOn(line) {
		awaitWords(ended, func() int { return len(out.String()) + len(diag.String()) })
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // it may have ended
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		r.t.Errorf("%s: it does not end", line)
	}
	return cmd.ProcessState.ExitCode(), out.String(), diag.String()
}

// awaitWords waits for the end, or until something is said and nothing more for a while; some wait in
// silence.
func awaitWords(ended <-chan struct{}, said func() int) {
	const step, enough, most = 50 * time.Millisecond, time.Second, 15 * time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	last := 0
	for quiet, all := time.Duration(0), time.Duration(0); quiet < enough && all < most; quiet, all = quiet+step, all+step {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if now := said(); now != last || now == 0 {
			last, quiet = now, 0
		}
	}
}

// goesOn are the commands that a person interrupts; every other ends by itself.
func goesOn(line string) bool {
	has := func(word string) bool { return slices.Contains(strings.Fields(line), word) }
	return has("serve") && !has("--check") || has("connect") && has("--no-browser") || has("watch") || has("--watch")
}

// Every command's help has examples, and each of them does what it says with crmbridge-dev's
// environment, typed as it stands there.
func TestExamplesInHelpRunAsTyped(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "runs every example of every help text in a shell")
	for _, program := range []string{"sh", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CRMBRIDGE_TEST_SHELLS") == "required" {
				t.Fatalf("CRMBRIDGE_TEST_SHELLS=required, and %s is not installed", program)
			}
			t.Skipf("%s is not installed", program)
		}
	}
	seen := map[string]bool{}
	var all [][]string // each command's
	for _, path := range commandPaths(t) {
		examples := examplesIn(helpOf(t, path))
		if len(examples) == 0 {
			t.Errorf("crmbridge %s --help: there is no example", path)
		}
		shown := false
		var lines []string
		for _, line := range examples {
			shown = shown || strings.Contains(strings.Join(strings.Fields(line), " "), "crmbridge "+path)
			if !seen[line] {
				seen[line], lines = true, append(lines, line)
			}
		}
		if !shown {
			t.Errorf("crmbridge %s --help: no example of it", path)
		}
		all = append(all, lines)
	}
	const rigs = 4 // most of the time something is waited for
	for part := range rigs {
		t.Run(fmt.Sprint("part ", part+1), func(t *testing.T) {
			t.Parallel()
			r := newDevRig(t)
			for i := part; i < len(all); i += rigs {
				folder := t.TempDir() // one example may write what the next one reads
				for _, line := range all[i] {
					t.Run(line, func(t *testing.T) {
						r.t = t
						r.runs(folder, line)
					})
				}
			}
		})
	}
}

// runs types an example, which succeeds and says something.
func (r *devRig) runs(folder, line string) {
	r.t.Helper()
	if asksFirst(line) {
		if shown := r.onTerminal(folder, line, 80); !strings.Contains(shown, "is deleted") {
			r.t.Error(shown)
		}
		return
	}
	status, stdout, stderr := r.typed(folder, line)
	want := 0
	const killed = 128 + int(syscall.SIGINT) // what reads a pipe
	if goesOn(line) && (strings.HasSuffix(stderr, "interrupted\n") || status == killed) {
		want = status
	}
	silent := stdout == "" && stderr == "" && !strings.ContainsAny(line, ">|") && !goesOn(line)
	cut := !forPrograms.MatchString(line) && strings.Contains(stdout, "…")
	if status != want || silent || cut || sequences.MatchString(stdout+stderr) {
		r.t.Errorf("status %d\n%s\n%s", status, stdout, stderr)
	}
}

// beBrowser signs in at a connect page, as xdg-open of a devRig.
func beBrowser(args []string, _, stderr io.Writer) int {
	browser, err := signin.NewBrowser()
	if err == nil {
		_, err = browser.SignIn(context.Background(), args[0], os.Getenv(browserProgram), emulator.DefaultUser)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
