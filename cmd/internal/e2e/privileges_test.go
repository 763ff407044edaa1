package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Every operation against a user who lacks each privilege in turn says which one
// is missing, and connections.check finds that one and no other.
func TestEachMissingPrivilegeIsNamed(t *testing.T) { forTables(t, testEachMissingPrivilegeIsNamed) }

func testEachMissingPrivilegeIsNamed(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(50))
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	control := w.Emulator.Control()
	id := table.id(table.rows(control)[0])
	label, logical := messages.Leaf(table.words.choice, messages.Eq, table.words.english.option), messages.Leaf(table.custom, messages.Gt, 1)
	search := func(at messages.Target, where *messages.Where) error {
		_, err := table.of(client).Search(t.Context(), messages.SearchRequest{Target: at, Where: where})
		return err
	}
	operations := map[string]func(messages.Target) error{
		"search": func(at messages.Target) error { return search(at, nil) },
		"get": func(at messages.Target) error {
			_, err := table.of(client).Get(t.Context(), messages.GetRequest{Target: at, ID: id})
			return err
		},
		"search by label":        func(at messages.Target) error { return search(at, &label) },
		"search by logical name": func(at messages.Target) error { return search(at, &logical) },
		"count": func(at messages.Target) error {
			_, err := table.of(client).Count(t.Context(), messages.CountRequest{Target: at})
			return err
		},
		"fields": func(at messages.Target) error {
			_, err := table.of(client).Fields(t.Context(), messages.FieldsRequest{Target: at})
			return err
		},
		"changes": func(at messages.Target) error {
			_, err := table.of(client).Changes(t.Context(), messages.ChangesRequest{Target: at, PageSize: 5})
			return err
		},
		"users.get by email": func(at messages.Target) error {
			_, err := client.User(t.Context(), messages.UserGetRequest{Target: at, Email: emulator.DefaultUser})
			return err
		},
		"users.get by id": func(at messages.Target) error {
			who, err := client.WhoAmI(t.Context(), at.Connection)
			if err == nil {
				_, err = client.User(t.Context(), messages.UserGetRequest{Target: at, UserID: who.UserID})
			}
			return err
		},
	}
	metadata := []string{"search by label", "search by logical name", "fields"}
	users := []string{"users.get by email", "users.get by id"}
	for privilege, lacking := range map[string]struct{ operations, checks []string }{
		table.ReadPrivilege: {[]string{"search", "get", "count", "changes", "search by label", "search by logical name"}, []string{table.ReadCheck(), table.ChangesCheck()}},
		"prvReadUser":       {users, []string{messages.CheckSystemUsersRead}},
		"prvReadRole":       {users, []string{messages.CheckRolesRead}},
		"prvReadTeam":       {users, []string{messages.CheckTeamsRead}},
		"prvReadEntity":     {metadata, []string{messages.CheckMetadataRead}},
		"prvReadAttribute":  {metadata, []string{messages.CheckMetadataRead}},
	} {
		at := messages.Target{Connection: "without-" + privilege}
		w.Connect(at.Connection)
		control.Withhold(emulator.DefaultUser, privilege)
		for name, operate := range operations {
			err := operate(at)
			if !slices.Contains(lacking.operations, name) {
				if err != nil {
					t.Errorf("%s without %s: %v", name, privilege, err)
				}
				continue
			}
			fault, ok := errors.AsType[*messages.Error](err)
			if !ok || fault.Code != messages.PermissionDenied || len(fault.Details) != 1 || fault.Details[0].Path != privilege || fault.Retryable {
				t.Errorf("%s without %s: %v", name, privilege, err)
			}
		}
		for _, found := range checks(t, table, client, at.Connection) {
			bad := slices.Contains(lacking.checks, found.Name)
			if found.OK == bad || bad && (found.MissingPrivilege != privilege || !strings.Contains(found.HowToFix, "level Organization") || !strings.Contains(found.Detail, privilege)) {
				t.Errorf("without %s: %+v", privilege, found)
			}
		}
		control.Restore(emulator.DefaultUser, privilege)
	}
}

// checks are those of a connection that may read this table alone.
func checks(t *testing.T, table *testedTable, client *messages.Client, connection string) []messages.PermissionCheck {
	t.Helper()
	found, err := client.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: connection}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, check := range found {
		names = append(names, check.Name)
	}
	if want := messages.Checks([]messages.Table{table.Table}); !slices.Equal(names, want) {
		t.Errorf("the checks %q, want %q", names, want)
	}
	return found
}

// failed are the checks that are not ok.
func failed(found []messages.PermissionCheck) map[string]messages.PermissionCheck {
	out := map[string]messages.PermissionCheck{}
	for _, check := range found {
		if !check.OK {
			out[check.Name] = check
		}
	}
	return out
}

// A limit is no missing privilege. It holds for all that the user asks, so that the
// other checks may meet it too.
func TestChecksOfAThrottledConnection(t *testing.T) { forTables(t, testChecksOfAThrottledConnection) }

func testChecksOfAThrottledConnection(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(50))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().Fail(emulator.Fault{Where: emulator.FaultData, Kind: emulator.KindThrottle, Route: "roles", RetryAfter: 120, Times: -1})
	bad := failed(checks(t, table, client, "acme"))
	if bad[messages.CheckRolesRead].Name == "" {
		t.Errorf("found %+v", bad)
	}
	for _, check := range bad {
		if check.MissingPrivilege != "" || !strings.Contains(check.Detail, "limits are reached: the user's requests in 5 minutes. No call") {
			t.Errorf("found %+v", check)
		}
		_, text, _ := strings.Cut(check.Detail, "is sent before ")
		text, _, _ = strings.Cut(text, " ")
		until, err := time.Parse(time.RFC3339, text)
		if wait := time.Until(until); err != nil || wait <= 0 || wait > 121*time.Second {
			t.Errorf("found %+v: %v", check, err)
		}
	}
}

