package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
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

// freeText are flags and arguments whose values nobody can know.
var freeText = map[string]bool{
	"admin-addr": true, "as": true, "ask-nats-inbox-prefix": true, "ask-nats-url": true,
	"azure-federated-token-file": true, "console-addr": true, "consumer": true, "cursor": true,
	"dynamics-allowed-hosts": true, "dynamics-api-version": true, "entra-authority-url": true,
	"entra-client-id": true, "entra-client-secret": true, "environment-url": true, "http-addr": true,
	"job-lifetime": true, "job-max-bytes": true, "login-hint": true, "max-in-flight": true, "memory-budget": true,
	"nats-inbox-prefix": true, "nats-replicas": true, "nats-url": true, "operator-name": true,
	"operator-url": true, "pprof-addr": true, "public-url": true, "redis-url": true, "reply-subjects": true,
	"results-max-bytes": true, "row": true, "shutdown-grace": true, "tenant": true, "token-keyset": true,
	"user": true, "user-concurrency": true,
}

// Whatever has a known set of values is completed: enums, field names, connections, contexts. What is text and
// neither is listed above.
func TestEveryValueIsCompleted(t *testing.T) {
	parser, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	known := (&completing{}).predictors()
	used, free := map[string]bool{}, map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		values := slices.Clone(leaf.Positional)
		for _, flag := range leaf.Flags {
			values = append(values, flag.Value)
		}
		for _, value := range values {
			predictor := value.Tag.Get("predictor")
			used[predictor] = true
			kind := value.Target.Kind()
			switch {
			case predictor != "" && known[predictor] == nil:
				t.Errorf("%s %s: there is no predictor %q", leaf.Path(), value.Name, predictor)
			case predictor != "", value.Enum != "", value.IsBool(), freeText[value.Name]:
				free[value.Name] = true
			case kind >= reflect.Int && kind <= reflect.Float64: // numbers, durations
			case value.Flag != nil && strings.Contains(value.Flag.PlaceHolder, "FILE"): // by the shell
			default:
				t.Errorf("%s %s: its values are not completed: %s", leaf.Path(), value.Name, value.Help)
			}
		}
	}
	for name := range known {
		if !used[name] {
			t.Errorf("no flag or argument uses the predictor %q", name)
		}
	}
	for name := range freeText {
		if !free[name] {
			t.Errorf("no flag or argument is called %q", name)
		}
	}
}

// Columns of CSV are completed behind their headers.
func TestCompletionOfColumns(t *testing.T) {
	t.Setenv("NATS_URL", "nats://127.0.0.1:1")
	for line, want := range map[string]string{
		"crmbridge accounts export demo --columns webs":                      "website",
		"crmbridge accounts export demo --columns Site=webs":                 "Site=website",
		"crmbridge accounts export demo --columns 'Company Name=name,W=webs": "Company Name=name,W=website",
		"crmbridge contacts search demo --csv --columns=Job=job_":            "Job=job_title",
	} {
		if got, _ := completed(t, "zsh", line); !strings.HasSuffix(got[0], want) {
			t.Errorf("%s: %q, want %s", line, got, want)
		}
	}
}
