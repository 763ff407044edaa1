package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 200})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	natsFlag := "--nats-url=" + w.NATSURL
	for _, c := range []struct {
		args   []string
		status int
		stdout []string
		stderr []string
	}{
		{[]string{"accounts", "search", "demo", "--page-size=3", "--fields=name,revenue", "--order-by=-revenue", "--total"}, 0, []string{"name", "revenue"}, []string{"3 accounts of 200; there are more: --all", "--show-cursor"}},
		{[]string{"accounts", "search", "demo", "--all", "--fields=id"}, 0, []string{"id"}, []string{"200 accounts\n"}},
		{[]string{"accounts", "search", "demo", "--limit=150", "--fields=id"}, 0, []string{"id"}, []string{"150 accounts\n"}},
		{[]string{"accounts", "search", "demo", "--limit=150", "--page-size=60", "--jsonl"}, 0, nil,
			[]string{"150 accounts\n"}},
		{[]string{"accounts", "search", "demo", "--limit=150", "--page-size=60", "--csv"}, 0, nil,
			[]string{"150 accounts\n"}},
		{[]string{"accounts", "search", "demo", "--limit=300", "--page-size=60"}, 0, nil, []string{"200 accounts\n"}},
		{[]string{"accounts", "search", "demo", "--limit=150", "--page-size=60", "--show-cursor"}, 0, nil,
			[]string{"60 accounts; there are more, from this cursor on:"}},
		{[]string{"accounts", "search", "demo", "--page-size=1", "--json"}, 0, []string{`"accounts": [`, `"request_id"`}, nil},
		{[]string{"accounts", "search", "demo", `--where={"field":"industri","op":"eq","value":1}`}, 1, nil, []string{"invalid_request:", "industry"}},
		{[]string{"accounts", "search", "demo", "--where=city = London and (industri = 1 or name is null)"}, 1, nil,
			[]string{`invalid_request: --where: there is no field "industri"; did you mean industry?`,
				"\n  city = London and (industri = 1 or name is null)\n                     ^^^^^^^^\n"}},
		{[]string{"accounts", "search", "demo", "--where=industry in (Consulting, 'Acounting')"}, 1, nil, []string{"\n                           ^^^^^^^^^^^\n"}},
		{[]string{"accounts", "search", "demo", "--where=industry in (Consulting, 1) and employees >= 0", "--fields=industry", "--limit=1"}, 0, []string{"industry"}, []string{"1 account\n"}},
		{[]string{"accounts", "search", "nobody"}, 1, nil, []string{"connection_not_found: there is no connection nobody; make it with 'crmbridge connect ID URL'"}},
		{[]string{"accounts", "count", "dmo"}, 1, nil, []string{"connection_not_found: there is no connection dmo; did you mean demo? Otherwise make it with 'crmbridge connect ID URL'\n"}},
		{[]string{"users", "whoami", "demo"}, 0, []string{"organization"}, nil},
		{[]string{"users", "get", "demo", emulator.DefaultUser}, 0, []string{"role", "via", "direct"}, nil},
		{[]string{"users", "get", "demo", "nobody"}, 1, nil, []string{"not_found: no user has this e-mail address or user name\n"}},
		{[]string{"connections", "list"}, 0, []string{"demo", "active", w.EmulatorURL}, nil},
		{[]string{"connections", "get", "demo", "--json"}, 0, []string{`"status": "active"`}, nil},
		{[]string{"connect", "second", w.EmulatorURL, "--no-browser", "--no-wait"}, 0, []string{w.PublicURL() + "/connect/"}, nil},
		{[]string{"connect", "second", "https://evil.example", "--no-browser", "--no-wait"}, 1, nil, []string{"invalid_request: <environment-url>: the host is not one"}},
		{[]string{"connections", "delete", "demo"}, 2, nil, []string{"usage: --yes is missing"}},
		{[]string{"connections", "get", "demo", "--json"}, 0, []string{`"status": "active"`}, nil},
		{[]string{"connections", "delete", "demo", "--yes"}, 0, []string{"demo is deleted"}, nil},
		{[]string{"connections", "delete", "demo", "-y"}, 0, []string{"there was no connection demo"}, nil},
		{[]string{"connections", "delete", "demo", "--yes", "--json"}, 0, []string{`"deleted": false`}, nil},
		{[]string{"connections", "get", "demo"}, 1, nil, []string{"connection_not_found:"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			var stdout, stderr strings.Builder
			if status := run(append(c.args, natsFlag), &stdout, &stderr); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, want := range c.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("stdout lacks %q:\n%s", want, stdout.String())
				}
			}
			for _, want := range c.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
				}
			}
		})
	}
}

// A limit counts from the beginning of the search: with a cursor it brings what is missing to it, page
// after page, each row once, and goes with no cursor of another limit.
func TestALimitGoesOnFromACursor(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 200})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	search := func(args ...string) (status int, ids []string, stderr string) {
		var out, diag strings.Builder
		status = run(append([]string{"accounts", "search", "demo", "--page-size=40", "--fields=id", "--csv",
			"--nats-url=" + w.NATSURL}, args...), &out, &diag)
		lines := strings.Fields(out.String())
		return status, lines[min(1, len(lines)):], diag.String()
	}
	_, whole, stderr := search("--limit=150")
	if len(whole) != 150 || stderr != "150 accounts\n" {
		t.Fatalf("%d rows: %s", len(whole), stderr)
	}
	status, first, stderr := search("--limit=150", "--show-cursor")
	said, cursor, found := strings.Cut(strings.TrimSpace(stderr), "\n")
	if status != 0 || !found || said != "40 accounts; there are more, from this cursor on:" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	status, rest, stderr := search("--limit=150", "--cursor="+cursor)
	if status != 0 || stderr != "110 accounts\n" || !slices.Equal(append(first, rest...), whole) {
		t.Errorf("status %d, %d rows after %d: %s", status, len(rest), len(first), stderr)
	}
	status, page, stderr := search("--limit=150", "--show-cursor", "--cursor="+cursor)
	if status != 0 || !slices.Equal(page, whole[40:80]) || !strings.HasPrefix(stderr, "40 accounts; there are more, from") {
		t.Errorf("status %d, %d rows of one page: %s", status, len(page), stderr)
	}
	status, page, stderr = search("--limit=100", "--cursor="+cursor)
	if status != 1 || len(page) > 0 || !strings.Contains(stderr, "--cursor: belongs to another query") {
		t.Errorf("status %d, %d rows: %s", status, len(page), stderr)
	}
}
