package durable

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// A jobKey names a job.
type jobKey struct{ connection, id string }

// A claimed job is one whose record, at a revision, names this process as its owner.
type claimed struct {
	record   messages.JobRecord
	revision uint64                  // of the record
	message  *jetstream.RawStreamMsg // the job, from CRM_JOBS
	since    time.Time               // when the claim was sent: its lease runs from there
	results  *looked                 // their last message, read after the claim; nil where that was not read
}

// A looked is what a look at the end of a job's results found: nil for no results.
type looked struct{ last *jetstream.RawStreamMsg }

func (c claimed) key() jobKey { return jobKey{c.record.Connection, c.record.ID} }

// An outcome is what became of an execution.
type outcome struct {
	// ended: the job has ended, and its message is deleted.
	ended bool
	// again is when the job may be claimed again, by anybody; zero is at once. Its record
	// names no owner.
	again time.Time
	// blocked: Dataverse wants nothing of the connection's user until again, so that other
	// jobs of the connection need not be tried either.
	blocked bool
	// lost: the job is another's, or it is not known whose. It is looked at again when a
	// lease has passed.
	lost bool
}

// Causes for which an execution is cut short; see [context.Cause].
var (
	// errStopping: the process stops. The claim is given back at once.
	errStopping = errors.New("this process is stopping")
	// errMakeWay: a connection without any open job waits. The claim is given back.
	errMakeWay = errors.New("the job makes way for another connection's")
	// errNotOurs: the job has ended, or has another owner.
	errNotOurs = errors.New("the job is not this process's any more")
)
