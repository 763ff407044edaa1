package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
)

// parts is a table that only these tests know. It has neither choices nor numbers.
var parts = messages.Table{
	Name: "parts", One: "part", Set: "cb_parts", Logical: "cb_part", Key: "cb_partid", Display: "Part",
	ReadPrivilege: "prvReadcb_Part", Consent: "parts", Product: "the Parts app",
	Fields: []messages.TableField{
		{Name: "id", Logical: "cb_partid", Type: messages.FieldGUID},
		{Name: "name", Logical: "cb_name", Type: messages.FieldText},
		{Name: "maker", Logical: "cb_makerid", Type: messages.FieldLookup},
		{Name: "modified_at", Logical: "modifiedon", Type: messages.FieldDateTime},
	},
	DefaultFields: []string{"name", "maker"},
}

// runFor is the program with the commands of these tables alone.
func runFor(tables []messages.Table, args ...string) (status int, stdout, stderr string) {
	var out, diag strings.Builder
	status = program.Program{Name: "crmbridge", Commands: &struct{ kong.Plugins }{tableGroups(tables)},
		Bind: []any{newStdio(&out, &diag)}, Print: printError}.Run(args, &out, &diag)
	return status, out.String(), diag.String()
}

// From the list of tables follow a group for each, whose help has the table's own words, fields
// and filters that parse.
func TestEveryTableHasItsCommands(t *testing.T) {
	bridgetest.Unraced(t, "nothing but help texts is printed")
	tables := append(messages.Tables(), parts)
	example := regexp.MustCompile(`--where '([^']*)'\s`)
	for _, table := range tables {
		for _, verb := range messages.Verbs() {
			status, help, stderr := runFor(tables, table.Name, string(verb), "--help")
			if status != 0 {
				t.Fatalf("%s %s: status %d\n%s", table.Name, verb, status, stderr)
			}
			words := strings.Join(strings.Fields(help), " ")
			_, words, _ = strings.Cut(words, "[flags]") // the usage before it has the command's own name
			if !strings.Contains(words, table.One) && !strings.Contains(words, table.Name) {
				t.Errorf("%s %s --help does not name the table's rows", table.Name, verb)
			}
			if verb == messages.VerbSearch || verb == messages.VerbGet || verb == messages.VerbChanges {
				for _, want := range []string{strings.Join(table.DefaultFields, ","), strings.Join(table.FieldNames(), ", ")} {
					if !strings.Contains(words, want) {
						t.Errorf("%s %s --help lacks %q", table.Name, verb, want)
					}
				}
				if table.Product != "" && !strings.Contains(words, table.Product) {
					t.Errorf("%s %s --help does not say which product the table comes with", table.Name, verb)
				}
			}
			if strings.Contains(words, "${") || table.Name != "accounts" && strings.Contains(words, "accounts") {
				t.Errorf("%s %s --help has words of another table:\n%s", table.Name, verb, help)
			}
			filters := example.FindAllStringSubmatch(help, -1)
			if len(filters) == 0 && (verb == messages.VerbSearch || verb == messages.VerbCount) {
				t.Errorf("%s %s --help has no filter to try:\n%s", table.Name, verb, help)
			}
			for _, filter := range filters {
				if strings.HasPrefix(filter[1], "{") {
					continue
				}
				where, err := messages.ParseWhere(filter[1])
				if err != nil {
					t.Errorf("%s %s --help: %s: %v", table.Name, verb, filter[1], err)
					continue
				}
				for _, leaf := range append(where.And, *where) {
					if leaf.Field != "" && !slices.Contains(table.FieldNames(), leaf.Field) {
						t.Errorf("%s %s --help: there is no field %s", table.Name, verb, leaf.Field)
					}
				}
			}
		}
	}
}

// The program's own help says what it can be asked about.
func TestHelpNamesTheTables(t *testing.T) {
	var stdout, stderr strings.Builder
	run([]string{"--help"}, &stdout, &stderr)
	for _, table := range messages.Tables() {
		for _, verb := range messages.Verbs() {
			if !strings.Contains(stdout.String(), "\n  "+table.Name+" "+string(verb)+" ") {
				t.Errorf("there is no command %s %s", table.Name, verb)
			}
		}
	}
	if words := strings.Join(strings.Fields(stdout.String()), " "); !strings.Contains(words, subjects()) {
		t.Errorf("the help does not say what can be asked about:\n%s", stdout.String())
	}
}

