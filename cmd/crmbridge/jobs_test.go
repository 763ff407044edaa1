package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
)

// The commands about jobs: what crmbridge is asked, and what is printed.
func TestJobsCommands(t *testing.T) {
	const answer = `{"request_id":"r","job":{"id":"j","operation":"accounts.search","connection":"acme","state":"failed","pages":2,"rows":10,"total":50,"bytes":7,"attempts":5,"error":{"code":"unavailable","message":"no\u001b[2J"},"retry_of":"i"}}`
	for _, test := range []struct {
		args, subject, answer string
		status                int
		asked, stdout, stderr string
	}{
		{"jobs get acme j", "crm.jobs.get.request.acme", answer, 0, `{"connection":"acme","job_id":"j"}`,
			"state       failed\nrows        10 of 50\npages       2\n", ""},
		{"jobs get acme j", "crm.jobs.get.request.acme", answer, 0, "", "error       unavailable: no [2J\n", ""},
		{"jobs get acme j --json", "crm.jobs.get.request.acme", answer, 0, "", `"retry_of": "i"`, ""},
		{"jobs delete acme j", "", "", 2, "", "", "usage: --yes is missing"},
		{"jobs get acme a.b", "", "", 1, "", "", "invalid_request: <job>: is not the id of a job"},
		{"jobs cancel acme j", "crm.jobs.cancel.request.acme", answer, 0, `{"connection":"acme","job_id":"j"}`,
			"attempts    5\n", ""},
		{"jobs retry acme j", "crm.jobs.retry.request.acme", answer, 0, `{"connection":"acme","job_id":"j"}`,
			"retry of    i\n", ""},
		{"jobs retry acme j --as k", "crm.jobs.retry.request.acme", answer, 0, `"new_job_id":"k"`, "", ""},
		{"jobs delete acme j --yes", "crm.jobs.delete.request.acme", `{"deleted":true}`, 0,
			`{"connection":"acme","job_id":"j"}`, "j is deleted\n", ""},
		{"jobs delete acme j --yes", "crm.jobs.delete.request.acme", `{"deleted":false}`, 0, "",
			"there was no job j, and so nothing was deleted\n", ""},
		{"jobs delete acme j --yes --json", "crm.jobs.delete.request.acme", `{"deleted":true}`, 0, "", `"deleted": true`, ""},
		{"jobs list acme", "crm.jobs.list.request.acme",
			`{"jobs":[{"id":"j","operation":"accounts.search","connection":"acme","state":"queued"}]}`, 0,
			`{"connection":"acme","page_size":1000}`, " j    acme        accounts.search  queued     0      0", "1 job\n"},
		{"jobs list", "crm.jobs.list.request", `{"jobs":[]}`, 0, `{"page_size":1000}`, "", "0 jobs\n"},
		{"jobs list acme --json", "crm.jobs.list.request.acme", `{"jobs":[{"id":"j"}]}`, 0, "", `"id": "j"`, ""},
		{"jobs list acme", "crm.jobs.list.request.acme", `{"jobs":[{"id":"j"}],"next_cursor":"again"}`, 1, "", "",
			"internal: the answers' cursors lead nowhere"},
		{"jobs list acme", "crm.jobs.list.request.acme",
			`{"error":{"code":"not_supported","message":"no JetStream"}}`, 1, "", "", "not_supported: no JetStream\n"},
		{"jobs get acme j", "", "", 1, "", "", "unavailable: no crmbridge listens on crm.jobs.get.request.acme"},
		{"jobs get acme", "", "", 2, "", "", "<job>"},
	} {
		t.Run(test.args, func(t *testing.T) {
			a := newAnswers(t)
			if test.subject != "" {
				a.give(test.subject, test.answer)
			}
			status, stdout, stderr := a.run(strings.Fields(test.args)...)
			if status != test.status || !strings.Contains(stdout, test.stdout) ||
				!strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d, want %d\nstdout %q\nwant   %q\nstderr %q\nwant   %q", status, test.status,
					stdout, test.stdout, stderr, test.stderr)
			}
			if asked := a.requests(); !strings.Contains(asked, test.asked) {
				t.Errorf("asked %s, want %s", asked, test.asked)
			}
		})
	}
}

