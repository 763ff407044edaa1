package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// visits is a table that only this file knows.
var visits = messages.Table{
	Name: "visits", One: "visit",
	Set: "cb_visits", Logical: "cb_visit", Key: "cb_visitid", Display: "Visit", ReadPrivilege: "prvReadcb_visit",
	Consent: "visits (who was met, and when)",
	Fields: []messages.TableField{
		{Name: "id", Logical: "cb_visitid", Type: messages.FieldGUID},
		{Name: "name", Logical: "cb_name", Type: messages.FieldText},
		{Name: "account", Logical: "cb_accountid", Type: messages.FieldLookup},
		{Name: "outcome", Logical: "cb_outcome", Type: messages.FieldChoice},
		{Name: "day", Logical: "cb_day", Type: messages.FieldDate},
		{Name: "status", Logical: "statecode", Type: messages.FieldChoice},
	},
	DefaultFields: []string{"id", "name", "outcome"},
}

func addVisits(t *testing.T, control emulator.Control, rows int) {
	t.Helper()
	d := emulator.Table{Set: visits.Set, Logical: visits.Logical, Key: visits.Key, Label: visits.Display, Primary: "cb_name"}
	d.Columns = []emulator.Column{
		{Name: "cb_name", Label: "Name", Type: "String"},
		{Name: "cb_accountid", Label: "Account", Type: "Lookup", Targets: []string{"account"}},
		{Name: "cb_outcome", Label: "Outcome", Type: "Picklist", Options: map[int]string{1: "Won", 2: "Lost", 3: "Open"}},
		{Name: "cb_day", Label: "Day", Type: "DateOnly"},
		{Name: "cb_spent", Label: "Spent", Type: "Money"},
	}
	var account string
	for a := range control.Accounts() {
		account = a.ID
	}
	for i := range rows {
		d.Rows = append(d.Rows, emulator.Row{visits.Key: fmt.Sprintf("0f15175a-0000-4000-8000-%012x", i+1),
			"cb_name": fmt.Sprintf("Visit %03d", i), "cb_accountid": account, "cb_outcome": 1 + i%3, "cb_day": fmt.Sprintf("2024-02-%02d", 1+i%29), "cb_spent": fmt.Sprintf("%d.5", i)})
	}
	if err := control.AddTable(d); err != nil {
		t.Fatal(err)
	}
}

