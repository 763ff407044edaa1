package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

const (
	formsSearch  = "crm.accounts.search.request.acme"
	formsChanges = "crm.accounts.changes.request.acme"
	pageOne      = `{"request_id":"r","connection":"acme","accounts":[{"id":"1","name":"A, \"B\"\nC","revenue":-1.5000,"industry":{"value":7,"label":"Consulting"}}],"total":2,"next_cursor":"c"}`
	pageTwo      = `{"request_id":"r","connection":"acme","accounts":[{"id":"2","name":"=1+1","revenue":null,"industry":null}],"total":2}`
	changesOne   = `{"request_id":"r","connection":"acme","accounts":[],"deleted":["9"],"next_cursor":"c1","has_more":true}`
	changesTwo   = `{"request_id":"r","connection":"acme","accounts":[{"name":"B","id":"2"}],"deleted":[],"next_cursor":"c2","has_more":false}`
	formsUser    = `{"request_id":"r","connection":"acme","user":{"id":"u","name":"Ada","email":"a@b","disabled":false,"title":"","business_unit_id":"bu","roles":[{"id":"1","name":"Sales","via":"direct"},{"id":"2","name":"Basic","via":"Team, A"}]}}`
)

// Each form of each command that prints what is many.
func TestForms(t *testing.T) {
	const fields = "--fields=id,name,revenue,industry"
	for _, test := range []struct {
		args           []string
		subject        string
		answers        []string
		stdout, stderr string
		asked          string
	}{
		{[]string{"accounts", "search", "acme", fields, "--all", "--csv"}, formsSearch, []string{pageOne, pageTwo},
			"id,name,revenue,industry\n1,\"A, \"\"B\"\"\nC\",-1.5000,Consulting\n2,=1+1,,\n", "2 accounts of 2\n",
			`"page_size":5000}` + "\n" + formsSearch + ` {"connection":"acme","cursor":"c"}`},
		{[]string{"accounts", "search", "acme", "--all", "--csv", "--spreadsheet", "--columns",
			"Company Name=name,revenue,n=name"}, formsSearch, []string{pageOne, pageTwo},
			byteOrderMark + "\"Company Name\",\"revenue\",\"n\"\r\n\"A, \"\"B\"\"\nC\",-1.5000,\"A, \"\"B\"\"\nC\"\r\n" +
				"\"'=1+1\",\"\",\"'=1+1\"\r\n", "2 accounts of 2\n", `"fields":["name","revenue"]`},
		{[]string{"accounts", "search", "acme", fields, "--all", "--jsonl"}, formsSearch, []string{pageOne, pageTwo},
			`{"id":"1","name":"A, \"B\"\nC","revenue":-1.5000,"industry":{"value":7,"label":"Consulting"}}` + "\n" +
				`{"id":"2","name":"=1+1","revenue":null,"industry":null}` + "\n", "2 accounts of 2\n", ""},
		{[]string{"accounts", "search", "acme", "--csv"}, formsSearch,
			[]string{`{"request_id":"r","accounts":[]}`}, "id,name,website,classification,industry\n", "0 accounts\n", ""},
		{[]string{"accounts", "search", "acme", "--csv", "--cursor=c"}, formsSearch, []string{pageTwo},
			"id,industry,name,revenue\n2,,=1+1,\n", "", `{"connection":"acme","cursor":"c"}`},
		{[]string{"accounts", "get", "acme", "2", fields, "--csv"}, "crm.accounts.get.request.acme",
			[]string{`{"request_id":"r","account":{"id":"2","name":"B","revenue":1.0,"industry":null}}`},
			"id,name,revenue,industry\n2,B,1.0,\n", "", ""},
		{[]string{"accounts", "get", "acme", "2", fields, "--jsonl"}, "crm.accounts.get.request.acme",
			[]string{`{"request_id":"r","account":{"name":"B","id":"2","revenue":1.0,"industry":null}}`},
			`{"id":"2","name":"B","revenue":1.0,"industry":null}` + "\n", "", ""},
		{[]string{"accounts", "changes", "acme", "--csv", "--fields=id,name", "--cursor=c0"}, formsChanges,
			[]string{changesOne, changesTwo}, "id,name,deleted\n,,9\n2,B,\n", "1 deleted",
			`{"connection":"acme","fields":["id","name"],"cursor":"c0"}`},
		{[]string{"accounts", "changes", "acme", "--csv", "--cursor=c0"}, formsChanges, []string{changesTwo}, "", "",
			`"fields":["id","name","website","classification","industry"]`},
		{[]string{"accounts", "changes", "acme", "--jsonl", "--fields=id,name"}, formsChanges,
			[]string{changesOne, changesTwo}, changesOne + "\n" + strings.Replace(changesTwo, `"name":"B","id":"2"`,
				`"id":"2","name":"B"`, 1) + "\n", "", ""},
		{[]string{"accounts", "fields", "acme", "--csv"}, "crm.accounts.fields.request.acme",
			[]string{`{"request_id":"r","fields":[{"name":"industry","logical_name":"industrycode","label":"Industry, all","type":"choice","custom":false,"readable":true,"searchable":true,"options":[{"value":1,"label":"A"}],"options_truncated":true}],"next_cursor":"c"}`,
				`{"request_id":"r","fields":[]}`},
			"name,logical_name,label,type,custom,readable,searchable,options\n" +
				"industry,industrycode,\"Industry, all\",choice,false,true,true,\"1 A, …\"\n", "", ""},
		{[]string{"users", "get", "acme", "a@b", "--csv"}, "crm.users.get.request.acme", []string{formsUser},
			"id,name,email,title,disabled,business_unit_id,role_id,role,via\nu,Ada,a@b,,false,bu,1,Sales,direct\n" +
				"u,Ada,a@b,,false,bu,2,Basic,\"Team, A\"\n", "", ""},
		{[]string{"users", "get", "acme", "a@b", "--csv"}, "crm.users.get.request.acme",
			[]string{`{"request_id":"r","user":{"id":"u","roles":[],"roles_truncated":true}}`},
			"id,name,email,title,disabled,business_unit_id,role_id,role,via\nu,,,,false,,,,\n", "more than 500 teams", ""},
		{[]string{"users", "whoami", "acme", "--csv"}, "crm.users.whoami.request.acme",
			[]string{`{"request_id":"r","user_id":"u","business_unit_id":"b","organization_id":"o"}`},
			"user_id,business_unit_id,organization_id\nu,b,o\n", "", ""},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			a := newAnswers(t)
			a.give(test.subject, test.answers...)
			status, stdout, stderr := a.run(test.args...)
			if status != 0 || test.stdout != "" && stdout != test.stdout || !strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d\n%s\nwant\n%s\nstderr %s", status, stdout, test.stdout, stderr)
			}
			if asked := a.requests(); !strings.Contains(asked, test.asked) {
				t.Errorf("asked %s", asked)
			}
		})
	}
}

