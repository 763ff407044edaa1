package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// connections.get names user and organization beside their ids, null where Dataverse
// does not say; what was not known is filled in after the next renewal.
func TestAConnectionNamesItsUser(t *testing.T) {
	t.Parallel()
	var mute atomic.Bool // the environment names nobody
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 5}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if path := r.URL.Path; mute.Load() && (strings.Contains(path, "/systemusers(") || strings.Contains(path, "/organizations(")) {
				rw.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.Bridge(w.Settings(true), nil)
	client, nc := w.Client()
	names := func(connection string) string {
		reply, err := nc.Request(messages.ConnectionsGet.ScopedSubject(connection), []byte("{}"), 30e9)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Connection map[string]any `json:"connection"`
		}
		if err := json.Unmarshal(reply.Data, &body); err != nil {
			t.Fatal(err)
		}
		c := body.Connection
		for _, member := range []string{"user_name", "user_full_name", "organization_name"} {
			if _, there := c[member]; !there {
				t.Errorf("%s is missing: %s", member, reply.Data)
			}
		}
		return fmt.Sprint(c["user_name"], " ", c["user_full_name"], " ", c["organization_name"])
	}
	const known = emulator.DefaultUser + " Ada Lindqvist Contoso"
	w.Connect("acme")
	if got := names("acme"); got != known {
		t.Errorf("named %q", got)
	}
	mute.Store(true)
	w.Connect("shy")
	if got := names("shy"); got != "<nil> <nil> <nil>" {
		t.Errorf("named %q", got)
	}
	mute.Store(false)
	w.Emulator.Control().ExpireAccessTokens()
	for _, connection := range []string{"acme", "shy"} {
		if _, err := client.WhoAmI(t.Context(), connection); err != nil {
			t.Fatal(err)
		}
	}
	bridgetest.Await(t, "the names", func() error {
		for _, connection := range []string{"acme", "shy"} {
			if got := names(connection); got != known {
				return errors.New(got)
			}
		}
		return nil
	})
	if _, err := client.WhoAmI(t.Context(), "shy"); err != nil {
		t.Error(err)
	}
}

// A wrong operator is a fault of the settings, with the variable's name.
func TestOperatorSettings(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bridge.Settings){
		"OPERATOR_NAME":      func(s *bridge.Settings) { s.OperatorName = "two\nlines" },
		"OPERATOR_URL":       func(s *bridge.Settings) { s.OperatorURL = "javascript:alert(1)" },
		"OPERATOR_URL: must": func(s *bridge.Settings) { s.OperatorURL = "http://example.com/privacy" },
		"OPERATOR_LOGO_FILE": func(s *bridge.Settings) { s.OperatorLogoFile = "names_test.go" },
		"no such file":       func(s *bridge.Settings) { s.OperatorLogoFile = "missing.png" },
	} {
		s := bridge.Settings{}
		change(&s)
		if _, err := s.Config(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
