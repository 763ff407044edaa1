package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// A shellRig is a shell on a terminal, with the script of 'crmbridge completion' loaded. The key
// Ctrl-X d writes its line into a file, and begins a new one.
type shellRig struct {
	t        *testing.T
	terminal *os.File
	shown    bridgetest.Buffer
	lineFile string
	folder   string
}

// Each shell is started by a file that loads the script as the help says, and shows a prompt.
var shellFiles = map[string]struct {
	file string // below the home folder
	args []string
	text string
}{
	"bash": {"bashrc", []string{"--noprofile", "--rcfile", "HOME/bashrc", "-i"}, `
bind 'set show-all-if-ambiguous on' 'set enable-bracketed-paste off' 2>/dev/null
bind 'set enable-bracketed-paste off'; bind 'set page-completions off'; bind 'set completion-query-items 0'
written() { printf '%s' "$READLINE_LINE" > "$HOME/line.part"; mv "$HOME/line.part" "$HOME/line"; READLINE_LINE=; READLINE_POINT=0; }
bind -x '"\C-xd": written'
source <(crmbridge completion bash)
PS1='READY> '
`},
	"zsh": {".zshrc", []string{"-i"}, `
written() { printf '%s' "$BUFFER" > "$HOME/line.part"; mv "$HOME/line.part" "$HOME/line"; BUFFER= }
zle -N written; bindkey -e; bindkey '^Xd' written
LISTMAX=0; unsetopt beep list_ambiguous
source <(crmbridge completion zsh)
PS1='READY> '
`},
	"fish": {"fish/config.fish", []string{"-i"}, `
function written; commandline > $HOME/line.part; mv $HOME/line.part $HOME/line; commandline ''; end
bind \cxd written
set -g fish_greeting
function fish_prompt; echo 'READY> '; end
set -g fish_autosuggestion_enabled 0
crmbridge completion fish | source
`},
}

func startShell(t *testing.T, shell, natsURL string) *shellRig {
	t.Helper()
	if os.Getenv("CRMBRIDGE_TEST_SHELLS") == "none" {
		t.Skip("CRMBRIDGE_TEST_SHELLS=none")
	}
	program, err := exec.LookPath(shell)
	if err != nil {
		if os.Getenv("CRMBRIDGE_TEST_SHELLS") == "required" {
			t.Fatalf("CRMBRIDGE_TEST_SHELLS=required, and %s is not installed", shell)
		}
		t.Skipf("%s is not installed", shell)
	}
	home := t.TempDir()
	r := &shellRig{t: t, lineFile: filepath.Join(home, "line"), folder: home}
	how := shellFiles[shell]
	write(t, filepath.Join(home, how.file), how.text)
	write(t, filepath.Join(home, "some-export.csv"), "")
	write(t, filepath.Join(home, "nats", "context", "staging.json"), `{"url":"nats://127.0.0.1:1"}`)
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(home, "crmbridge"))
	}
	if err != nil {
		t.Fatal(err)
	}
	args := make([]string, len(how.args))
	for i, arg := range how.args {
		args[i] = strings.ReplaceAll(arg, "HOME", home)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = home
	cmd.Env = append(bridgetest.Program(t, nil).Env, "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home,
		"ZDOTDIR="+home, "NATS_URL="+natsURL, "PATH="+home+":/usr/local/bin:/usr/bin:/bin", "TERM=xterm", "LC_ALL=C.UTF-8")
	if r.terminal, err = pty.StartWithSize(cmd, &pty.Winsize{Rows: 100, Cols: 250}); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := r.terminal.Read(buffer)
			_, _ = r.shown.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		_ = r.terminal.Close()
		<-read
	})
	r.await("the prompt of "+shell, func() bool { return strings.Contains(r.shown.String(), "READY> ") })
	return r
}