// Flags that have no effect, and columns that cannot be, are found before anything is asked for.
func TestFormsThatAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"accounts search acme --csv --json":                         "can't be used together",
		"accounts search acme --csv --jsonl":                        "can't be used together",
		"accounts search acme --spreadsheet":                        "--spreadsheet is for --csv",
		"accounts search acme --columns=a=name":                     "--columns is for --csv",
		"accounts search acme --csv --columns=name --fields=id":     "give one",
		"accounts search acme --csv --columns=a=":                   "lacks a name",
		"accounts search acme --csv --columns=a=name,a=id":          `two columns are called "a"`,
		"accounts search acme --csv --columns=a=na-me":              "did you mean name?",
		"accounts get acme 1 --csv --columns=a\tb=name":             "control character",
		"accounts export acme --out=a.jsonl --columns=a=name":       "is for a file that ends in .csv",
		"accounts export acme --out=a.jsonl --spreadsheet":          "is for a file that ends in .csv",
		"accounts export acme --out=a.csv --split=0":                "whole number of rows",
		"accounts export acme --out=a.csv --columns=a,b --fields=a": "give one",
	} {
		var out, diag strings.Builder
		arguments := strings.Split(args, " ")
		if status := run(append(arguments, "--nats-url=nats://127.0.0.1:1"), &out, &diag); status != 2 ||
			!strings.Contains(diag.String(), says) {
			t.Errorf("%s: status %d, %s", args, status, diag.String())
		}
	}
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The documents of --json are replies: valid against the schemas that are published.
func TestDocumentsAreReplies(t *testing.T) {
	a := newAnswers(t)
	head, some := messages.Head{RequestID: "r", Connection: "acme"}, messages.RequestHead{RequestID: "r"}
	acme := messages.Connection{ID: "acme", EnvironmentURL: "https://contoso.crm4.dynamics.com", CreatedAt: time.Now(),
		Grant: messages.GrantClientCredentials, Status: messages.StatusActive, Scopes: []string{},
		Tables: []string{"accounts"}}
	job := messages.Job{ID: "j", Operation: messages.Accounts.Operation(messages.VerbSearch), Connection: "acme",
		State: messages.JobDone, QueuedAt: time.Now()}
	count := `{"request_id":"r","connection":"acme","count":3}`
	get := `{"request_id":"r","connection":"acme","account":{"id":"2","name":"B"}}`
	fields := `{"request_id":"r","connection":"acme","fields":[{"name":"id","logical_name":"accountid","label":"ID","type":"GUID","custom":false,"readable":true,"searchable":true}]`
	for _, test := range []struct {
		args    string
		op      messages.Operation
		answers []string
	}{
		{"accounts search acme --all --json", messages.Accounts.Operation(messages.VerbSearch), []string{pageOne, pageTwo}},
		{"accounts changes acme --json", messages.Accounts.Operation(messages.VerbChanges),
			[]string{changesOne, changesTwo}},
		{"accounts changes acme --jsonl", messages.Accounts.Operation(messages.VerbChanges),
			[]string{changesOne, changesTwo}},
		{"accounts fields acme --json", messages.Accounts.Operation(messages.VerbFields),
			[]string{fields + `,"next_cursor":"c"}`, fields + `}`}},
		{"accounts get acme 2 --json", messages.Accounts.Operation(messages.VerbGet), []string{get}},
		{"accounts count acme --json", messages.Accounts.Operation(messages.VerbCount), []string{count}},
		{"users get acme a@b --json", messages.UsersGet, []string{formsUser}},
		{"users whoami acme --json", messages.UsersWhoAmI,
			[]string{`{"request_id":"r","connection":"acme","user_id":"u","business_unit_id":"b","organization_id":"o"}`}},
		{"connections get acme --json", messages.ConnectionsGet,
			[]string{encoded(t, messages.ConnectionGetReply{RequestHead: some, Connection: acme})}},
		{"connections check acme --json", messages.ConnectionsCheck, []string{encoded(t, messages.ChecksReply{Head: head,
			Checks: []messages.PermissionCheck{{Name: "sign-in", OK: true}}})}},
		{"connections limits acme --json", messages.ConnectionsLimits,
			[]string{encoded(t, messages.LimitsReply{Head: head, Limit: 40, Breaker: "closed"})}},
		{"connections delete acme --yes --json", messages.ConnectionsDelete,
			[]string{encoded(t, messages.DeletedReply{Head: head, Deleted: true})}},
		{"jobs list acme --json", messages.JobsList, []string{
			encoded(t, messages.JobsListReply{Head: head, Jobs: []messages.Job{job}, NextCursor: "c"}),
			encoded(t, messages.JobsListReply{Head: head, Jobs: []messages.Job{job}})}},
		{"jobs get acme j --json", messages.JobsGet, []string{encoded(t, messages.JobReply{RequestHead: some, Job: job})}},
		{"jobs cancel acme j --json", messages.JobsCancel, []string{encoded(t, messages.JobReply{RequestHead: some, Job: job})}},
		{"jobs retry acme j --json", messages.JobsRetry, []string{encoded(t, messages.JobReply{RequestHead: some, Job: job})}},
		{"jobs delete acme j --yes --json", messages.JobsDelete, []string{encoded(t, messages.DeletedReply{Head: head, Deleted: true})}},
	} {
		a.give(test.op.ScopedSubject("acme"), test.answers...)
		status, stdout, stderr := a.run(strings.Fields(test.args)...)
		if status != 0 {
			t.Errorf("%s: status %d, %s", test.args, status, stderr)
		}
		schemas, err := test.op.Schemas(messages.Tables())
		if err != nil {
			t.Fatal(err)
		}
		var schema jsonschema.Schema
		if err := json.Unmarshal([]byte(schemas.Reply), &schema); err != nil {
			t.Fatal(err)
		}
		ready, err := schema.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		documents := 0
		for decoder := json.NewDecoder(strings.NewReader(stdout)); decoder.More(); documents++ {
			var document any
			if err := decoder.Decode(&document); err != nil {
				t.Fatal(err)
			}
			if err := ready.Validate(document); err != nil {
				t.Errorf("%s: %v\n%s", test.args, err, stdout)
			}
		}
		if documents != len(test.answers) {
			t.Errorf("%s: %d documents of %d replies", test.args, documents, len(test.answers))
		}
		a = newAnswers(t) // the next test may ask the same
	}
}

