package main

import (
	"sync"

	"github.com/crmbridge/crmbridge/messages"
)

// claims are the changes of owners that CRM_STATE has stored, as the wires of all processes
// saw them acknowledged. What is merely published on crm.state is no claim: most of it at a
// process's start is refused.
type claims struct {
	say func(format string, args ...any) // nil: silent

	mu sync.Mutex
	of map[string]*claimsOf // by the subject of the record
}

// claimsOf are those of one job.
type claimsOf struct {
	last      messages.JobRecord
	sequence  uint64
	made      int // by whomever, give-backs of the one before included
	takeovers int // of a job whose owner did not give it back
	returns   int // give-backs
}

// stored takes in a record that was acknowledged under a sequence. An older one comes late
// and says nothing new.
func (c *claims) stored(subject string, record messages.JobRecord, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of[subject]
	if of == nil {
		of = &claimsOf{}
		if c.of == nil {
			c.of = map[string]*claimsOf{}
		}
		c.of[subject] = of
	}
	if sequence <= of.sequence {
		return
	}
	before := of.last
	of.last, of.sequence = record, sequence
	if record.Owner == before.Owner {
		return
	}
	switch {
	case record.Owner == "" && !record.State.Ended():
		of.returns++
	case record.Owner != "":
		of.made++
		if before.Owner != "" {
			of.takeovers++
		}
	}
	if c.say != nil {
		c.say("%s: %.6s to %.6s, %s, page %d, %d takeovers, %d attempts, error %v", subject, before.Owner, record.Owner,
			record.State,
			record.Pages, record.Takeovers, record.Attempts, record.Error)
	}
}

// job is what is known of one job.
func (c *claims) job(j job) claimsOf {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.of[messages.StateSubject(j.connection, j.id)]; of != nil {
		return *of
	}
	return claimsOf{}
}
