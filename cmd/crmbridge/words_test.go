package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

const askedRow = "11111111-2222-3333-4444-555555555555"

// Errors speak of the flags that were typed, and of the command that mends it with its arguments.
func TestWordsOfErrors(t *testing.T) {
	field := func(path, message string) string {
		return `{"error":{"code":"invalid_request","message":"` + path + `: ` + message + `","details":[{"path":"` + path + `","message":"` + message + `"}]}}`
	}
	const (
		again   = `{"error":{"code":"reauthorization_required","message":"the password was changed"}}`
		consent = `{"error":{"code":"consent_required","message":"the person who connected was not told that leads are read"}}`
		tenant  = `{"error":{"code":"invalid_request","message":"tenant must be a directory id (GUID)","details":[{"path":"tenant","message":"tenant must be a directory id (GUID)"}]}}`
		known   = `{"connection":{"id":"acme","status":"reauthorization_required","environment_url":"https://acme.crm4.dynamics.com"}}`
		mend    = "\n  'crmbridge connect acme https://acme.crm4.dynamics.com' gives the link for a person to sign in\n"
	)
	folder := t.TempDir()
	cursor := filepath.Join(folder, "cursor")
	write(t, cursor, "abc\n")
	for _, c := range []struct {
		args, subject, answer string
		says                  string // on stderr, in one line
		not                   string
	}{
		{"accounts search acme", "accounts.search", again, "reauthorization_required: the password was changed" + mend, "ID URL"},
		{"accounts get acme " + askedRow, "accounts.get", again, mend, "ID URL"},
		{"leads count acme", "leads.count", consent, "consent_required:", "ID URL"},
		{"jobs get acme j", "jobs.get", again, mend, "ID URL"},

		{"accounts search acme --csv --columns X=nme", "accounts.search", field("fields[0]", "there is no field"), "--columns: there is no field", "--fields"},
		{"accounts get acme " + askedRow + " --csv --columns X=nme", "accounts.get", field("fields[0]", "there is no field"), "--columns: there is no field", "--fields"},
		{"accounts changes acme --csv --columns X=nme", "accounts.changes", field("fields[0]", "there is no field"), "--columns: there is no field", "--fields"},
		{"accounts search acme --fields nme", "accounts.search", field("fields[0]", "there is no field"), "--fields: there is no field", "--columns"},
		{"accounts changes acme --cursor-file " + cursor, "accounts.changes", field("cursor", "is not a cursor"), "--cursor-file: is not a cursor", "--cursor:"},
		{"accounts changes acme --cursor abc", "accounts.changes", field("cursor", "is not a cursor"), "--cursor: is not a cursor", "--cursor-file"},
		{"accounts changes acme --csv --cursor-file " + cursor, "accounts.changes", field("cursor", "belongs to other fields; send it alone, or with the fields unchanged"),
			"--cursor-file: belongs to other fields than the default ones, which --csv shows without --fields; give the --fields that it was begun with", "send it alone"},
		{"accounts changes acme --csv --fields name --cursor abc", "accounts.changes", field("cursor", "belongs to other fields; send it alone, or with the fields unchanged"),
			"--cursor: belongs to other fields; send it alone", "default ones"},
		{"connect acme http://x --tenant x --no-wait", "connections.authorize", tenant, "invalid_request: --tenant: must be a directory id (GUID)\n", ""},
		{"accounts count acme --where owner=x", "accounts.count", field("where.value", "is not a GUID such as 1"),
			"--where: an id or a lookup is compared with an id; this is not a GUID such as 1", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			a := newAnswers(t)
			subject := "crm." + c.subject + ".request.acme"
			a.give(subject, c.answer)
			a.give("crm.connections.get.request.acme", known)
			_, _, stderr := a.run(strings.Fields(c.args)...)
			flat := strings.Join(strings.Fields(stderr), " ")
			if !strings.Contains(flat, strings.Join(strings.Fields(c.says), " ")) || c.not != "" && strings.Contains(stderr, c.not) {
				t.Errorf("%s\nwant %s\nand no %q", stderr, c.says, c.not)
			}
		})
	}
	t.Run("an unknown URL", func(t *testing.T) {
		a := newAnswers(t)
		a.give("crm.accounts.count.request.acme", again)
		if _, _, stderr := a.run("accounts", "count", "acme"); !strings.Contains(stderr, "'crmbridge connect acme URL' gives the link") {
			t.Error(stderr)
		}
	})
}

// A check without a token names the command that mends it, with the connection's own arguments, and
// one reason once.
func TestChecksNameTheCommandAndAReasonOnce(t *testing.T) {
	const fix = `"how_to_fix":"a person connects again: connections.authorize (crmbridge connect) gives the link"`
	a := newAnswers(t)
	a.give("crm.connections.check.request.acme", `{"checks":[{"name":"token","ok":false,"detail":"expired",`+fix+`},`+
		`{"name":"whoami","ok":false,"detail":"expired",`+fix+`},{"name":"roles.read","ok":false,"detail":"expired",`+fix+`}]}`)
	a.give("crm.connections.get.request.acme", `{"connection":{"id":"acme","environment_url":"https://acme.crm4.dynamics.com"}}`)
	_, stdout, _ := a.run("connections", "check", "acme")
	flat := strings.Join(strings.Fields(stdout), " ")
	const block = "checks token, whoami, roles.read detail expired how to fix a person connects again: " +
		"'crmbridge connect acme https://acme.crm4.dynamics.com' gives the link"
	if strings.Count(flat, block) != 1 || strings.Count(flat, "gives the link") != 1 || strings.Count(flat, "expired") != 1 {
		t.Errorf("%s\nwant once: %s", stdout, block)
	}
}

