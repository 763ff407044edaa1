package durable

import (
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/messages"
)

// heardRecord is a record as it is published.
func heardRecord(t testing.TB, connection, id string, state messages.JobState, owner string) (subject string,
	body []byte) {
	t.Helper()
	body, err := json.Marshal(messages.JobRecord{Form: messages.JobForm, Owner: owner, Beat: 3,
		Job: messages.Job{ID: id, Connection: connection, Operation: someOp, State: state}})
	if err != nil {
		t.Fatal(err)
	}
	return messages.StateSubject(connection, id), body
}

// unstarted is a lane that hears what it is told.
func (r *rig) unstarted() *Lane {
	r.Helper()
	l, err := New(r.nc, Options{Connections: r.connections, Sealer: r.sealer})
	if err != nil {
		r.Fatal(err)
	}
	l.board.knows = func(messages.Operation) bool { return true }
	return l
}

// Of jobs that others claim and end, a process that knows none of them keeps nothing, and reads
// nothing but the subject: idle it costs the same whatever others do.
func TestOthersJobsLeaveNothingBehind(t *testing.T) {
	l := newRig(t).unstarted()
	for i := range 10_000 {
		connection := fmt.Sprintf("c%d", i)
		for _, state := range []messages.JobState{messages.JobRunning, messages.JobDone} {
			owner := ""
			if state == messages.JobRunning {
				owner = "another"
			}
			l.hear(heardRecord(t, connection, "j", state, owner))
		}
	}
	b := l.board
	if len(b.queues)+len(b.watched)+len(b.strangers)+b.waits+b.ring.Len()+b.fresh.Len() != 0 {
		t.Errorf("%d queues, %d watched, %d strangers, %d waiting", len(b.queues), len(b.watched), len(b.strangers), b.waits)
	}
	subject, body := heardRecord(t, "gone", "j", messages.JobDone, "")
	if n := testing.AllocsPerRun(100, func() { l.hear(subject, body) }); n > 1 {
		t.Errorf("%g allocations for a record that is no business of this process", n)
	}
}

// What a process pays for each record of others: of a connection without jobs here, and with.
func BenchmarkHear(b *testing.B) {
	l := newRig(b).unstarted()
	l.board.follow(followed{seq: 1, op: someOp, connection: "known", id: "j0", expires: never}, l.now())
	for _, connection := range []string{"strange", "known"} {
		subject, body := heardRecord(b, connection, "j", messages.JobRunning, "another")
		b.Run(connection, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.hear(subject, body)
			}
		})
	}
}