// A description of a table is all that it takes: every operation, the schemas, the
// checks and the text of the connect page follow from it.
func TestATableThatATestDescribes(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	control := w.Emulator.Control()
	addVisits(t, control, 60)
	w.BridgeWith(w.Settings(true), nil, visits)
	client, nc := w.Client()
	at := messages.Target{Connection: "acme"}

	begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: at, EnvironmentURL: w.EmulatorURL,
		LoginHint: emulator.DefaultUser})
	if err != nil {
		t.Fatal(err)
	}
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	if page := readOnPage(t, browser, begun.ConnectURL); !slices.Contains(page, visits.Consent) ||
		!slices.Contains(page, messages.Accounts.Consent) {
		t.Errorf("the page says %q", page)
	}
	if _, err := browser.SignIn(t.Context(), begun.ConnectURL, w.EmulatorURL, emulator.DefaultUser); err != nil {
		t.Fatal(err)
	}

	t.Run("search", func(t *testing.T) {
		where := messages.All(messages.Leaf("outcome", messages.Eq, "won"), messages.Leaf("cb_spent", messages.Ge, 3.5),
			messages.Where{Field: "day", Op: messages.NotNull})
		page, err := client.Table(visits).Search(t.Context(), messages.SearchRequest{Target: at, Where: &where, OrderBy: []string{"-name"},
			Fields: []string{"id", "name", "outcome", "account", "cb_spent"}, PageSize: 7, IncludeTotal: true})
		if err != nil {
			t.Fatal(err)
		}
		if *page.Total != 19 || len(page.Rows) != 7 || page.NextCursor == "" ||
			page.Rows[0].Text("name") != "Visit 057" || page.Rows[0].Text("outcome") != "Won" {
			t.Errorf("%d of %d rows, the first %v", len(page.Rows), *page.Total, page.Rows[0])
		}
		rows := len(page.Rows)
		for page.NextCursor != "" {
			if page, err = client.Table(visits).Search(t.Context(), messages.SearchRequest{Target: at, Cursor: page.NextCursor}); err != nil {
				t.Fatal(err)
			}
			rows += len(page.Rows)
		}
		if rows != 19 {
			t.Errorf("%d rows in all", rows)
		}
	})
	t.Run("get", func(t *testing.T) {
		row, err := client.Table(visits).Get(t.Context(), messages.GetRequest{Target: at, ID: "0f15175a-0000-4000-8000-000000000003"})
		if err != nil || row.Text("name") != "Visit 002" || len(row) != len(visits.DefaultFields) {
			t.Errorf("%v, %v", row, err)
		}
	})
	t.Run("count", func(t *testing.T) {
		if n, err := client.Table(visits).Count(t.Context(), messages.CountRequest{Target: at}); err != nil || n != 60 {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("fields", func(t *testing.T) {
		reply, err := client.Table(visits).Fields(t.Context(), messages.FieldsRequest{Target: at})
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]messages.Field{}
		for _, field := range reply.Fields {
			byName[field.Name] = field
		}
		for _, field := range visits.Fields {
			if got := byName[field.Name]; got.LogicalName != field.Logical || got.Type != field.Type {
				t.Errorf("%s: %+v", field.Name, got)
			}
		}
		if got := byName["cb_spent"]; got.Type != messages.FieldMoney || !got.Custom {
			t.Errorf("%+v", got)
		}
	})
	t.Run("changes", func(t *testing.T) {
		first, err := client.Table(visits).Changes(t.Context(), messages.ChangesRequest{Target: at})
		if err != nil || len(first.Rows) != 60 || first.HasMore {
			t.Fatal(err)
		}
		control.Table(visits.Set).Delete("0f15175a-0000-4000-8000-000000000001")
		next, err := client.Table(visits).Changes(t.Context(), messages.ChangesRequest{Target: at, Cursor: first.NextCursor})
		if err != nil || len(next.Rows) != 0 || !slices.Equal(next.Deleted, []string{"0f15175a-0000-4000-8000-000000000001"}) {
			t.Errorf("%+v, %v", next, err)
		}
	})
	t.Run("check", func(t *testing.T) {
		found := checksBy(t, client, messages.CheckRequest{Target: at})
		for _, name := range messages.Checks([]messages.Table{messages.Accounts, visits}) {
			if !found[name].OK {
				t.Errorf("%s: %+v", name, found[name])
			}
		}
		control.Withhold(emulator.DefaultUser, visits.ReadPrivilege)
		defer control.Restore(emulator.DefaultUser, visits.ReadPrivilege)
		found = checksBy(t, client, messages.CheckRequest{Target: at})
		if check := found[visits.ReadCheck()]; check.OK || check.MissingPrivilege != visits.ReadPrivilege ||
			!found[messages.Accounts.ReadCheck()].OK {
			t.Errorf("%+v", check)
		}
		_, err := client.Table(visits).Count(t.Context(), messages.CountRequest{Target: at})
		wantSaid(t, err, messages.PermissionDenied, visits.ReadPrivilege)
	})
	t.Run("schemas", func(t *testing.T) {
		var info micro.Info
		ask(t, nc, "$SRV.INFO.crmbridge", &info)
		endpoints := map[string]map[string]string{}
		for _, e := range info.Endpoints {
			endpoints[e.Name] = e.Metadata
		}
		for verb, member := range map[string][2]string{"search": {`"where"`, `"visits"`}, "get": {`"visit_id"`, `"visit"`},
			"count": {`"where"`, `"count"`}, "fields": {`"custom_only"`, `"fields"`}, "changes": {`"cursor"`, `"visits"`}} {
			own := endpoints["visits-"+verb]
			if !strings.Contains(own["request_schema"], member[0]) || !strings.Contains(own["response_schema"], member[1]) {
				t.Errorf("visits.%s: %v", verb, own)
			}
		}
	})
}

// leads is the table of the list where it is there.
func leads() messages.Table {
	for _, table := range messages.Tables() {
		if table.Name == "leads" {
			return table
		}
	}
	return messages.Table{
		Name: "leads", One: "lead", Set: "leads", Logical: "lead", Key: "leadid", Display: "Lead", ReadPrivilege: "prvReadLead",
		Consent: "leads (people who may become customers)", Product: "Dynamics 365 Sales",
		Fields: []messages.TableField{{Name: "id", Logical: "leadid", Type: messages.FieldGUID}, {Name: "name", Logical: "fullname", Type: messages.FieldText},
			{Name: "company", Logical: "companyname", Type: messages.FieldText}},
		DefaultFields: []string{"id", "name", "company"},
	}
}

// An environment without Dynamics 365 Sales has no leads: their operations say so, the
// check too, and everything else works. When the product comes, leads do.
func TestAnEnvironmentWithoutSales(t *testing.T) {
	t.Parallel()
	leads := leads()
	w := bridgetest.New(t, emulator.Options{Accounts: 40, Contacts: 40, NoSales: true})
	w.Tables = "accounts,contacts"
	w.BridgeWith(w.Settings(true), nil, leads)
	w.Connect("acme")
	client, _ := w.Client()
	at := messages.Target{Connection: "acme"}
	for round := range 2 {
		for verb, ask := range rowOperations(t, leads, client, at) {
			err := ask()
			if err == nil {
				t.Errorf("leads.%s was answered", verb)
				continue
			}
			wantSaid(t, err, messages.NotSupported, "Dynamics 365 Sales")
			if faultOf(t, err).Retryable {
				t.Errorf("leads.%s: may be tried again: %v", verb, err)
			}
		}
		for _, table := range []messages.Table{messages.Accounts, messages.Contacts} {
			for verb, ask := range rowOperations(t, table, client, at) {
				if err := ask(); verb != messages.VerbGet && err != nil {
					t.Errorf("round %d: %s.%s: %v", round, table.Name, verb, err)
				}
			}
		}
	}
	without := []string{leads.ReadCheck(), leads.ChangesCheck()}
	found := checksBy(t, client, messages.CheckRequest{Target: at})
	for _, name := range messages.Checks([]messages.Table{messages.Accounts, messages.Contacts, leads}) {
		check, there := found[name]
		if missing := slices.Contains(without, name); !there || check.OK == missing ||
			missing && !strings.Contains(check.Detail+check.HowToFix, "Dynamics 365 Sales") {
			t.Errorf("%s: %v %+v", name, there, check)
		}
	}
	w.Emulator.Control().SetSales(true)
	for verb, ask := range rowOperations(t, leads, client, at) {
		if err := ask(); verb != messages.VerbGet && err != nil {
			t.Errorf("with Sales, leads.%s: %v", verb, err)
		}
	}
	if n, err := client.Table(leads).Count(t.Context(), messages.CountRequest{Target: at}); err != nil || n != 20 {
		t.Errorf("%d leads, %v", n, err)
	}
	for name, check := range checksBy(t, client, messages.CheckRequest{Target: at}) {
		if !check.OK {
			t.Errorf("with Sales: %s: %+v", name, check)
		}
	}
}

// A secured column that the user may not read is null in Dataverse and nothing says so.
// It is listed as not readable, and no filter or order takes it; others work.
func TestSecuredColumnsAreRefused(t *testing.T) { forTables(t, testSecuredColumns) }

func testSecuredColumns(t *testing.T, table *testedTable) {
	const reader = "grace.okonkwo@contoso.example"
	w := table.world(t, table.options(60))
	control := w.Emulator.Control()
	secured := map[string]string{table.custom: table.custom, "phone": "telephone1"} // by what requests call it
	for name, logical := range secured {
		if !control.Table(table.Set).Secure(logical, true) {
			t.Fatal("cannot be secured: ", name)
		}
	}
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	for connection, user := range map[string]string{"acme": reader, "all": emulator.DefaultUser} {
		if err := signin.Connect(t.Context(), client, connection, w.EmulatorURL, user); err != nil {
			t.Fatal(err)
		}
	}
	rows := table.of(client)
	for connection, readable := range map[string]bool{"acme": false, "all": true} {
		at := messages.Target{Connection: connection}
		reply, err := rows.Fields(t.Context(), messages.FieldsRequest{Target: at})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, field := range reply.Fields {
			_, hides := secured[field.Name]
			if n += map[bool]int{true: 1}[hides]; hides && field.Readable != readable || !hides && !field.Readable {
				t.Errorf("%s: %+v", connection, field)
			}
		}
		if n != len(secured) {
			t.Errorf("%d of %d secured fields are listed", n, len(secured))
		}
		for name, logical := range secured {
			for _, called := range []string{name, logical} {
				null := messages.Where{Field: called, Op: messages.IsNull}
				nested := messages.Any(messages.Leaf("status", messages.Eq, 0), messages.Not(null))
				_, ordered := rows.Search(t.Context(), messages.SearchRequest{Target: at, OrderBy: []string{"id", "-" + called}})
				_, filtered := rows.Search(t.Context(), messages.SearchRequest{Target: at, Where: &null})
				_, counted := rows.Count(t.Context(), messages.CountRequest{Target: at, Where: &nested})
				for what, err := range map[string]error{"order_by[1]": ordered, "where.field": filtered, "where.or[1].not.field": counted} {
					switch {
					case readable && err != nil:
						t.Errorf("%s by %s: %v", what, called, err)
					case !readable && err == nil:
						t.Errorf("%s by %s was answered", what, called)
					case !readable:
						if fault := faultOf(t, err); fault.Code != messages.InvalidRequest || len(fault.Details) != 1 || fault.Details[0].Path != what ||
							!strings.Contains(fault.Message, "column-level security") {
							t.Errorf("%s by %s: %v %+v", what, called, err, fault.Details)
						}
					}
				}
			}
		}
		page, err := rows.Search(t.Context(), messages.SearchRequest{Target: at, Fields: []string{"id", "name", "phone", table.custom}, PageSize: 60})
		if err != nil || len(page.Rows) == 0 {
			t.Fatalf("%s: %v", connection, err)
		}
		values := 0
		for _, row := range page.Rows {
			for name := range secured {
				if value := row[name]; value.Kind() != 'n' && value.Kind() != 0 {
					values++
				}
			}
		}
		if readable != (values > 0) {
			t.Errorf("%s: %d values of secured columns", connection, values)
		}
	}
}