// east is a zone of UTC+5, by its name in the zones' database, whose signs are turned round.
const east = "TZ=Etc/GMT-5"

// Times are UTC with --utc in every command that shows any, and local without.
func TestTimesInUTC(t *testing.T) {
	const (
		at  = `"2026-11-30T20:15:00Z"`
		job = `{"id":"j","connection":"acme","operation":"accounts.search","state":"done","queued_at":` + at + `,"finished_at":` + at + `}`
		one = `{"id":"acme","status":"active","environment_url":"https://x","connected_at":` + at + `,"refreshed_at":` + at + `,"created_at":` + at + `,"updated_at":` + at + `}`
	)
	for _, c := range []struct{ args, subject, answer string }{
		{"jobs list acme", "jobs.list", `{"jobs":[` + job + `]}`},
		{"jobs get acme j", "jobs.get", `{"job":` + job + `}`},
		{"jobs cancel acme j", "jobs.cancel", `{"job":` + job + `}`},
		{"jobs retry acme j", "jobs.retry", `{"job":` + job + `}`},
		{"connections list", "connections.list", `{"connections":[` + one + `]}`},
		{"connections get acme", "connections.get", `{"connection":` + one + `}`},
		{"accounts search acme --fields created_at", "accounts.search", `{"accounts":[{"created_at":` + at + `}]}`},
		{"accounts get acme " + askedRow + " --fields created_at", "accounts.get", `{"account":{"created_at":` + at + `}}`},
		{"accounts changes acme --fields created_at", "accounts.changes", `{"accounts":[{"created_at":` + at + `}],"deleted":[],"next_cursor":"c","has_more":false}`},
		{"connections limits acme", "connections.limits", `{"connection":"acme","limit":40,"breaker":"closed","blocked_until":` + at + `}`},
	} {
		for utc, want := range map[string]string{"": "2026-12-01 01:15", " --utc": "2026-11-30T20:15:00Z"} {
			t.Run(c.args+utc, func(t *testing.T) {
				a := newAnswers(t)
				subject := "crm." + c.subject + ".request"
				if !strings.HasSuffix(c.args, "list") {
					subject += ".acme"
				}
				a.give(subject, c.answer)
				if status, stdout, stderr := a.runIn(east, strings.Fields(c.args+utc)...); status != 0 || !strings.Contains(stdout, want) {
					t.Errorf("status %d, want %s in\n%s%s", status, want, stdout, stderr)
				}
			})
		}
	}
}

// A second is what a person waits for ids after a press of Tab.
func TestCompletionWaitsForASecond(t *testing.T) {
	if completionLimit != time.Second {
		t.Errorf("%s", completionLimit)
	}
}

// Headers of --columns may have commas and quotes in them.
func TestHeadersOfColumns(t *testing.T) {
	for typed, want := range map[string]columns{
		`"Company, Inc"=name`:                 {{"Company, Inc", "name"}},
		`a=name, "Web, site" = website ,city`: {{"a", "name"}, {"Web, site", "website"}, {"city", "city"}},
		`"say ""hi"", twice"=name`:            {{`say "hi", twice`, "name"}},
		`Company Name=name`:                   {{"Company Name", "name"}},
		`a=b=name`:                            {{"a=b", "name"}},
		`"Company, Inc=name`:                  nil,
		`"Company, Inc"`:                      nil,
		`"Company"x=name`:                     nil,
		`name,,city`:                          nil,
		`name,`:                               nil,
	} {
		parser, err := kong.New(newCommands())
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.Parse([]string{"accounts", "search", "acme", "--csv", "--columns", typed})
		if want == nil {
			if err == nil || !strings.Contains(err.Error(), "--columns: ") {
				t.Errorf("%s: %v", typed, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", typed, err)
			continue
		}
		search, ok := parsed.Selected().Target.Addr().Interface().(*rowsSearch)
		if !ok || !slices.Equal(search.Columns, want) {
			t.Errorf("%s: %q", typed, search.Columns)
		}
	}
}

func TestStatusInUTC(t *testing.T) {
	for utc, want := range map[string]string{"--utc=false": "2026-12-01 01:15", "--utc": "2026-11-30T20:15:00Z"} {
		a := newAnswers(t)
		a.give("crm.connections.list.request", `{"connections":[]}`)
		a.give("crm.jobs.list.request",
			`{"jobs":[{"id":"j","connection":"acme","operation":"accounts.search","state":"queued","queued_at":"2026-11-30T20:15:00Z"}]}`)
		if status, stdout, stderr := a.runIn(east, "status", utc); status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: status %d, want %s in\n%s%s", utc, status, want, stdout, stderr)
		}
	}
}