func write(t *testing.T, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (r *shellRig) await(what string, done func() bool) {
	r.t.Helper()
	bridgetest.Await(r.t, what, func() error {
		if done() {
			return nil
		}
		return fmt.Errorf("the terminal shows %.2000q", r.shown.String())
	})
}

// press types a line and Tab, and returns the line then, without blanks at its end, and what
// the terminal has shown meanwhile.
func (r *shellRig) press(line string) (after, shown string) {
	r.t.Helper()
	_ = os.Remove(r.lineFile) // it may not be there yet
	from := len(r.shown.String())
	for _, keys := range []string{line + "\t", "\x18d"} {
		if _, err := r.terminal.WriteString(keys); err != nil {
			r.t.Fatal(err)
		}
	}
	r.await("the line", func() bool { _, err := os.Stat(r.lineFile); return err == nil })
	content, err := os.ReadFile(r.lineFile)
	if err != nil {
		r.t.Fatal(err)
	}
	colours := regexp.MustCompile(`\x1b(\[[0-9;?>=]*[A-Za-z]|[()][A-Z0-9]|[=>])|[\x0e\x0f]`)
	return strings.TrimRight(string(content), " \n"), colours.ReplaceAllString(r.shown.String()[from:], "")
}

// hostileAnswers answers what completion asks; some of it would do harm in a shell or a terminal.
func hostileAnswers(t *testing.T) *answers {
	t.Helper()
	a := newAnswers(t)
	a.give("crm.connections.list.request", `{"connections":[{"id":"demo"},{"id":"dune"},{"id":"$(touch harm)"},`+
		`{"id":"d\u001b[2J"},{"id":"d\nx"},{"id":"d;touch harm"},{"id":"d*"},{"id":"d`+"`touch harm`"+`"}]}`)
	a.give("crm.jobs.list.request.demo", `{"jobs":[{"id":"nightly-1"},{"id":"n\u0007$(touch harm)"}]}`)
	a.give("crm.accounts.fields.request.demo", `{"fields":[{"name":"name","readable":true,"searchable":true},`+
		`{"name":"new_tier","readable":true,"searchable":true},{"name":"new_picture","readable":true},`+
		`{"name":"new_$(touch harm)","readable":true,"searchable":true}]}`)
	return a
}

// What Tab makes of a line in the shells themselves: after is the line then, and shown is in the
// list of several candidates.
func TestShellsCompleteLines(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it types into three shells")
	hanging, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hanging.Close() })
	const search = "crmbridge accounts search demo "
	lines := []struct{ line, after, shown string }{
		{"crmbridge opp", "crmbridge opportunities", ""},
		{"crmbridge accounts co", "crmbridge accounts count", ""},
		{"crmbridge conn", "crmbridge connect", "connections"},
		{search + "--page", search + "--page-size", ""},
		{search + "--nats-tls-c", search + "--nats-tls-c", "-tls-cert"}, // fish cuts what all begin with

		{"crmbridge completion f", "crmbridge completion fish", ""},
		{"crmbridge schema jobs.res", "crmbridge schema jobs.results", ""},
		{"crmbridge accounts search de", "crmbridge accounts search demo", ""},
		{"crmbridge accounts search d", "crmbridge accounts search d", "dune"},
		{"crmbridge jobs get demo n", "crmbridge jobs get demo nightly-1", ""},
		{search + "--fields name,ci", search + "--fields name,city", ""},
		{search + "--fields=name,new_t", search + "--fields=name,new_tier", ""},
		{search + "--order-by -cr", search + "--order-by -created_at", ""},
		{search + "--order-by=-cr", search + "--order-by=-created_at", ""},
		{search + "--where 'city = London and new_t", search + "--where 'city = London and new_tier", "is not null"},
		{search + `--where="city = London and emp`, search + `--where="city = London and employees`, "between"},
		{search + "--where 'city = London or industry cont", search + "--where 'city = London or industry contains", "none"},
		{"crmbridge connect new https://x.example --prompt=cons", "crmbridge connect new https://x.example --prompt=consent", ""},
		{"crmbridge connect new https://x.example --prompt sel", "crmbridge connect new https://x.example --prompt select_account", ""},
		{search + "--context st", search + "--context staging", ""},
		{"crmbridge accounts export demo --out some", "crmbridge accounts export demo --out some-export.csv", ""},
		{"crmbridge accounts export demo --out=some", "crmbridge accounts export demo --out=some-export.csv", ""},
		{"crmbridge nonsense co", "crmbridge nonsense co", ""},
		{search + "--limit 1", search + "--limit 1", ""},
		{"crmbridge accounts search --nats-url nats://" + hanging.Addr().String() + " de",
			"crmbridge accounts search --nats-url nats://" + hanging.Addr().String() + " de", ""},
		{"crmbridge accounts search --nats-url nats://127.0.0.1:1 de", "crmbridge accounts search --nats-url nats://127.0.0.1:1 de", ""},
	}
	a := hostileAnswers(t)
	for shell := range shellFiles {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			r := startShell(t, shell, a.url)
			for _, c := range lines {
				// The second that completion has may be too short on a machine with much to do.
				var after, shown string
				want := c.after
				if quoted, ok := strings.CutPrefix(c.after, search+`--where="`); ok && shell == "zsh" { // its own way to quote
					c.shown = "" // the line is drawn anew
					want = search + "--where=" + strings.ReplaceAll(quoted, " ", `\ `)
				}
				for range 10 {
					if after, shown = r.press(c.line); after == want && strings.Contains(shown, c.shown) {
						break
					}
				}
				if after != want {
					t.Errorf("%s: becomes %q, want %q; shown %.600q", c.line, after, want, shown)
				} else if !strings.Contains(shown, c.shown) {
					t.Errorf("%s: shows %q, want %q in it", c.line, shown, c.shown)
				}
				if strings.Contains(shown, "harm") || strings.Contains(shown, "nats:") && !strings.Contains(c.line, "nats:") {
					t.Errorf("%s: shows %q", c.line, shown)
				}
			}
			if _, err := os.Stat(filepath.Join(r.folder, "harm")); err == nil {
				t.Error("what was answered has been executed")
			}
		})
	}
}

