package main

import (
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
