package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// rowOperations asks each operation of a table once.
func rowOperations(t *testing.T, table messages.Table, client *messages.Client, at messages.Target) map[messages.Verb]func() error {
	t.Helper()
	rows := client.Table(table)
	return map[messages.Verb]func() error{
		messages.VerbSearch: func() error {
			_, err := rows.Search(t.Context(), messages.SearchRequest{Target: at, PageSize: 5})
			return err
		},
		messages.VerbGet: func() error {
			_, err := rows.Get(t.Context(), messages.GetRequest{Target: at, ID: "feedc0de-ffff-4bad-8bad-000000000000"})
			return err
		},
		messages.VerbCount: func() error {
			_, err := rows.Count(t.Context(), messages.CountRequest{Target: at})
			return err
		},
		messages.VerbFields: func() error {
			_, err := rows.Fields(t.Context(), messages.FieldsRequest{Target: at})
			return err
		},
		messages.VerbChanges: func() error {
			_, err := rows.Changes(t.Context(), messages.ChangesRequest{Target: at, PageSize: 5})
			return err
		},
	}
}

// Who connected when a deployment served accounts alone did not agree to contacts: they
// are refused with what is to be done, before anything is sent. Accounts and the checks
// are as they were. After connecting again every process reads contacts.
func TestContactsThatNobodyAgreedTo(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 30, Contacts: 40})
	settings := []bridge.Settings{w.Settings(true), w.Settings(false)}
	for i := range settings {
		settings[i].Tables = "accounts"
	}
	old := bridgetest.Serve(t, settings[0])
	w.Connect("acme")
	if err := old.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := old.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range settings {
		settings[i].Tables = "accounts,contacts"
		bridgetest.Serve(t, settings[i])
	}
	refusedContacts(t, w, "acme")

	w.Connect("acme")
	client, nc := w.Client()
	var wait sync.WaitGroup
	for range 10 { // so that each of the two is met
		for verb, ask := range rowOperations(t, messages.Contacts, client, messages.Target{Connection: "acme"}) {
			wait.Go(func() {
				if err := ask(); verb != messages.VerbGet && err != nil ||
					verb == messages.VerbGet && faultOf(t, err).Code != messages.NotFound {
					t.Errorf("contacts.%s: %v", verb, err)
				}
			})
		}
	}
	wait.Wait()
	for _, s := range settings {
		if !answered(t, s.AdminAddr, messages.Contacts.Operation(messages.VerbCount)) {
			t.Error("a process has not been asked")
		}
	}
	var got messages.ConnectionReply
	raw(t, nc, "connections.get", `{"connection":"acme"}`, &got)
	if !slices.Equal(got.Connection.Tables, []string{"accounts", "contacts"}) {
		t.Errorf("the connection has %q", got.Connection.Tables)
	}
	found := checksBy(t, client, messages.CheckRequest{Target: messages.Target{Connection: "acme"}})
	for _, name := range messages.Checks([]messages.Table{messages.Accounts, messages.Contacts}) {
		if !found[name].OK {
			t.Errorf("%s: %+v", name, found[name])
		}
	}
}

// refusedContacts is what a connection for accounts alone gets.
func refusedContacts(t *testing.T, w *bridgetest.World, connection string) {
	t.Helper()
	client, nc := w.Client()
	at := messages.Target{Connection: connection}
	for range 3 { // the first may look for a token
		w.Emulator.Control().ResetCounts()
		for verb, ask := range rowOperations(t, messages.Contacts, client, at) {
			if err := ask(); err == nil {
				t.Errorf("contacts.%s was answered", verb)
			} else {
				wantSaid(t, err, messages.ConsentRequired, "connect again to let contacts be read")
			}
		}
		for _, err := range client.Contacts().Stream(t.Context(), messages.SearchRequest{Target: at}) {
			wantSaid(t, err, messages.ConsentRequired, "connect again to let contacts be read")
		}
		if sent := w.Emulator.Control().Counts().Data; len(sent) > 0 {
			t.Errorf("sent to Dataverse: %v", sent)
		}
	}
	for verb, ask := range rowOperations(t, messages.Accounts, client, at) {
		if err := ask(); verb != messages.VerbGet && err != nil || verb == messages.VerbGet && faultOf(t, err).Code != messages.NotFound {
			t.Errorf("accounts.%s: %v", verb, err)
		}
	}
	var got messages.ConnectionReply
	raw(t, nc, "connections.get", fmt.Sprintf(`{"connection":%q}`, connection), &got)
	if !slices.Equal(got.Connection.Tables, []string{"accounts"}) {
		t.Errorf("the connection has %q", got.Connection.Tables)
	}
	found := checksBy(t, client, messages.CheckRequest{Target: at})
	want := messages.Checks([]messages.Table{messages.Accounts})
	if len(found) != len(want) {
		t.Errorf("%d checks, want %q", len(found), want)
	}
	for _, name := range want {
		if !found[name].OK {
			t.Errorf("%s: %+v", name, found[name])
		}
	}
	// Asked for, the check says the same.
	found = checksBy(t, client, messages.CheckRequest{Target: at, Tables: []string{"contacts"}})
	for _, name := range []string{messages.Contacts.ReadCheck(), messages.Contacts.ChangesCheck()} {
		if check := found[name]; check.OK || !strings.Contains(check.Detail+check.HowToFix, "connect again to let contacts be read") ||
			check.MissingPrivilege != "" {
			t.Errorf("%+v", check)
		}
	}
}

