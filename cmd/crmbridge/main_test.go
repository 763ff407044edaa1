package main

import (
	"os"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

func TestMain(m *testing.M) {
	program := run
	if os.Getenv(browserProgram) != "" {
		program = beBrowser
	}
	bridgetest.Main(m, program)
}

func TestBadConfigurationListsAllFaultsAndConnectsNowhere(t *testing.T) {
	cmd := bridgetest.Program(t, []string{"MAX_IN_FLIGHT=many", "BUS_COMPLETION=maybe",
		"PUBLIC_URL=http://crm.example.com",
		"NATS_URL=::", "REDIS_URL=http://x", "LOG_LEVEL=loud", "REPLY_SUBJECTS=$SYS.>", "DYNAMICS_ALLOWED_HOSTS=https://x/y",
		"ENTRA_AUTHORITY_URL=http://login.example.com", "SHUTDOWN_GRACE=soon", "DYNAMICS_API_VERSION=2011",
		"HTTP_ADDR=nowhere", "ENTRA_CLIENT_SECRET_FILE=/does/not/exist"}, "serve")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() != program.ExitUsage {
		t.Fatalf("status %d (%v), want %d", cmd.ProcessState.ExitCode(), err, program.ExitUsage)
	}
	for _, name := range []string{"MAX_IN_FLIGHT", "BUS_COMPLETION", "PUBLIC_URL", "NATS_URL", "REDIS_URL", "LOG_LEVEL",
		"REPLY_SUBJECTS", "ENTRA_AUTHORITY_URL", "SHUTDOWN_GRACE", "DYNAMICS_API_VERSION", "HTTP_ADDR",
		"ENTRA_CLIENT_SECRET_FILE", "TOKEN_KEYSET", "ENTRA_CLIENT_ID"} {
		if !strings.Contains(stderr.String(), name+":") {
			t.Errorf("%s is not listed in:\n%s", name, stderr.String())
		}
	}
}

func TestUsageErrorsEndWithStatus2(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"accounts"}, {"accounts", "search"}, {"serve", "--no-such-flag"},
		{"accounts", "search", "demo", "--where", "{"}, {"accounts", "search", "demo", "--where="}, {"users", "whoami", "demo", "--timeout", "1h"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stdout, stderr strings.Builder
			if status := run(args, &stdout, &stderr); status != program.ExitUsage {
				t.Errorf("status %d, want %d; stderr: %s", status, program.ExitUsage, stderr.String())
			}
		})
	}
}

// What is mistyped is answered with what may be meant, and where to read on.
func TestMistypedCommandLines(t *testing.T) {
	for args, want := range map[string]string{
		"acounts search demo":           "usage: there is no command acounts; did you mean accounts?\n  crmbridge --help shows",
		"accounts serch demo":           "usage: there is no command serch; did you mean search?\n  crmbridge accounts --help shows",
		"accounts search demo --feilds": "usage: there is no flag --feilds; did you mean --fields?\n  crmbridge accounts search --help shows",
		"accounts":                      "a command is missing: search, get, count, fields, changes, export\n  crmbridge accounts --help",
		"connect":                       "expected \"<connection> <environment-url>\"\n  crmbridge connect --help shows",
		"schema accounts.serch":         "did you mean accounts.search",
	} {
		var stdout, stderr strings.Builder
		if status := run(strings.Fields(args), &stdout, &stderr); status != program.ExitUsage ||
			!strings.Contains(stderr.String(), want) || stdout.Len() > 0 {
			t.Errorf("crmbridge %s: status %d\n%s", args, status, &stderr)
		}
	}
}

// A command that is read by its own grammar says what it says among all commands.
func TestOneCommandsGrammarSaysTheSame(t *testing.T) {
	bridgetest.Unraced(t, "a command line is read, and nothing is begun")
	for _, args := range [][]string{{"serve", "--help"}, {"healthcheck", "--help"}, {"serve", "--no-such-flag"},
		{"serve", "more"}, {"serve", "healthcheck"}, {"serve", "--redis-ur=x"}, {"serve", "--nats-url"},
		{"healthcheck", "--timeout=soon"}, {"healthcheck", "--exclude"}, {"healthcheck", "--timeout=0s"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var said [2]strings.Builder
			var status [2]int
			for i, commands := range []any{newCommands(), grammar(args)} {
				p := programOf(commands, &said[i], &said[i])
				status[i] = p.Run(args, &said[i], &said[i])
			}
			if status[0] != status[1] || said[0].String() != said[1].String() || said[0].Len() == 0 {
				t.Errorf("status %d, among all commands %d\n%s\n%s", status[1], status[0], &said[1], &said[0])
			}
		})
	}
	if _, all := grammar([]string{"--help"}).(*commands); !all {
		t.Error("the program's help does not list all commands")
	}
}
