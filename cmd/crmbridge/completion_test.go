package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// completed is what a shell is told of a line.
func completed(t *testing.T, shell, line string, args ...string) (candidates []string, status int) {
	t.Helper()
	t.Setenv(lineVariable, line)
	t.Setenv(shellVariable, shell)
	var out, diag strings.Builder
	status = run(args, &out, &diag)
	if diag.Len() > 0 {
		t.Errorf("%s: %s", line, &diag)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), status
}

// Each shell is told what it puts in the place of what is typed.
func TestCompletionByShell(t *testing.T) {
	bridgetest.Unraced(t, "one goroutine reads words")
	t.Setenv("NATS_URL", "nats://127.0.0.1:1")
	const search = "crmbridge contacts search acme "
	for _, c := range []struct{ line, bash, other string }{
		{"crmbridge users w", "whoami", "whoami"},
		{"FOO=1 crmbridge users w", "whoami", "whoami"},
		{"crmbridge connect a https://x --prompt=cons", "consent", "--prompt=consent"},
		{search + "--fields 'id,las", "id,last_name", "id,last_name"},
		{search + `--fields=id,"las`, "last_name", "--fields=id,last_name"},
		{search + "--fields id,last_name,las", "", ""},
		{search + "--order-by=-id,-las", "-id,-last_name", "--order-by=-id,-last_name"},
		{search + `--where last_name\ betw`, `last_name\ between`, "last_name between"},
		{search + "--where 'last_name = x or not (id = y a", "last_name = x or not (id = y and", "last_name = x or not (id = y and"},
		{search + `--where "last_name in ('a b', c) o`, "last_name in ('a b', c) or", "last_name in ('a b', c) or"},
		{search + "--where 'id between 1 and 2 o", "id between 1 and 2 or", "id between 1 and 2 or"},
		{search + "--where 'id is not n", "id is not null", "id is not null"},
		{search + "--where 'id is null o", "id is null or", "id is null or"},
		{search + "--where 'id not i", "id not in", "id not in"},
		{search + "--where 'last_name = las", "", ""},
		{search + `--where 'last_name = "x and las`, "", ""},
		{search + `--where '{"field":"las`, "", ""},
		{"crmbridge users nobody w", "", ""},
		{"crmbridge users whoami acme w", "", ""},
		{"crmbridge users whoami --no-such-flag w", "", ""},
		{"crmbridge accounts search acme --timeout=", "", ""},
		{"crmbridge users \x1b[2J; w", "", ""},
		{"crmbridge", "", ""},
	} {
		for shell, want := range map[string]string{"bash": c.bash, "zsh": c.other, "fish": c.other} {
			if got, status := completed(t, shell, c.line); status != 0 || got[0] != want || len(got) > 1 {
				t.Errorf("%s: %s: %q, status %d, want %q", shell, c.line, got, status, want)
			}
		}
	}
	if got, status := completed(t, "bash", "crmbridge accounts export acme --out "); status != exitFile || got[0] != "" {
		t.Errorf("a file's name: %q, status %d", got, status)
	}
	t.Setenv(pointVariable, "12")
	if got, _ := completed(t, "bash", "crmbridge us whoami"); got[0] != "users" {
		t.Errorf("in the middle of a line: %q", got)
	}
}

// A variable that is left over changes no command: only a shell's own ways to start the program do.
func TestCompletionIsNoCommandsFate(t *testing.T) {
	t.Setenv(lineVariable, "serve --nats-url x")
	t.Setenv(shellVariable, "bash")
	for _, args := range [][]string{{"version"}, {"serve", "--no-such-flag"}, {"serve", "--nats-url", "::"},
		{"healthcheck", "--timeout", "soon"}} {
		if _, caught := typedLine(args); caught {
			t.Errorf("%s is taken for a completion", args)
		}
	}
	var out, diag strings.Builder
	if status := run([]string{"serve", "--nats-url", "::"}, &out, &diag); status != program.ExitUsage ||
		!strings.Contains(diag.String(), "NATS_URL: ") {
		t.Errorf("status %d: %s", status, &diag)
	}
}

func TestCompletionCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, diag strings.Builder
		if status := run([]string{"completion", shell}, &out, &diag); status != 0 ||
			!strings.Contains(out.String(), "CRMBRIDGE_COMPLETE="+shell) {
			t.Errorf("%s: status %d: %s%s", shell, status, &out, &diag)
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}} {
		var out, diag strings.Builder
		status := run(args, &out, &diag)
		for _, shell := range []string{"bash", "zsh", "fish"} {
			if status != program.ExitUsage || !strings.Contains(diag.String(), shell) {
				t.Errorf("%s: status %d: %s", args, status, &diag)
			}
		}
	}
}

// Every predictor that a tag names is there, and nothing takes a name that nobody gives.
func TestCompletionAsksAConsumer(t *testing.T) {
	bridgetest.Long(t, "it runs a consumer and a job")
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	client, nc := w.Client()
	if err := nc.Publish("crm.accounts.search.job.demo.nightly", []byte(`{"fields":["id"]}`)); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "the job", func() error {
		_, err := client.Jobs().Get(t.Context(), "demo", "nightly")
		return err
	})
	for line, want := range map[string]string{
		"crmbridge users whoami --nats-url=" + w.NATSURL + " de":                        "demo",
		"NATS_URL=" + w.NATSURL + " crmbridge users whoami de":                          "demo",
		"crmbridge --nats-url " + w.NATSURL + " users whoami de":                        "", // no flag of the program's own
		"crmbridge jobs get demo --nats-url=" + w.NATSURL + " ni":                       "nightly",
		"crmbridge accounts get demo x --nats-url=" + w.NATSURL + " --fields tickersym": "tickersymbol",
	} {
		bridgetest.Await(t, line, func() error { // the second may be too short on a busy machine
			if got, _ := completed(t, "zsh", line); got[0] != want {
				return &unlike{got, want}
			}
			return nil
		})
	}
}

// unlike is an error of a comparison.
type unlike struct {
	got  []string
	want string
}

func (u *unlike) Error() string { return strings.Join(u.got, " ") + ", want " + u.want }

// What NATS does not permit is silent, as everything is.
func TestCompletionWithoutRights(t *testing.T) {
	s := streamstest.Server(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "ann", Password: "secret", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{">"}}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.ann.>"}}}}}
	})
	t.Setenv("NATS_URL", strings.Replace(s.ClientURL(), "nats://", "nats://ann:secret@", 1))
	if got, status := completed(t, "fish", "crmbridge accounts get acme x --fields na"); status != 0 ||
		!slices.Equal(got, []string{"name"}) {
		t.Errorf("%q, status %d", got, status)
	}
}
