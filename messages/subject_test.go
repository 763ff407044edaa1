package messages_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

func operations() []messages.Operation {
	return []messages.Operation{messages.ConnectionsAuthorize, messages.ConnectionsComplete, messages.ConnectionsGet, messages.ConnectionsList,
		messages.ConnectionsDelete, messages.UsersWhoAmI, messages.UsersGet, messages.Accounts.Operation(messages.VerbSearch), messages.Accounts.Operation(messages.VerbGet)}
}

func TestSubjects(t *testing.T) {
	op := messages.Accounts.Operation(messages.VerbSearch)
	for got, want := range map[string]string{
		op.Subject():             "crm.accounts.search.request",
		op.ScopedSubject("acme"): "crm.accounts.search.request.acme",
		op.ScopedSubject("*"):    "crm.accounts.search.request.*",
		op.Entity():              "accounts",
		op.Endpoint(false):       "accounts-search",
		op.Endpoint(true):        "accounts-search-scoped",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	microName := regexp.MustCompile(`^[A-Za-z0-9_-]+$`) // what NATS's services API takes
	seen := map[string]bool{}
	for _, op := range operations() {
		for _, scoped := range []bool{false, true} {
			if name := op.Endpoint(scoped); !microName.MatchString(name) || seen[name] {
				t.Errorf("endpoint %q of %s", name, op)
			} else {
				seen[name] = true
			}
		}
		if strings.Contains("results dead events", op.Entity()) {
			t.Errorf("%s has a reserved entity", op)
		}
	}
}

func TestConnectionFromSubject(t *testing.T) {
	for subject, want := range map[string]string{
		"crm.accounts.search.request.acme":    "acme",
		"crm.accounts.search.request.request": "request",
		"crm.accounts.search.request":         "",
		"crm.accounts.search.request.a.b":     "a.b", // no connection id: ValidConnection refuses it
		"crm":                                 "",
		"":                                    "",
	} {
		if got := messages.ConnectionFromSubject(subject); got != want {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
	for _, op := range operations() {
		if got := messages.ConnectionFromSubject(op.ScopedSubject("a_B-9")); got != "a_B-9" {
			t.Errorf("%s: %q", op, got)
		}
		if got := messages.ConnectionFromSubject(op.Subject()); got != "" {
			t.Errorf("%s: %q", op, got)
		}
	}
}

func TestValidConnection(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a.b": false, "*": false, ">": false, "a b": false, "acme\n": false, "\nacme": false, "ä": false, "a/b": false,
		"a\x00": false, strings.Repeat("a", 65): false, "$JS": false,
		"a": true, "-": true, "_": true, "ACME-eu_1": true, strings.Repeat("a", 64): true,
	} {
		if got := messages.ValidConnection(id); got != want {
			t.Errorf("ValidConnection(%q) = %v", id, got)
		}
	}
}

func TestValidRequestID(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, " ": false, "a b": false, "a\n": false, "a\r\nX: y": false, "\t": false, "a\x7f": false, "ä": false, strings.Repeat("a", 129): false,
		"!": true, "~": true, "01890a5d-ac96-774b-bcce-b302099a8057": true, strings.Repeat("a", 128): true,
	} {
		if got := messages.ValidRequestID(id); got != want {
			t.Errorf("ValidRequestID(%q) = %v", id, got)
		}
	}
}