// Commands of other tables ask on subjects of their own, and print a lookup by its name.
func TestCommandsOfOtherTables(t *testing.T) {
	const datum = `{"id":"1","name":"Zoë","email":null,"job_title":"Buyer","account":{"id":"2","name":"A. Datum","entity":"account"}}`
	for _, test := range []struct {
		args, subject, answer string
		asked, stdout, stderr string
	}{
		{"contacts search acme --order-by=-name", "crm.contacts.search.request.acme", `{"contacts":[` + datum + `],"total":3,"next_cursor":"c"}`,
			`{"connection":"acme","order_by":["-name"]}`, " id  name  email  job_title  account\n  1  Zoë          Buyer      A. Datum\n",
			"1 contact of 3; there are more: --all"},
		{"contacts search acme --json", "crm.contacts.search.request.acme", `{"contacts":[` + datum + `]}`, "", `"contacts": [`, ""},
		{"contacts search acme --all --json", "crm.contacts.search.request.acme", `{"error":{"code":"consent_required","message":"connect again"}}`,
			`"page_size":5000`, "", "consent_required: connect again"},
		{"contacts get acme 1", "crm.contacts.get.request.acme", `{"contact":` + datum + `}`,
			`{"connection":"acme","contact_id":"1"}`, "job_title  Buyer\naccount    A. Datum\n", ""},
		{"contacts count acme", "crm.contacts.count.request.acme", `{"count":25000}`, `{"connection":"acme"}`, "25000\n", ""},
		{"contacts fields acme", "crm.contacts.fields.request.acme",
			`{"fields":[{"name":"cb_pay","logical_name":"cb_pay","label":"Pay","type":"money","readable":false,"searchable":false}]}`,
			"", " cb_pay  Pay    money           hidden by field-level security\n", "1 field\n"},
		{"contacts changes acme", "crm.contacts.changes.request.acme", `{"contacts":[` + datum + `],"deleted":["9"],"next_cursor":"c","has_more":false}`,
			`{"connection":"acme"}`, "A. Datum\n deleted  9\n", "1 contact made or changed, 1 deleted; --cursor-file FILE keeps"},
		{"contacts changes acme --json", "crm.contacts.changes.request.acme", `{"contacts":[],"deleted":[],"next_cursor":"c","has_more":false}`,
			"", `"contacts": []`, ""},
		{"contacts search acme", "", "", "", "", "unavailable: no crmbridge listens on crm.contacts.search.request.acme"},
	} {
		t.Run(test.args, func(t *testing.T) {
			a := newAnswers(t)
			if test.subject != "" {
				a.give(test.subject, test.answer)
			}
			_, stdout, stderr := a.run(strings.Fields(test.args)...)
			if !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
				t.Errorf("stdout %q\nwant   %q\nstderr %q\nwant   %q", stdout, test.stdout, stderr, test.stderr)
			}
			if asked := a.requests(); !strings.Contains(asked, test.asked) {
				t.Errorf("asked %s, want %s", asked, test.asked)
			}
		})
	}
}

// A cursor file belongs to one table; one without a table's name is of accounts.
func TestCursorFilesBelongToATable(t *testing.T) {
	for _, test := range []struct {
		table, kept string
		asked       string // the cursor that crmbridge is sent
		refused     string
		holds       string // what the file holds afterwards, where the run is not refused
	}{
		{table: "contacts", kept: "contacts:c1\n", asked: `"cursor":"c1"`, holds: "contacts:c9\n"},
		{table: "accounts", kept: "c1\n", asked: `"cursor":"c1"`, holds: "c9\n"},
		{table: "accounts", kept: "accounts:c1", asked: `"cursor":"c1"`, holds: "c9\n"},
		{table: "contacts", kept: "c1\n", refused: "holds a cursor of accounts, and contacts need a file of their own"},
		{table: "accounts", kept: "contacts:c1\n", refused: "holds a cursor of contacts, and accounts need a file of their own"},
		{table: "contacts", kept: "\x1b[2J:c1\n", refused: "holds no cursor; remove it to begin with every contact"},
		{table: "contacts", kept: "contacts:\n", refused: "holds no cursor"},
		{table: "contacts", kept: "contacts:a b\n", refused: "holds no cursor"},
		{table: "contacts", kept: "contacts:" + strings.Repeat("x", messages.MaxCursor+1), refused: "holds no cursor"},
	} {
		t.Run(test.table+" "+test.kept[:min(len(test.kept), 20)], func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "acme.cursor")
			if err := os.WriteFile(file, []byte(test.kept), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newAnswers(t)
			a.give("crm."+test.table+".changes.request.acme",
				`{"`+test.table+`":[],"deleted":[],"next_cursor":"c9","has_more":false}`)
			status, _, stderr := a.run(test.table, "changes", "acme", "--cursor-file", file)
			asked := a.requests()
			if test.refused != "" {
				if status != program.ExitUsage || !strings.Contains(stderr, test.refused) || asked != "" {
					t.Errorf("status %d, asked %q\n%s", status, asked, stderr)
				}
				holds(t, file, test.kept)
				return
			}
			if status != 0 || !strings.Contains(asked, test.asked) {
				t.Errorf("status %d, asked %s\n%s", status, asked, stderr)
			}
			holds(t, file, test.holds)
		})
	}
}

// The check asks for the tables that are named, and shows how deep the user reads each.
func TestCheckShowsTheDepth(t *testing.T) {
	const checks = `{"checks":[{"name":"token","ok":true},{"name":"contacts.read","ok":true,"depth":"local","detail":"only rows of the business unit"}]}`
	a := newAnswers(t)
	a.give("crm.connections.check.request.acme", checks)
	status, stdout, stderr := a.run("connections", "check", "acme", "--tables", "contacts,accounts")
	want := ` check          result  depth  detail
 token          ok
 contacts.read  ok      local  only rows of the business unit
`
	if status != 0 || stdout != want {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if asked := a.requests(); !strings.HasSuffix(asked, ` {"connection":"acme","tables":["contacts","accounts"]}`) {
		t.Errorf("asked %s", asked)
	}
	if _, stdout, _ = a.run("connections", "check", "acme", "--json"); !strings.Contains(stdout, `"depth": "local"`) {
		t.Errorf("JSON without the depth: %s", stdout)
	}
}