func checksBy(t *testing.T, client *messages.Client, in messages.CheckRequest) map[string]messages.PermissionCheck {
	t.Helper()
	list, err := client.Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]messages.PermissionCheck{}
	for _, check := range list {
		found[check.Name] = check
	}
	return found
}

// answered says whether a process has answered requests of an operation.
func answered(t *testing.T, admin string, op messages.Operation) bool {
	t.Helper()
	_, text, err := bridgetest.AdminPage(admin, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	pattern := `(?m)^crmbridge_requests_total\{[^}]*operation="` + regexp.QuoteMeta(string(op)) + `"[^}]*\} [1-9]`
	return regexp.MustCompile(pattern).MatchString(text)
}

// A cursor is one of its own table's: the same place in another table is another one.
func TestCursorsOfTablesCannotBeExchanged(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 60, Contacts: 60})
	w.Tables = bridge.AllTables()
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, nc := w.Client()
	at := messages.Target{Connection: "acme"}
	type cursor struct {
		verb messages.Verb
		text string
	}
	cursors := map[string][]cursor{}
	tables := testedTables()
	for _, table := range tables {
		page, err := table.of(client).Search(t.Context(), messages.SearchRequest{Target: at, PageSize: 10})
		if err != nil {
			t.Fatal(err)
		}
		changes, err := table.of(client).Changes(t.Context(), messages.ChangesRequest{Target: at, PageSize: 10})
		if err != nil {
			t.Fatal(err)
		}
		cursors[table.Name] = []cursor{{verb: messages.VerbSearch, text: page.NextCursor}, {verb: messages.VerbChanges, text: changes.NextCursor}}
	}
	w.Emulator.Control().ResetCounts()
	for _, table := range tables {
		for _, other := range tables {
			if other == table {
				continue
			}
			for _, verb := range []messages.Verb{messages.VerbSearch, messages.VerbChanges, messages.VerbFields} {
				for _, c := range cursors[other.Name] {
					body := fmt.Appendf(nil, `{"connection":"acme","cursor":%q}`, c.text)
					msg, err := nc.Request(table.Operation(verb).Subject(), body, time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					if code := msg.Header.Get(messages.HeaderErrorCode); code != string(messages.InvalidRequest) ||
						!strings.Contains(string(msg.Data), string(other.Operation(c.verb))) {
						t.Errorf("a cursor of %s for %s: %s %.300s", other.Operation(c.verb), table.Operation(verb), code, msg.Data)
					}
				}
			}
		}
	}
	if sent := w.Emulator.Control().Counts().Data; len(sent) > 0 {
		t.Errorf("sent to Dataverse: %v", sent)
	}
	for _, table := range tables { // they are good for their own table still
		page, err := table.of(client).Search(t.Context(), messages.SearchRequest{Target: at, Cursor: cursors[table.Name][0].text})
		if err != nil || len(page.Rows) != 10 {
			t.Errorf("%s.search: %v", table.Name, err)
		}
		changes, err := table.of(client).Changes(t.Context(), messages.ChangesRequest{Target: at, PageSize: 10, Cursor: cursors[table.Name][1].text})
		if err != nil || len(changes.Rows) != 10 {
			t.Errorf("%s.changes: %v", table.Name, err)
		}
	}
}
