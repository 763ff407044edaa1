package main

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// answers is a NATS server with a responder that gives prepared answers, for
// commands whose answers no world would give: cursors that run in circles, checks
// that fail in each way.
type answers struct {
	t   *testing.T
	url string
	nc  *nats.Conn

	mu    sync.Mutex
	asked []string // subject and body of each request
}

func newAnswers(t *testing.T) *answers { return newAnswersWithout(t) }

// newAnswersWithout is for commands of a user who may not publish to these subjects.
func newAnswersWithout(t *testing.T, subjects ...string) *answers {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}
	if len(subjects) > 0 { // otherwise it takes whoever comes, as a server without users does
		options.NoAuthUser = "u"
		options.Users = []*server.User{{Username: "u", Password: "u", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: subjects}}}}
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	return &answers{t: t, url: s.ClientURL(), nc: messagestest.Connect(t, s.ClientURL())}
}

// give answers requests on subject one after the other, the last answer for ever.
func (a *answers) give(subject string, bodies ...string) {
	a.t.Helper()
	next := 0
	_, err := a.nc.Subscribe(subject, func(msg *nats.Msg) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked = append(a.asked, msg.Subject+" "+string(msg.Data))
		reply := nats.NewMsg(msg.Reply)
		reply.Data = []byte(bodies[min(next, len(bodies)-1)])
		next++
		var fault messages.ErrorReply
		if json.Unmarshal(reply.Data, &fault) == nil && fault.Error != nil {
			reply.Header.Set(messages.HeaderErrorCode, string(fault.Error.Code))
		}
		if err := a.nc.PublishMsg(reply); err != nil {
			a.t.Error(err)
		}
	})
	if err == nil {
		err = a.nc.Flush()
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// requests are those since the last call.
func (a *answers) requests() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := strings.Join(a.asked, "\n")
	a.asked = nil
	return asked
}

// run is the program with this NATS server.
func (a *answers) run(args ...string) (status int, stdout, stderr string) {
	var out, diag strings.Builder
	status = run(append(args, "--nats-url="+a.url), &out, &diag)
	return status, out.String(), diag.String()
}

// runIn is the program in a process of its own, with these variables.
func (a *answers) runIn(env string, args ...string) (status int, stdout, stderr string) {
	a.t.Helper()
	var out, diag strings.Builder
	cmd := bridgetest.Program(a.t, []string{env}, append(args, "--nats-url="+a.url)...)
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		a.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), diag.String()
}

