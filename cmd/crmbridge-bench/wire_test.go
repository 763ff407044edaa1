package main

import (
	"encoding/json"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// A claim counts when its acknowledgement comes back, and not when it is refused.
func TestAClaimCountsWhenItIsStored(t *testing.T) {
	var all claims
	first, second := &wire{claims: &all}, &wire{claims: &all}
	j := small("acme", "1")
	subject := messages.StateSubject(j.connection, j.id)
	write := func(w *wire, owner string, state messages.JobState, answer string) {
		t.Helper()
		record := messages.JobRecord{Job: messages.Job{ID: j.id, Connection: j.connection, State: state}, Owner: owner}
		body, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if w.swallow(&message{subject: subject, reply: "_INBOX.1", body: body}) != nil {
			t.Fatal("the record did not pass")
		}
		w.answered("_INBOX.1", []byte(answer))
	}
	const refused = `{"error":{"code":400,"err_code":10071},"stream":"CRM_STATE","seq":0}`
	for i, step := range []struct {
		by                       *wire
		owner                    string
		state                    messages.JobState
		answer                   string
		firstOwns, secondOwns    bool
		made, takeovers, returns int
	}{
		{first, "a", messages.JobRunning, `{"stream":"CRM_STATE","seq":1}`, true, false, 1, 0, 0},
		{second, "b", messages.JobRunning, refused, true, false, 1, 0, 0},
		{second, "b", messages.JobRunning, ``, true, false, 1, 0, 0}, // no responders
		{first, "a", messages.JobRunning, `{"stream":"CRM_STATE","seq":2}`, true, false, 1, 0, 0},
		{second, "b", messages.JobRunning, `{"stream":"CRM_STATE","seq":3}`, true, true, 2, 1, 0},
		{second, "", messages.JobQueued, `{"stream":"CRM_STATE","seq":4}`, true, false, 2, 1, 1},
		{second, "b", messages.JobRunning, `{"stream":"CRM_STATE","seq":5}`, true, true, 3, 1, 1},
		{first, "a", messages.JobRunning, `{"stream":"CRM_STATE","seq":2}`, true, true, 3, 1, 1}, // late
		{second, "", messages.JobDone, `{"stream":"CRM_STATE","seq":6}`, true, false, 3, 1, 1},
	} {
		write(step.by, step.owner, step.state, step.answer)
		of := all.job(j)
		if first.owns(j) != step.firstOwns || second.owns(j) != step.secondOwns || of.made != step.made ||
			of.takeovers != step.takeovers || of.returns != step.returns {
			t.Errorf("step %d: owned by %v and %v; %d claims, %d takeovers, %d returns; want %+v", i, first.owns(j), second.owns(j),
				of.made, of.takeovers, of.returns, step)
		}
	}
	first.forgetAll()
	if first.owns(j) {
		t.Error("a process that begins anew owns a job")
	}
}
