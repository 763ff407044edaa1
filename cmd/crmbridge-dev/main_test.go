package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

func TestOncePrintsAccountsThatCameOverNATS(t *testing.T) {
	var stdout, stderr strings.Builder
	status := run([]string{"--once", "--nats-port=0", "--redis-port=0", "--emulator-port=0", "--http-port=0",
		"--admin-port=0", "--console-port=0"}, &stdout, &stderr)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) < 5 || !strings.Contains(lines[2], "name") || strings.Count(stdout.String(), "Consulting") < 3 {
		t.Errorf("no table of accounts:\n%s", stdout.String())
	}
	_, shown, _ := strings.Cut(bridgetest.File(t, "README.md"), "```\nConnection ")
	shown, _, _ = strings.Cut(shown, " …\n")
	if shown == "" || !strings.HasPrefix(stdout.String(), "Connection "+shown) {
		t.Errorf("README.md shows\nConnection %s\nand it prints\n%s", shown, stdout.String())
	}
}

func TestFaultsThatCannotStrikeAreUsageErrors(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"not JSON":     {[]string{"--fault", "gateway"}, "--fault gateway: a fault is a JSON object such as"},
		"a bad kind":   {[]string{"--fault", `{"kind":"reset"}`, "--fault", `{"kind":"nix"}`}, `kind is "nix"; it must be one of throttle, gateway`},
		"another host": {[]string{"--host", "192.0.2.1"}, "--host must be 127.0.0.1 or 0.0.0.0"},
		"nothing left": {[]string{"--once", "--fault", `{"kind":"reset"}`}, "--fault strikes after the table"},
	} {
		var stdout, stderr strings.Builder
		if status := run(c.args, &stdout, &stderr); status != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%s: status %d: %s", name, status, stderr.String())
		}
	}
}

func TestATakenPortIsNamedWithItsFlag(t *testing.T) {
	for _, flag := range []string{"--nats-port", "--redis-port", "--emulator-port", "--http-port", "--admin-port", "--console-port"} {
		t.Run(flag, func(t *testing.T) {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			_, port, _ := net.SplitHostPort(taken.Addr().String())
			args := []string{"--once", "--accounts=10"}
			for _, other := range []string{"--nats-port", "--redis-port", "--emulator-port", "--http-port", "--admin-port", "--console-port"} {
				if other == flag {
					args = append(args, other+"="+port)
				} else {
					args = append(args, other+"=0")
				}
			}
			var stdout, stderr strings.Builder
			if status := run(args, &stdout, &stderr); status != 1 {
				t.Errorf("status %d", status)
			}
			if !strings.Contains(stderr.String(), "port "+port) || !strings.Contains(stderr.String(), flag) {
				t.Errorf("the error does not name port and flag: %s", stderr.String())
			}
		})
	}
}

func TestItStaysUpUntilInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout, stderr bridgetest.Buffer
	o := options{Host: "127.0.0.1", Accounts: 10, AccessTokenLifetime: time.Hour, LogLevel: "warn",
		ReplySubjects: "_INBOX.>",
		Fault:         []string{`{"kind":"gateway","times":-1}`}} // a fault that the start would not survive
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx, &outputs{&stdout, &stderr}) }()
	bridgetest.Await(t, "commands to try", func() error {
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v; %s", err, &stderr)
		default:
		}
		if !strings.Contains(stdout.String(), "Try, in another terminal") {
			return fmt.Errorf("none in %q", &stdout)
		}
		return nil
	})
	select {
	case err := <-ended:
		t.Fatalf("it ended by itself: %v; %s", err, &stderr)
	case <-time.After(100 * time.Millisecond): // it has nothing left to do
	}
	// The console is served, on this machine alone.
	at := regexp.MustCompile(`console +(http://127\.0\.0\.1:[0-9]+)\n`).FindStringSubmatch(stdout.String())
	if at == nil {
		t.Errorf("no console in %q", &stdout)
	} else if answer, err := http.Get(at[1] + "/"); err != nil {
		t.Error(err)
	} else {
		page, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK || !strings.Contains(string(page), "Overview") {
			t.Errorf("the console: %s %.300s", answer.Status, page)
		}
	}
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	text := stdout.String()
	filters := regexp.MustCompile(`--where '([^']*)'`).FindAllStringSubmatch(text, -1)
	if len(filters) < 2 {
		t.Errorf("no filters to try:\n%s", text)
	}
	for _, filter := range filters {
		if _, err := messages.ParseWhere(filter[1]); err != nil {
			t.Errorf("%s: %v", filter[1], err)
		}
	}
	for _, want := range []string{"accounts export demo --out ",
		"req " + messages.Operation("accounts.search").JobSubject("demo", "job-1"),
		"req " + messages.JobsResults.ScopedSubject("demo")} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q to try:\n%s", want, text)
		}
	}
}

// What a flag takes is shown as its kind beside a text that tells the default.
func TestHelpTellsDefaultsOnce(t *testing.T) {
	var out, diag strings.Builder
	if status := run([]string{"--help"}, &out, &diag); status != 0 || !strings.Contains(out.String(), "--nats-port=N") ||
		strings.Contains(out.String(), "=4222") || strings.Contains(out.String(), "=10000") {
		t.Errorf("status %d: %s%s", status, &out, &diag)
	}
}
