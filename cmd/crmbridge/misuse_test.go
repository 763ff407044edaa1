package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

// What is said of a command line that is wrong: in one form, and what it says would be taken.
func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		args, says string
		not        string
	}{
		{"help help me", `no topic "help me"`, "did you mean help?"},
		{"help contexts", "--context is a flag", "contacts"},
		{"help accounts search extra", `no topic "accounts search extra"`, "Usage: crmbridge accounts"},
		{"help serach", `no topic "serach"`, "help?"},
		{"-v", "there is no flag -v\n", "did you mean"},
		{"-V", "there is no flag -V\n", "did you mean"},
		{"-n", "there is no flag -n\n", "did you mean"},
		{"accounts search acme -o", "there is no flag -o\n", "did you mean"},
		{"--verison", "there is no flag --verison; did you mean --version?", ""},
		{"accounts search acme --wher x", "there is no flag --wher; did you mean --where?", ""},
		{"acounts", "there is no command acounts; did you mean accounts?", ""},
		{"schema accounts.serach", `"accounts.serach"; did you mean accounts.search?`, "accounts.get"},
		{"events watch --kind conected", `usage: --kind: there is no event "conected"; did you mean connected?`, "events watch:"},
		{"events", "usage: a command is missing: watch", "expected"},
		{"accounts", "usage: a command is missing: search, get,", "expected"},
		{"accounts search acme --limit -1", `usage: --limit: "-1" is not a whole number from 1 on`, "perhaps"},
		{"accounts export acme --out=x.csv --split -1", `usage: --split: "-1" is not a whole number`, "perhaps"},
		{"events watch --since -1h", `usage: --since: "-1h" is no time that has passed`, "perhaps"},
		{"accounts count acme --timeout -1s", "usage: --timeout", "perhaps"},
		{"accounts search acme --limit --json", "usage: --limit: its value is missing", "perhaps"},
		{"accounts search acme --limit", "usage: --limit: its value is missing", "expected"},
		{"connect acme http://x --daily-calls -1", `usage: --daily-calls: "-1" is not a whole number from 1 on`, "connect:"},
		{"connect acme http://x --timeout 5", `usage: --timeout: expected duration but got "5"; right would be 30s, 5m or 1h30m`, "longer"},
		{"events watch --timeout 5", `usage: --timeout: expected duration but got "5"; right would be 30s, 5m or 1h30m`, "longer"},
		{"accounts count acme --timeout 5", `usage: --timeout: expected duration but got "5"; right would be 30s, 5m or 1h30m`, "longer"},
		{"connect acme http://x --timeout 0s", `usage: --timeout: "0s" is not longer than nothing`, "right"},
		{"connect acme http://x --daily-calls 1000000000000", "usage: --daily-calls: must be from 1 to ", "connect:"},
		{"accounts count acme --where=", "usage: --where: the filter is empty", "^"},
	} {
		var out, diag strings.Builder
		status := run(strings.Fields(c.args), &out, &diag)
		said := diag.String()
		if status != program.ExitUsage || out.Len() > 0 || !strings.HasPrefix(said, "usage: ") ||
			!strings.Contains(said, c.says) || c.not != "" && strings.Contains(said, c.not) {
			t.Errorf("crmbridge %s: status %d: %s%s\nwant %q and no %q", c.args, status, said, &out, c.says, c.not)
		}
	}
	for _, args := range []string{"help help", "help HELP", "help Filters", "help filter", "help error", "help keys rotate"} {
		var out, diag strings.Builder
		if status := run(strings.Fields(args), &out, &diag); status != 0 || out.Len() == 0 || diag.Len() > 0 {
			t.Errorf("crmbridge %s: status %d: %s", args, status, &diag)
		}
	}
}