// On a terminal a person is asked before results go.
func TestDeletingAJobAsksOnATerminal(t *testing.T) {
	var out, err strings.Builder
	std := &stdio{out: &out, err: &err, live: true, in: strings.NewReader("n\n")}
	c := jobsDelete{job: job{connection: connection{"acme"}, Job: "j"}}
	c.URL = "nats://127.0.0.1:1" // where nobody listens
	if fault := c.Run(t.Context(), std); codeOf(fault) != messages.Cancelled ||
		!strings.Contains(err.String(), "Delete job j of acme") {
		t.Errorf("%v, asked %q", fault, err.String())
	}
}

// Why a job waits, and until when, stands in its record or in the limits of its connection.
func TestJobsSayWhatTheyWaitFor(t *testing.T) {
	const list = `{"jobs":[{"id":"j","operation":"accounts.search","connection":"acme","state":"queued"%s},` +
		`{"id":"done","operation":"accounts.search","connection":"globex","state":"done"}]}`
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	until := at.Format(time.RFC3339)
	for _, test := range []struct{ record, limits, want string }{
		{`,"retry_at":"` + until + `","error":{"code":"throttled","message":"m"}`, "", "until " + until + ": throttled"},
		{"", `{"blocked_until":"` + until + `","blocked_by":"requests","breaker":"closed"}`,
			"until " + until + ": throttled, by its limit of requests in five minutes"},
		{"", `{"breaker":"closed","calls_today":5,"daily_calls":5}`, "until midnight UTC: throttled, by the customer's --daily-calls"},
		{"", `{"breaker":"open"}`, "until its environment answers again: unavailable"},
		{"", `{"breaker":"closed"}`, ""},
		{"", `{"error":{"code":"unavailable","message":"m"}}`, ""},
		{"", "", ""}, // nobody answers
	} {
		a := newAnswers(t)
		answer := fmt.Sprintf(list, test.record)
		a.give("crm.jobs.list.request", answer)
		a.give("crm.jobs.list.request.acme", answer)
		a.give("crm.jobs.get.request.acme", `{"job":{"id":"j","connection":"acme","state":"queued"`+test.record+`}}`)
		if test.limits != "" {
			a.give("crm.connections.limits.request.acme", test.limits)
		}
		a.give("crm.connections.limits.request.globex", `{"breaker":"open"}`)
		for _, line := range []string{"jobs list --utc", "jobs list acme --utc", "jobs get acme j --utc"} {
			status, stdout, stderr := a.run(strings.Fields(line)...)
			if status != 0 || !strings.Contains(stdout, test.want) || strings.Contains(stdout, "until") != (test.want != "") {
				t.Errorf("%s with %s, %s: status %d\n%s%s", line, test.record, test.limits, status, stdout, stderr)
			}
		}
		if asked := a.requests(); strings.Contains(asked, "globex") || test.record != "" && strings.Contains(asked, "limits") {
			t.Errorf("asked without need:\n%s", asked)
		}
	}
}

// Who may not ask for the limits is told of jobs without them; asked for by themselves they are refused.
func TestJobsOfWhoMayNotAskForLimits(t *testing.T) {
	a := newAnswersWithout(t, "crm.connections.limits.>")
	const job = `{"id":"j","operation":"accounts.search","connection":"acme","state":"queued"}`
	a.give("crm.jobs.list.request.acme", `{"jobs":[`+job+`]}`)
	a.give("crm.jobs.get.request.acme", `{"job":`+job+`}`)
	for _, line := range []string{"jobs list acme", "jobs get acme j"} {
		if status, stdout, stderr := a.run(strings.Fields(line)...); status != 0 || !strings.Contains(stdout, "queued") {
			t.Errorf("%s: status %d\n%s%s", line, status, stdout, stderr)
		}
	}
	status, _, stderr := a.run("connections", "limits", "acme")
	if status != program.ExitError || !strings.Contains(stderr, "Permissions Violation") {
		t.Errorf("connections limits: status %d, %s", status, stderr)
	}
}
