package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Every operation against a user who lacks each privilege in turn says which one
// is missing, and connections.check finds that one and no other.
func TestEachMissingPrivilegeIsNamed(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	control := w.Emulator.Control()
	var account string
	for a := range control.Accounts() {
		account = a.ID
	}
	label, logical := messages.Leaf("industry", messages.Eq, "Consulting"), messages.Leaf("cb_leadscore", messages.Gt, 1)
	search := func(at messages.Target, where *messages.Where) error {
		_, err := client.Search(t.Context(), messages.AccountsSearchRequest{Target: at, Where: where})
		return err
	}
	operations := map[string]func(messages.Target) error{
		"accounts.search": func(at messages.Target) error { return search(at, nil) },
		"accounts.get": func(at messages.Target) error {
			_, err := client.Account(t.Context(), messages.AccountGetRequest{Target: at, AccountID: account})
			return err
		},
		"accounts.search by label":        func(at messages.Target) error { return search(at, &label) },
		"accounts.search by logical name": func(at messages.Target) error { return search(at, &logical) },
		"accounts.count": func(at messages.Target) error {
			_, err := client.Count(t.Context(), messages.AccountsCountRequest{Target: at})
			return err
		},
		"accounts.fields": func(at messages.Target) error {
			_, err := client.Fields(t.Context(), messages.AccountsFieldsRequest{Target: at})
			return err
		},
		"accounts.changes": func(at messages.Target) error {
			_, err := client.Changes(t.Context(), messages.AccountsChangesRequest{Target: at, PageSize: 5})
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
	metadata := []string{"accounts.search by label", "accounts.search by logical name", "accounts.fields"}
	users := []string{"users.get by email", "users.get by id"}
	for privilege, lacking := range map[string]struct{ operations, checks []string }{
		"prvReadAccount":   {[]string{"accounts.search", "accounts.get", "accounts.count", "accounts.changes", "accounts.search by label", "accounts.search by logical name"}, []string{messages.CheckAccountsRead, messages.CheckAccountsChanges}},
		"prvReadUser":      {users, []string{messages.CheckSystemUsersRead}},
		"prvReadRole":      {users, []string{messages.CheckRolesRead}},
		"prvReadTeam":      {users, []string{messages.CheckTeamsRead}},
		"prvReadEntity":    {metadata, []string{messages.CheckMetadataRead}},
		"prvReadAttribute": {metadata, []string{messages.CheckMetadataRead}},
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
		for _, found := range checks(t, client, at.Connection) {
			bad := slices.Contains(lacking.checks, found.Name)
			if found.OK == bad || bad && (found.MissingPrivilege != privilege || !strings.Contains(found.HowToFix, "level Organization") || !strings.Contains(found.Detail, privilege)) {
				t.Errorf("without %s: %+v", privilege, found)
			}
		}
		control.Restore(emulator.DefaultUser, privilege)
	}
}

func checks(t *testing.T, client *messages.Client, connection string) []messages.PermissionCheck {
	t.Helper()
	found, err := client.Check(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, check := range found {
		names = append(names, check.Name)
	}
	want := []string{messages.CheckToken, messages.CheckWhoAmI, messages.CheckSystemUsersRead, messages.CheckRolesRead, messages.CheckTeamsRead,
		messages.CheckAccountsRead, messages.CheckMetadataRead, messages.CheckAccountsChanges}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("the checks (-want +got): %s", diff)
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
func TestChecksOfAThrottledConnection(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().Fail(emulator.Fault{Where: emulator.FaultData, Kind: emulator.KindThrottle, Route: "roles", RetryAfter: 120, Times: -1})
	bad := failed(checks(t, client, "acme"))
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
func TestChecksOfOtherTroubles(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	control := w.Emulator.Control()
	if bad := failed(checks(t, client, "acme")); len(bad) > 0 {
		t.Errorf("nothing is wrong, and found was %+v", bad)
	}

	t.Run("some accounts only", func(t *testing.T) {
		control.Limit(emulator.DefaultUser, "prvReadAccount", emulator.DepthBasic)
		defer control.Restore(emulator.DefaultUser, "prvReadAccount")
		found := checks(t, client, "acme")
		if bad := failed(found); len(bad) != 1 || bad[messages.CheckAccountsChanges].MissingPrivilege != "prvReadAccount" {
			t.Errorf("found %+v", bad)
		}
		for _, check := range found {
			if check.Name == messages.CheckAccountsRead && (!strings.Contains(check.Detail, "some accounts may be missing") || check.HowToFix == "") {
				t.Errorf("found %+v", check)
			}
		}
	})
	t.Run("changes are not tracked", func(t *testing.T) {
		control.SetChangeTracking(false)
		defer control.SetChangeTracking(true)
		if bad := failed(checks(t, client, "acme")); len(bad) != 1 || !strings.Contains(bad[messages.CheckAccountsChanges].HowToFix, "Track changes") {
			t.Errorf("found %+v", bad)
		}
	})
	for code, want := range map[string]string{"0x80072560": "not a member", "0x80040225": "disabled", "0x80042f09": "no security role",
		"0x8004d24b": "no licence", "0x80095ffc": "application", "0x8004A113": "administration mode"} {
		t.Run(want, func(t *testing.T) {
			control.Fail(emulator.Fault{Where: emulator.FaultData, Status: 403, Times: -1, Header: map[string]string{"Content-Type": "application/json"},
				Body: fmt.Sprintf(`{"error":{"code":%q,"message":"The specified user(Id = {0}) is disabled. Additional Details: {1}"}}`, code)})
			defer control.Clear()
			bad := failed(checks(t, client, "acme"))
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
		_, err := client.Check(t.Context(), "nobody")
		if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.ConnectionNotFound {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not connected yet", func(t *testing.T) {
		if _, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "pending"}, EnvironmentURL: w.EmulatorURL}); err != nil {
			t.Fatal(err)
		}
		_, err := client.Check(t.Context(), "pending")
		if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.ReauthorizationRequired {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the grant is gone", func(t *testing.T) {
		control.RevokeRefreshTokens("")
		control.ExpireAccessTokens()
		for range 2 { // with the token that is refused, and without any
			bad := failed(checks(t, client, "acme"))
			if token := bad[messages.CheckToken]; len(bad) != 8 || token.Detail == "" || !strings.Contains(token.HowToFix, "connections.authorize") {
				t.Errorf("found %+v", bad)
			}
		}
		if check := failed(checks(t, client, "acme"))[messages.CheckAccountsRead]; check.Detail != "not tried: there is no access token" {
			t.Errorf("found %+v", check)
		}
	})
}

// A row beyond what the user's privilege reaches is no missing row.
func TestAccountOutOfReach(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 200})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	if err := signin.Connect(t.Context(), client, "acme", w.EmulatorURL, "own.accounts@contoso.example"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for page, err := range client.Pages(t.Context(), messages.AccountsSearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"id"}}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range page.Accounts {
			seen[account.Text("id")] = true
		}
	}
	for account := range w.Emulator.Control().Accounts() {
		_, err := client.Account(t.Context(), messages.AccountGetRequest{Target: messages.Target{Connection: "acme"}, AccountID: account.ID})
		if seen[account.ID] {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		fault, ok := errors.AsType[*messages.Error](err)
		if !ok || fault.Code != messages.PermissionDenied || len(fault.Details) != 1 || fault.Details[0].Path != "prvReadAccount" || !strings.Contains(fault.Message, "this row") {
			t.Fatalf("an account out of reach: %v", err)
		}
	}
	t.Logf("%d of 200 accounts are in reach", len(seen))
}