// What is wrong with a connection and is no missing privilege is said as what it is.
func TestChecksOfOtherTroubles(t *testing.T) { forTables(t, testChecksOfOtherTroubles) }

func testChecksOfOtherTroubles(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(50))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	if bad := failed(checks(t, table, client, "acme")); len(bad) > 0 {
		t.Errorf("nothing is wrong, and found was %+v", bad)
	}

	t.Run("some rows only", func(t *testing.T) {
		control.Limit(emulator.DefaultUser, table.ReadPrivilege, emulator.DepthBasic)
		defer control.Restore(emulator.DefaultUser, table.ReadPrivilege)
		found := checks(t, table, client, "acme")
		if bad := failed(found); len(bad) != 1 || bad[table.ChangesCheck()].MissingPrivilege != table.ReadPrivilege {
			t.Errorf("found %+v", bad)
		}
		for _, check := range found {
			if check.Name == table.ReadCheck() && (!strings.Contains(check.Detail, "some "+table.Name+" may be missing") || check.HowToFix == "") {
				t.Errorf("found %+v", check)
			}
		}
	})
	t.Run("changes are not tracked", func(t *testing.T) {
		control.SetChangeTracking(false, table.Set)
		defer control.SetChangeTracking(true, table.Set)
		if bad := failed(checks(t, table, client, "acme")); len(bad) != 1 || !strings.Contains(bad[table.ChangesCheck()].HowToFix, "Track changes") {
			t.Errorf("found %+v", bad)
		}
	})
	for code, want := range map[string]string{"0x80072560": "not a member", "0x80040225": "disabled", "0x80042f09": "no security role",
		"0x8004d24b": "no licence", "0x80095ffc": "application", "0x8004A113": "administration mode"} {
		t.Run(want, func(t *testing.T) {
			control.Fail(emulator.Fault{Where: emulator.FaultData, Status: 403, Times: -1, Header: map[string]string{"Content-Type": "application/json"},
				Body: fmt.Sprintf(`{"error":{"code":%q,"message":"The specified user(Id = {0}) is disabled. Additional Details: {1}"}}`, code)})
			defer control.Clear()
			bad := failed(checks(t, table, client, "acme"))
			if len(bad) != 7 || bad[messages.CheckToken].Name != "" {
				t.Errorf("found %+v", bad)
			}
			for _, check := range bad {
				if !strings.Contains(check.Detail, want) || check.HowToFix == "" || check.MissingPrivilege != "" {
					t.Errorf("found %+v", check)
				}
			}
			_, err := client.WhoAmI(t.Context(), "acme")
			if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.PermissionDenied || !strings.Contains(fault.Message, want) {
				t.Errorf("users.whoami: %v", err)
			}
		})
	}
	t.Run("no such connection", func(t *testing.T) {
		_, err := client.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "nobody"}})
		if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.ConnectionNotFound {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not connected yet", func(t *testing.T) {
		if _, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "pending"}, EnvironmentURL: w.EmulatorURL}); err != nil {
			t.Fatal(err)
		}
		_, err := client.Check(t.Context(), messages.CheckRequest{Target: messages.Target{Connection: "pending"}})
		if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.ReauthorizationRequired {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the grant is gone", func(t *testing.T) {
		control.RevokeRefreshTokens("")
		control.ExpireAccessTokens()
		for range 2 { // with the token that is refused, and without any
			bad := failed(checks(t, table, client, "acme"))
			if token := bad[messages.CheckToken]; len(bad) != 8 || token.Detail == "" || !strings.Contains(token.HowToFix, "connections.authorize") {
				t.Errorf("found %+v", bad)
			}
		}
		if check := failed(checks(t, table, client, "acme"))[table.ReadCheck()]; check.Detail != "not tried: there is no access token" {
			t.Errorf("found %+v", check)
		}
	})
}

// A row beyond what the user's privilege reaches is no missing row.
func TestARowOutOfReach(t *testing.T) { forTables(t, testARowOutOfReach) }

func testARowOutOfReach(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(200))
	w.Bridge(w.Settings(true), nil)
	user := cmp.Or(table.own, emulator.DefaultUser)
	w.Emulator.Control().Limit(user, table.ReadPrivilege, emulator.DepthBasic)
	client, _ := w.Client()
	if err := signin.Connect(t.Context(), client, "acme", w.EmulatorURL, user); err != nil {
		t.Fatal(err)
	}
	me, err := client.WhoAmI(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range table.rows(w.Emulator.Control()) {
		if i%10 == 0 {
			row["ownerid"] = me.UserID
			table.putRow(w.Emulator.Control(), row)
		}
	}
	seen := map[string]bool{}
	for page, err := range table.of(client).Pages(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"id"}}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			seen[row.Text("id")] = true
		}
	}
	for _, row := range table.rows(w.Emulator.Control()) {
		_, err := table.of(client).Get(t.Context(), messages.GetRequest{Target: messages.Target{Connection: "acme"}, ID: table.id(row)})
		if seen[table.id(row)] {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		fault, ok := errors.AsType[*messages.Error](err)
		if !ok || fault.Code != messages.PermissionDenied || len(fault.Details) != 1 || fault.Details[0].Path != table.ReadPrivilege || !strings.Contains(fault.Message, "this row") {
			t.Fatalf("a row out of reach: %v", err)
		}
	}
	if len(seen) < 20 || len(seen) == 200 {
		t.Errorf("%d of 200 rows are in reach", len(seen))
	}
}