// Faults of settings name what was typed: the flag, or the variable, and the file where one holds it.
func TestFaultsNameWhatWasTyped(t *testing.T) {
	home := t.TempDir()
	write(t, filepath.Join(home, "nats", "context", "mine.json"), contextFile("nats://127.0.0.1:1", "", "", ""))
	write(t, filepath.Join(home, "junk"), "hello")
	for _, c := range []struct {
		env, args []string
		want, not string
	}{
		{nil, []string{"--context=mien"}, `--context: "mien": there is no such context; did you mean mine?`, "NATS_CONTEXT"},
		{[]string{"NATS_CONTEXT=mien"}, nil, `NATS_CONTEXT: "mien": there is no such context; did you mean mine?`, "--context"},
		{nil, []string{"--nats-creds=/nope"}, "--nats-creds: ", "NATS_CREDS"},
		{[]string{"NATS_CREDS=/nope"}, nil, "NATS_CREDS: ", "--nats-creds"},
		{[]string{"NATS_URL_FILE=" + home + "/junk"}, nil, "NATS_URL_FILE: each server is a URL", "hello"},
		{[]string{"NATS_URL=127.0.0.1:4222"}, nil, "a URL such as nats://127.0.0.1:4222\n", "tls://"},
		{[]string{"NATS_URL=user:password@127.0.0.1:4222"}, nil, "NATS_URL: each server is a URL", "password"},
	} {
		cmd := bridgetest.Program(t, append(c.env, "XDG_CONFIG_HOME="+home), append([]string{"connections", "list"}, c.args...)...)
		said, _ := cmd.CombinedOutput() // its status is looked at
		if cmd.ProcessState.ExitCode() != program.ExitUsage || !strings.Contains(string(said), c.want) ||
			strings.Contains(string(said), c.not) {
			t.Errorf("%v %v: status %d: %s", c.env, c.args, cmd.ProcessState.ExitCode(), said)
		}
	}
	cmd := bridgetest.Program(t, []string{"TOKEN_KEYSET_FILE=" + home + "/junk"}, "serve", "--check", "--http-addr=x")
	said, _ := cmd.CombinedOutput()
	for _, want := range []string{"\nTOKEN_KEYSET_FILE: is not a usable key set", "\n--http-addr: "} {
		if !strings.Contains(string(said), want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
}

// A variable comes before a context that is typed, and that is said.
func TestAVariableBeforeAContextIsSaid(t *testing.T) {
	home := t.TempDir()
	a := newAnswers(t)
	a.give("crm.accounts.count.request.acme", `{"count":7}`)
	write(t, filepath.Join(home, "nats", "context", "prod.json"), contextFile("nats://127.0.0.1:1", "", "", ""))
	const note = "NATS_URL is set: its servers are asked, not those of the context prod\n"
	for _, c := range []struct {
		env, args []string
		notes     int
	}{
		{[]string{"NATS_URL=" + a.url}, []string{"--context=prod"}, 1},
		{[]string{"NATS_URL=" + a.url, "NATS_CONTEXT=prod"}, nil, 1},
		{[]string{"NATS_URL=" + a.url}, nil, 0},
		{nil, []string{"--context=prod", "--nats-url=" + a.url}, 0}, // both were typed
	} {
		cmd := bridgetest.Program(t, append(c.env, "XDG_CONFIG_HOME="+home), append([]string{"accounts", "count", "acme"}, c.args...)...)
		var diag strings.Builder
		cmd.Stderr = &diag
		out, err := cmd.Output()
		if err != nil || string(out) != "7\n" || strings.Count(diag.String(), note) != c.notes {
			t.Errorf("%v %v: %v %q %q", c.env, c.args, err, out, &diag)
		}
	}
}

// Help texts: what flags take is said once, lists have one ellipsis, and articles are right.
func TestHelpTextsReadWell(t *testing.T) {
	for _, path := range commandPaths(t) {
		help := helpOf(t, path)
		for _, wrong := range []string{"…,...", " a `export`", " a export", "=30s ", "=5s "} {
			if strings.Contains(help, wrong) {
				t.Errorf("crmbridge %s --help has %q", path, wrong)
			}
		}
		// The flags by which NATS is reached stand once, below everything else.
		asks := strings.Contains(help, "--nats-inbox-prefix")
		last := ""
		for line := range strings.Lines(help) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " ") {
				last = line
			}
		}
		if asks && path != "serve" && path != "doctor" && (last != "NATS:" || strings.Count(help, "\nNATS:\n") != 1 ||
			strings.Count(help, "--nats-url=") != 1) {
			t.Errorf("crmbridge %s --help: the last heading is %q", path, last)
		}
	}
}

// Every command that prints an answer prints it as JSON, too.
func TestEveryAnswerIsJSONToo(t *testing.T) {
	parser, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	// They serve, print texts, or what belongs into a file: a key set is JSON.
	others := map[string]bool{"serve": true, "help": true, "completion": true,
		"keys generate": true, "keys rotate": true, "keys remove": true}
	for _, leaf := range parser.Model.Leaves(false) {
		name, takes := strings.TrimSpace(leaf.Path()), false
		for _, flag := range leaf.Flags {
			takes = takes || flag.Name == "json"
		}
		if !takes && !others[name] && !others[strings.Fields(name)[0]] {
			t.Errorf("crmbridge %s has no --json", name)
		}
	}
	var out, diag strings.Builder
	if status := run([]string{"version", "--json"}, &out, &diag); status != 0 || !strings.HasPrefix(out.String(), "{\n  \"version\": \"") {
		t.Errorf("status %d: %s%s", status, &out, &diag)
	}
}
