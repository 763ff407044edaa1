package dynamics_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Each probe asks for one row at most, and needs one privilege only.
func TestProbes(t *testing.T) {
	const root = "/api/data/v9.2/"
	try := func(p dynamics.Probe) func(*dynamics.Session) error {
		return func(s *dynamics.Session) error { return s.Try(t.Context(), p) }
	}
	for want, probe := range map[string]func(*dynamics.Session) error{
		root + "systemusers?$select=systemuserid": try(dynamics.ProbeUsers),
		root + "roles?$select=roleid":             try(dynamics.ProbeRoles),
		root + "teams?$select=teamid":             try(dynamics.ProbeTeams),
		root + "accounts?$select=accountid":       func(s *dynamics.Session) error { return s.TryRows(t.Context(), accounts) },
		root + "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='accountid')?$select=LogicalName": func(s *dynamics.Session) error {
			return s.TryMetadata(t.Context(), accounts)
		},
	} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if got := req.Header.Get("Prefer"); !strings.Contains(want, "Entity") && got != "odata.maxpagesize=1" {
				t.Errorf("%s: Prefer %q", want, got)
			}
			answer(200, `{"value":[],"LogicalName":"accountid"}`)(w, req)
		})
		if err := probe(r.open(t)); err != nil || r.uris()[0] != want {
			t.Errorf("got %s, %v; want %s", r.uris(), err, want)
		}
		kind(t, probe(newRig(t, answer(200, `{"error":{"code":"0x1","message":"half an answer"}}`)).open(t)),
			dynamics.Upstream)
		e := kind(t, probe(newRig(t, answer(403,
			`{"error":{"code":"0x80040220","message":"is missing prvReadX privilege"}}`)).open(t)), dynamics.Forbidden)
		if e.Privilege != "prvReadX" {
			t.Errorf("%+v", e)
		}
	}
	kind(t, newRig(t, answer(200, `{}`)).open(t).Try(t.Context(), 0), dynamics.Invalid)
}
