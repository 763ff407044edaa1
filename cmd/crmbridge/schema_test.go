package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
)

// What the command prints, with no NATS anywhere.
func TestSchema(t *testing.T) {
	bridgetest.Unraced(t, "documents are printed")
	for _, test := range []struct {
		args   string
		status int
		wants  []string // of stdout; of stderr where the status is not 0
	}{
		{"", 0, []string{"accounts.search", "opportunities.changes", "connections.authorize", "Count the accounts"}},
		{"--json", 0, []string{`"subject": "crm.leads.get.request"`, `"job_subject": "crm.users.get.job.CONNECTION.JOB"`}},
		{"accounts.search", 0, []string{`"request": {`, `"reply": {`, `"job": {`, `"next_cursor"`, `"encoding"`}},
		{"jobs.get", 0, []string{`"request": {`, `"reply": {`}},
		{"--asyncapi", 0, []string{`"asyncapi": "3.0.0"`, `"crm.contacts.search.request.{connection}"`}},
		{"--asyncapi jobs.get", 0, []string{`"asyncapi": "3.0.0"`, `"crm.jobs.get.request"`}},
		{"acounts.search", program.ExitUsage, []string{`no operation "acounts.search"; did you mean accounts.search`}},
		{"nothing.at.all", program.ExitUsage, []string{"crmbridge schema lists them"}},
	} {
		var out, diag strings.Builder
		status := run(append([]string{"schema"}, strings.Fields(test.args)...), &out, &diag)
		text := out.String()
		if status != 0 {
			text = diag.String()
		}
		if status != test.status {
			t.Errorf("schema %s: status %d: %s", test.args, status, diag.String())
		}
		for _, want := range test.wants {
			if !strings.Contains(text, want) {
				t.Errorf("schema %s: no %s in %.600s", test.args, want, text)
			}
		}
		if strings.HasPrefix(text, "{") && !json.Valid([]byte(text)) {
			t.Errorf("schema %s is no JSON: %.200s", test.args, text)
		}
	}
	var out, diag strings.Builder
	if run([]string{"schema", "--asyncapi", string(messages.JobsGet)}, &out, &diag); strings.Contains(out.String(), "crm.accounts") {
		t.Error("the document of one operation has others")
	}
}
