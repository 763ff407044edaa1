package e2e

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// salesTable is a table that only environments with Dynamics 365 Sales have.
var salesTable = messages.Table{
	Name: "leads", One: "lead", Set: "leads", Logical: "lead", Key: "leadid", Display: "Lead", ReadPrivilege: "prvReadLead",
	Consent: "leads (people who may become customers)", Product: "Dynamics 365 Sales",
	Fields:        []messages.TableField{{Name: "id", Logical: "leadid", Type: messages.FieldGUID}, {Name: "name", Logical: "fullname", Type: messages.FieldText}},
	DefaultFields: []string{"id", "name"},
}

// serveTables starts a process that serves these tables.
func serveTables(t *testing.T, w *bridgetest.World, first bool, tables ...messages.Table) *bridge.Bridge {
	t.Helper()
	config, err := w.Settings(first).Config()
	if err != nil {
		t.Fatal(err)
	}
	config.Tables = tables
	b, err := bridge.Start(t.Context(), config, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

// checksOf asks for the checks, of the tables that are named, and finds them complete.
func checksOf(t *testing.T, client *messages.Client, checked []messages.Table, named ...string) map[string]messages.PermissionCheck {
	t.Helper()
	found, err := client.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "acme"}, Tables: named})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]messages.PermissionCheck{}
	var names []string
	for _, one := range found {
		names = append(names, one.Name)
		byName[one.Name] = one
	}
	if diff := cmp.Diff(messages.Checks(checked), names); diff != "" {
		t.Errorf("the checks (-want +got): %s", diff)
	}
	return byName
}

// wantBad fails the test unless exactly these checks are not ok.
func wantBad(t *testing.T, found map[string]messages.PermissionCheck, want ...string) {
	t.Helper()
	var bad []string
	for name, one := range found {
		if !one.OK {
			bad = append(bad, name)
		}
	}
	slices.Sort(bad)
	slices.Sort(want)
	if !slices.Equal(bad, want) {
		t.Errorf("not ok are %q, want %q: %+v", bad, want, found)
	}
}

// Each table of a connection has checks of its own, with the depth at which its user
// reads it, and what is wrong with one says nothing of the others.
func TestChecksOfEachTable(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	served := []messages.Table{messages.Accounts, messages.Contacts, salesTable}
	serveTables(t, w, true, served...)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()

	found := checksOf(t, client, served)
	wantBad(t, found)
	for _, table := range served {
		if got := found[table.ReadCheck()]; got.Depth != messages.DepthOrganization || got.Detail != "" {
			t.Errorf("%+v", got)
		}
	}
	wantBad(t, checksOf(t, client, []messages.Table{messages.Contacts}, "contacts"))
	wantBad(t, checksOf(t, client, []messages.Table{messages.Accounts, salesTable}, "leads", "accounts", "leads"))

	for depth, want := range map[emulator.Depth]string{emulator.DepthBasic: messages.DepthBasic,
		emulator.DepthLocal: messages.DepthLocal, emulator.DepthDeep: messages.DepthDeep} {
		control.Limit(emulator.DefaultUser, "prvReadContact", depth)
		found = checksOf(t, client, served)
		wantBad(t, found, "contacts.changes")
		if got := found["contacts.read"]; got.Depth != want || !strings.Contains(got.Detail, "some contacts may be missing from answers: prvReadContact is not at level Organization") ||
			!strings.Contains(got.HowToFix, "Read on Contact (prvReadContact) at level Organization") {
			t.Errorf("%+v", got)
		}
		if got := found["accounts.read"]; got.Depth != messages.DepthOrganization || got.Detail != "" {
			t.Errorf("%+v", got)
		}
	}
	control.Withhold(emulator.DefaultUser, "prvReadContact")
	found = checksOf(t, client, served)
	wantBad(t, found, "contacts.read", "contacts.changes")
	if got := found["contacts.read"]; got.Depth != "" || got.MissingPrivilege != "prvReadContact" || !strings.Contains(got.HowToFix, "Contact (prvReadContact)") {
		t.Errorf("%+v", got)
	}
	control.Restore(emulator.DefaultUser, "prvReadContact")

	// The depth cannot be found out; the changes say what they can.
	control.Withhold(emulator.DefaultUser, "prvReadUser")
	control.Limit(emulator.DefaultUser, "prvReadContact", emulator.DepthBasic)
	found = checksOf(t, client, served)
	wantBad(t, found, messages.CheckSystemUsersRead, "contacts.changes")
	if got := found["contacts.read"]; got.Depth != "" || !strings.Contains(got.Detail, "some contacts may be missing") {
		t.Errorf("%+v", got)
	}
	control.Restore(emulator.DefaultUser, "prvReadContact")
	control.SetChangeTracking(false, "contacts")
	found = checksOf(t, client, served)
	wantBad(t, found, messages.CheckSystemUsersRead, "contacts.changes")
	if got := found["contacts.read"]; !strings.Contains(got.Detail, "whether the user may see all contacts") {
		t.Errorf("%+v", got)
	}
	if got := found["contacts.changes"]; !strings.Contains(got.HowToFix, "Tables, Contact, Properties") || !strings.Contains(got.Detail, "track changes of contacts") {
		t.Errorf("%+v", got)
	}
	control.SetChangeTracking(true, "contacts")
	control.Restore(emulator.DefaultUser, "prvReadUser")

	control.SetSales(false)
	found = checksOf(t, client, served)
	wantBad(t, found, "leads.read", "leads.changes")
	for _, name := range []string{"leads.read", "leads.changes"} {
		if got := found[name]; !strings.Contains(got.Detail, "no table leads") || !strings.Contains(got.Detail, "everything else works") ||
			!strings.Contains(got.HowToFix, "install Dynamics 365 Sales") {
			t.Errorf("%+v", got)
		}
	}
	control.SetSales(true)

	_, err := client.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "acme"}, Tables: []string{"accounts", "widgets"}})
	wantSaid(t, err, messages.InvalidRequest, "tables[1]", "accounts, contacts, leads")
}