// What a page brought is out before the next one is asked for, however slow the reader is.
func TestRowsGoOutPageByPage(t *testing.T) {
	for _, form := range []string{"--json", "--jsonl", "--csv"} {
		a := newAnswers(t)
		a.give(formsSearch, pageOne, pageTwo)
		read, write := io.Pipe()
		ended := make(chan int)
		go func() {
			var diag strings.Builder
			status := run([]string{"accounts", "search", "acme", "--all", form, "--nats-url=" + a.url}, write, &diag)
			_ = write.Close()
			ended <- status
		}()
		if _, err := bufio.NewReaderSize(read, 16).ReadByte(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(a.requests(), "\n") + 1; n != 1 {
			t.Errorf("%s: %d pages were asked for before the first was read", form, n)
		}
		if _, err := io.Copy(io.Discard, read); err != nil {
			t.Fatal(err)
		}
		if status := <-ended; status != 0 || !strings.Contains(a.requests(), `"cursor":"c"`) {
			t.Errorf("%s: status %d", form, status)
		}
	}
}

// A search that breaks off says what came before.
func TestRowsBeforeAnError(t *testing.T) {
	a := newAnswers(t)
	a.give(formsSearch, pageOne, `{"error":{"code":"unavailable","message":"Dataverse is away"}}`)
	status, stdout, stderr := a.run("accounts", "search", "acme", "--all", "--jsonl")
	if status != 1 || strings.Count(stdout, "\n") != 1 ||
		!strings.Contains(stderr, "unavailable: Dataverse is away; 1 account came before, which are not all") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// heapSeen is where rows go: it looks at the heap now and then.
type heapSeen struct {
	bytes, next int
	heap        []uint64
}

func (h *heapSeen) Write(text []byte) (int, error) {
	if h.bytes += len(text); h.bytes >= h.next {
		h.next = h.bytes + 1<<21
		var memory runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&memory)
		h.heap = append(h.heap, memory.HeapAlloc)
	}
	return len(text), nil
}

// 100,000 rows take no more memory than the first pages of them.
func TestRowsTakeTheMemoryOfAPage(t *testing.T) {
	bridgetest.Long(t, "it reads 100,000 rows three times")
	bridgetest.Unraced(t, "TestCommands reads several pages; this one looks at the heap")
	const pages, rows = 100, 1000
	a := newAnswers(t)
	next := 0
	if _, err := a.nc.Subscribe(formsSearch, func(msg *nats.Msg) {
		var body strings.Builder
		body.WriteString(`{"request_id":"r","accounts":[`)
		for row := range rows {
			if row > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"id":"%d","name":"%0200d"}`, next*rows+row, row)
		}
		if next++; next < pages {
			fmt.Fprintf(&body, `],"next_cursor":"%d"}`, next)
		} else {
			body.WriteString(`]}`)
			next = 0
		}
		if err := msg.Respond([]byte(body.String())); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"--json", "--jsonl", "--csv"} {
		var out heapSeen
		var diag strings.Builder
		status := run([]string{"accounts", "search", "acme", "--all", form, "--fields=id,name", "--nats-url=" + a.url},
			&out, &diag)
		if status != 0 || out.bytes < pages*rows*200 || len(out.heap) < 8 {
			t.Fatalf("%s: status %d, %d bytes: %s", form, status, out.bytes, diag.String())
		}
		first, last := out.heap[1], out.heap[len(out.heap)-1]
		t.Logf("%s: %d MB of rows; the heap has %d KB at the beginning and %d KB at the end", form, out.bytes>>20,
			first>>10, last>>10)
		if last > first+4<<20 {
			t.Errorf("%s: the heap grows from %d to %d bytes", form, first, last)
		}
	}
}

// On a terminal no header acts, whatever members a reply has; a file has every character.
func TestHeadersDoNotActOnATerminal(t *testing.T) {
	for _, live := range []bool{true, false} {
		var out strings.Builder
		csv := csvOutput{to: &stdio{out: &out, outLive: live}, columns: columnsOf([]string{"k\x1b[31m"}),
			extra: []string{"deleted\x07"}}
		if err := csv.lines([][]csvCell{csvTexts("v\x1b[2J", "")}); err != nil || !strings.HasPrefix(out.String(), "k") {
			t.Errorf("%v: %q", err, out.String())
		}
		if acts := strings.ContainsAny(out.String(), "\x1b\x07"); acts == live {
			t.Errorf("terminal %v: %q", live, out.String())
		}
	}
}
