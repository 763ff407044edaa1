package dynamics_test

import (
	"net/http"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Each probe asks for one row at most, and needs one privilege only.
func TestProbes(t *testing.T) {
	const root = "/api/data/v9.2/"
	for probe, want := range map[dynamics.Probe]string{
		dynamics.ProbeUsers: root + "systemusers?$select=systemuserid", dynamics.ProbeRoles: root + "roles?$select=roleid",
		dynamics.ProbeTeams: root + "teams?$select=teamid", dynamics.ProbeAccounts: root + "accounts?$select=accountid",
		dynamics.ProbeMetadata: root + "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')?$select=LogicalName",
	} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if got := req.Header.Get("Prefer"); probe != dynamics.ProbeMetadata && got != "odata.maxpagesize=1" {
				t.Errorf("%s: Prefer %q", want, got)
			}
			answer(200, `{"value":[],"LogicalName":"name"}`)(w, req)
		})
		if err := r.open(t).Try(t.Context(), probe); err != nil || r.uris()[0] != want {
			t.Errorf("got %s, %v; want %s", r.uris(), err, want)
		}
		kind(t, newRig(t, answer(200, `{"error":{"code":"0x1","message":"half an answer"}}`)).open(t).Try(t.Context(), probe), dynamics.Upstream)
		e := kind(t, newRig(t, answer(403, `{"error":{"code":"0x80040220","message":"is missing prvReadX privilege"}}`)).open(t).Try(t.Context(), probe), dynamics.Forbidden)
		if e.Privilege != "prvReadX" {
			t.Errorf("%+v", e)
		}
	}
	kind(t, newRig(t, answer(200, `{}`)).open(t).Try(t.Context(), 0), dynamics.Invalid)
}