// Each command: what crmbridge is asked, what it answers, what is printed.
func TestCommandsPrintAnswers(t *testing.T) {
	const fault = `{"error":{"code":"invalid_request","message":"where.and[1].value: must be a number","details":[{"path":"where.and[1].value","message":"must be a number"}]}}`
	const checks = `{"checks":[{"name":"token","ok":true},{"name":"accounts.read","ok":false,"detail":"Principal user is missing a privilege and this text is longer than a cell","missing_privilege":"prvReadAccount","how_to_fix":"Power Platform admin centre, environment, Security roles: give it the privilege\u001b[2J"}]}`
	for _, test := range []struct {
		args            string
		subject, answer string
		status          int
		asked           string
		stdout, stderr  string
	}{
		{"accounts count acme", "", "", 1, "", "", "unavailable: no crmbridge listens on crm.accounts.count.request.acme"},
		{"accounts fields acme", "", "", 1, "", "", "unavailable:"},
		{"accounts changes acme", "", "", 1, "", "", "unavailable:"},
		{"connections check acme", "", "", 1, "", "", "unavailable:"},
		{"accounts count acme --where {}", "", "", 1, "", "", "unavailable:"},
		{"accounts count acme --where", "", "", 2, "", "", "--where"},
		{"accounts count acme --where=", "", "", 2, "", "", "the filter is empty"},
		{"accounts count acme --where=city", "", "", 2, "", "", "usage: --where: expected an operator"},
		{"accounts changes acme --cursor=a --cursor-file=b", "", "", 2, "", "", "--cursor"},
		{"accounts changes acme --cursor-file=/no/such/folder/x", "", "", 2, "", "", "there is no folder"},

		{"accounts count acme --where city=東京&employees>x", "crm.accounts.count.request.acme", fault, 1,
			`{"connection":"acme","where":{"and":[{"field":"city","op":"eq","value":"東京"},{"field":"employees","op":"gt","value":"x"}]}}`, "",
			"invalid_request: --where: must be a number\n  city=東京 and employees>x\n                          ^\n"},
		{"accounts search acme --where city=東京&employees>x", "crm.accounts.search.request.acme", fault, 1, "", "", "\n                          ^\n"},
		{`accounts count acme --where {"field":"city","op":"eq","value":"x"}`, "crm.accounts.count.request.acme", fault, 1,
			`{"connection":"acme","where":{"field":"city","op":"eq","value":"x"}}`, "", "must be a number\n"},
		{"accounts count acme", "crm.accounts.count.request.acme", `{"count":70001}`, 0, `{"connection":"acme"}`, "70001\n", ""},
		{"accounts count acme --json", "crm.accounts.count.request.acme", `{"request_id":"r","connection":"acme","count":70001}`, 0, "",
			"{\n  \"request_id\": \"r\",\n  \"connection\": \"acme\",\n  \"count\": 70001\n}\n", ""},

		{"accounts fields acme --custom-only", "crm.accounts.fields.request.acme",
			`{"fields":[{"name":"industry","logical_name":"industrycode","label":"Industry","type":"choice","readable":true,"searchable":true,"options":[{"value":1,"label":"Accounting"},{"value":7,"label":"Consulting"}]},{"name":"x","logical_name":"x","label":"Größe","type":"text","readable":true},{"name":"pay","logical_name":"cb_pay","label":"Pay","type":"money"}]}`,
			0, `{"connection":"acme","custom_only":true}`,
			" industry  Industry  choice  1 Accounting, 7 Consulting\n x         Größe     text                                not for filters\n" +
				" pay       Pay       money                               hidden by field-level security\n", "3 fields\n"},
		{"accounts fields acme --json", "crm.accounts.fields.request.acme", `{"request_id":"r","fields":[{"name":"x"}]}`, 0, "", `"fields": [`, ""},
		{"accounts fields acme", "crm.accounts.fields.request.acme", `{"fields":[],"next_cursor":"again"}`, 1, "", "", "internal: the answers' cursors lead nowhere"},

		{"connections list", "crm.connections.list.request",
			`{"connections":[{"id":"broken","status":"unreadable","last_error":"a stored record is not of the form that this version reads; delete the connection"}]}`,
			0, "", "broken: a stored record is not of the form", ""},
		{"connections check acme", "crm.connections.check.request.acme", checks, 1, `{"connection":"acme"}`,
			"how to fix         Power Platform admin centre, environment, Security roles: give it the privilege [2J\n",
			"permission_denied: 1 of 2 checks failed: accounts.read\n"},
		{"connections check acme", "crm.connections.check.request.acme", checks, 1, "", " accounts.read  FAILED  prvReadAccount\n", ""},
		{"connections check acme --json", "crm.connections.check.request.acme", checks, 1, "", `"missing_privilege": "prvReadAccount"`, "permission_denied:"},
		{"connections check acme", "crm.connections.check.request.acme", `{"checks":[{"name":"token","ok":false},{"name":"accounts.read","ok":false,"missing_privilege":"x"}]}`,
			1, "", "FAILED", "reauthorization_required: 2 of 2"},
		{"connections check acme", "crm.connections.check.request.acme", `{"checks":[{"name":"token","ok":false,"detail":"expired","how_to_fix":"connections.authorize gives the link"},` +
			`{"name":"whoami","ok":false,"detail":"expired","how_to_fix":"connections.authorize gives the link"}]}`,
			1, "", "\n\nchecks      token, whoami\ndetail      expired\nhow to fix  'crmbridge connect acme URL' gives the link\n",
			"2 of 2"},
		{"connections check acme", "crm.connections.check.request.acme", `{"checks":[{"name":"accounts.changes","ok":false}]}`, 1, "", "FAILED", "not_supported: 1 of 1"},
		{"connections check acme", "crm.connections.check.request.acme", `{"checks":[{"name":"token","ok":true}]}`, 0, "", " token  ok\n", ""},
	} {
		t.Run(test.args, func(t *testing.T) {
			a := newAnswers(t)
			if test.subject != "" {
				a.give(test.subject, test.answer)
			}
			args := strings.Fields(test.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "&", " and ")
			}
			status, stdout, stderr := a.run(args...)
			if status != test.status || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d, want %d\nstdout %q\nwant   %q\nstderr %q\nwant   %q", status, test.status, stdout,
					test.stdout, stderr, test.stderr)
			}
			if asked := a.requests(); !strings.Contains(asked, test.asked) {
				t.Errorf("asked %s, want %s", asked, test.asked)
			}
		})
	}
}

func TestHelpShowsTheExpressionForm(t *testing.T) {
	for _, args := range [][]string{{"accounts", "search", "--help"}, {"accounts", "count", "--help"}} {
		var stdout, stderr strings.Builder
		if status := run(args, &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), "O''Brien") ||
			!strings.Contains(stdout.String(), "industry = Consulting") && !strings.Contains(stdout.String(), "industry in (") {
			t.Errorf("%v: status %d\n%s%s", args, status, stdout.String(), stderr.String())
		}
	}
}

// An output that takes nothing, such as a full disk, is this machine's, and no fault of Dataverse or of
// how the command was typed.
func TestOutputThatTakesNothing(t *testing.T) {
	full, err := os.Open(os.DevNull) // to be read
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	a := newAnswers(t)
	a.give("crm.accounts.count.request.acme", `{"count":5}`)
	a.give("crm.accounts.search.request.acme", `{"accounts":[{"name":"Contoso"}]}`)
	for _, line := range []string{"accounts count acme", "accounts count acme --json",
		"accounts search acme --fields=name", "accounts search acme --fields=name --csv", "accounts search acme --fields=name --jsonl", "version", "--help",
		"accounts --help", "help filters"} {
		args := strings.Fields(line)
		if args[0] == "accounts" && args[1] != "--help" {
			args = append(args, "--nats-url="+a.url)
		}
		var diag strings.Builder
		if status := run(args, full, &diag); status != program.ExitError ||
			!strings.HasPrefix(diag.String(), "file: write ") {
			t.Errorf("%s: status %d, %s", line, status, &diag)
		}
	}
}