// Other ways to load it: bash's complete -C without a script, and a file of zsh's $fpath.
func TestShellsLoadCompletionOtherwise(t *testing.T) {
	bridgetest.Long(t, "it types into two shells")
	for shell, load := range map[string]string{
		"bash": "complete -r crmbridge; complete -C crmbridge crmbridge",
		"zsh": "unfunction _crmbridge; mkdir own; crmbridge completion zsh > own/_crmbridge; " +
			"fpath=($HOME/own $fpath); compinit -i -d $HOME/dump",
	} {
		t.Run(shell, func(t *testing.T) {
			r := startShell(t, shell, hostileAnswers(t).url)
			if _, err := r.terminal.WriteString(load + "\r"); err != nil {
				t.Fatal(err)
			}
			for line, want := range map[string]string{
				"crmbridge opp": "crmbridge opportunities",
				"crmbridge connect new https://x.example --prompt=cons": "crmbridge connect new https://x.example --prompt=consent",
			} {
				if after, shown := r.press(line); after != want {
					t.Errorf("%s: becomes %q; shown %q", line, after, shown)
				}
			}
		})
	}
}

// What needs nobody's answer is not kept waiting by a question.
func TestCompletionAsksForIdsOnly(t *testing.T) {
	s := streamstest.Server(t, nil)
	t.Setenv("NATS_URL", s.ClientURL())
	connections := func() uint64 {
		t.Helper()
		now, err := s.Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		return now.TotalConnections
	}
	for line, asks := range map[string]bool{
		"crmbridge users whoami --n": false, "crmbridge us": false, "crmbridge completion ": false,
		"crmbridge users whoami acme ": false, "crmbridge users whoami --context ": false, "crmbridge users whoami ": true,
	} {
		before := connections()
		completed(t, "bash", line)
		if asked := connections() > before; asked != asks {
			t.Errorf("%s: connected %v", line, asked)
		}
	}
}

// A server that takes the connection and says nothing costs a second, and not the time-out of a
// command; so does one that nobody answers behind.
func TestCompletionHasOneSecond(t *testing.T) {
	a := newAnswers(t)
	if _, err := a.nc.Subscribe("crm.>", func(*nats.Msg) {}); err != nil { // unread messages would keep Drain waiting
		t.Fatal(err)
	}
	if err := a.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"crmbridge users whoami ", "crmbridge accounts get acme x --fields cit"} {
		t.Setenv(lineVariable, line)
		t.Setenv("NATS_URL", a.url)
		begun := time.Now()
		var out, diag strings.Builder
		if status := run(nil, &out, &diag); status != 0 || diag.Len() > 0 {
			t.Errorf("%s: status %d, %s", line, status, &diag)
		}
		if took := time.Since(begun); took > 15*completionLimit { // a command waits for twice that
			t.Errorf("%s: %s", line, took)
		}
		if friendly := strings.Contains(line, "fields"); friendly != (out.String() == "city\n") {
			t.Errorf("%s: %q", line, &out)
		}
	}
}