// A connection that was made before contacts were served has the checks that it had.
// Those of contacts are refused before anything is sent for them, until the person has
// connected again.
func TestChecksOfAConnectionFromBefore(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	before := serveTables(t, w, true, messages.Accounts)
	w.Connect("acme")
	if err := before.Stop(); err != nil {
		t.Fatal(err)
	}
	both := []messages.Table{messages.Accounts, messages.Contacts}
	after := serveTables(t, w, true, both...)
	client, _ := w.Client()
	control := w.Emulator.Control()
	control.ResetCounts()
	wantBad(t, checksOf(t, client, both[:1]))
	found := checksOf(t, client, both, "contacts", "accounts")
	wantBad(t, found, "contacts.read", "contacts.changes")
	found = checksOf(t, client, both[1:], "contacts")
	wantBad(t, found, "contacts.read", "contacts.changes")
	for _, name := range []string{"contacts.read", "contacts.changes"} {
		if got := found[name]; !strings.Contains(got.Detail, "connect again to let contacts be read") || !strings.Contains(got.HowToFix, "connections.authorize") {
			t.Errorf("%+v", got)
		}
	}
	_, err := client.Contacts().Search(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"}})
	wantSaid(t, err, messages.ConsentRequired, "connect again to let contacts be read")
	asked := false
	for route := range control.Counts().Data {
		asked = asked || strings.HasPrefix(route, "accounts")
		if strings.Contains(route, "contact") {
			t.Errorf("%s was asked for", route)
		}
	}
	if !asked {
		t.Errorf("nothing was asked for accounts: %v", control.Counts().Data)
	}
	w.Connect("acme")
	wantBad(t, checksOf(t, client, both))
	if _, err := client.Contacts().Search(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"}}); err != nil {
		t.Error(err)
	}

	// A table that is no longer served is left out.
	if err := after.Stop(); err != nil {
		t.Fatal(err)
	}
	last := serveTables(t, w, true, messages.Contacts)
	wantBad(t, checksOf(t, client, both[1:]))
	if err := last.Stop(); err != nil {
		t.Fatal(err)
	}
	serveTables(t, w, true, salesTable)
	found = checksOf(t, client, nil)
	wantBad(t, found, messages.CheckMetadataRead)
	if got := found[messages.CheckMetadataRead]; !strings.Contains(got.Detail, "not tried") || got.HowToFix == "" {
		t.Errorf("%+v", got)
	}
}

// The connect page shows the tables of the deployment, and what is read besides, each
// once.
func TestTheConnectPageShowsTheTablesServed(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	all := []messages.Table{messages.Accounts, messages.Contacts, salesTable}
	client, _ := w.Client()
	for n := range len(all) + 1 {
		served := slices.Concat(all[:n], all[min(n+1, len(all)):]) // all but one, and all
		b := serveTables(t, w, true, served...)
		begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "acme"}, EnvironmentURL: w.EmulatorURL})
		if err != nil {
			t.Fatal(err)
		}
		browser, err := signin.NewBrowser()
		if err != nil {
			t.Fatal(err)
		}
		page, err := browser.Open(t.Context(), begun.ConnectURL)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, table := range served {
			want = append(want, table.Consent)
		}
		want = append(want, "descriptions of columns and their options", "users with their e-mail addresses, roles and teams",
			"your name, user name and the organization's name")
		var got []string
		for node := range page.Root.Descendants() {
			if node.Data == "li" && node.FirstChild != nil {
				got = append(got, strings.TrimSpace(node.FirstChild.Data))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the page (-want +got): %s", diff)
		}
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}
