package durable

import (
	"fmt"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A hint is a record as it is published: heard by all, and stored or refused.
type hint struct {
	owner  string
	beat   int64
	ends   bool // it gives the job back
	stored bool
}

func (h hint) record() messages.JobRecord {
	record := messages.JobRecord{Job: messages.Job{ID: "1", Connection: "a", State: messages.JobRunning}, Owner: h.owner,
		Beat: h.beat}
	if h.ends {
		record.State, record.Owner = messages.JobQueued, ""
	}
	return record
}

func (h hint) hash() uint64 { return hashOf(fmt.Append(nil, h)) }

// A scene is one job of which a process hears, and its record as it is stored.
type scene struct {
	*table
	record messages.JobRecord
	hash   uint64
	ran    *messages.JobRecord // what this process found when its claim succeeded
	lapsed bool
}

// act has the process do what it can: claim the job, as the record allows it, and read records.
func (s *scene) act() {
	for _, look := range s.tick(s.now) {
		s.verified(look, lookedUp{stored: s.record.Beat > 0, record: s.record, hash: s.hash, again: s.now}, s.now)
	}
	s.lookedAll()
	for s.ran == nil && s.wants(s.now) {
		n, ok := s.pop(s.now)
		if !ok {
			return
		}
		if n.job.elsewhere(s.record, s.hash, s.name) {
			s.refused(n.job, claiming{verdict: claimLost, hash: s.hash, owner: s.record.Owner, beat: s.record.Beat},
				s.now, s.now)
			continue
		}
		found := s.record
		s.ran, s.lapsed = &found, n.job.lapsed
		s.owned(n.job)
	}
}

// orders calls do with every order in which the hints are heard and, in their own order, stored.
func orders(hints []hint, do func(order []string)) {
	var stores []int
	for i, h := range hints {
		if h.stored {
			stores = append(stores, i)
		}
	}
	var order []string
	heard := make([]bool, len(hints))
	var step func(stored int)
	step = func(stored int) {
		if len(order) == len(hints)+len(stores) {
			do(order)
			return
		}
		for i := range hints {
			if !heard[i] {
				heard[i] = true
				order = append(order, fmt.Sprint("h", i))
				step(stored)
				order, heard[i] = order[:len(order)-1], false
			}
		}
		if stored < len(stores) {
			order = append(order, fmt.Sprint("s", stores[stored]))
			step(stored + 1)
			order = order[:len(order)-1]
		}
	}
	step(0)
}

// Records are heard in any order, before they are stored or after, and also those that are
// refused. Whatever is heard of a job that is given back in the end, it runs within seconds and
// nothing is taken over; one whose owner lives is not run, and one whose owner is dead is run
// when its lease has passed.
func TestHintsInEveryOrder(t *testing.T) {
	for name, c := range map[string]struct {
		hints []hint
		back  bool
	}{
		"given back, and another claimed it as new": {back: true, hints: []hint{
			{owner: "x", beat: 1, stored: true}, {owner: "x", beat: 2, ends: true, stored: true},
			{owner: "y", beat: 1}, {owner: "z", beat: 1}}},
		"given back, and others took it over too late": {back: true, hints: []hint{
			{owner: "x", beat: 4, stored: true}, {owner: "x", beat: 5, ends: true, stored: true},
			{owner: "y", beat: 5}, {owner: "z", beat: 4}}},
		"given back, claimed, and given back": {back: true, hints: []hint{
			{owner: "x", beat: 2, ends: true, stored: true}, {owner: "y", beat: 3, stored: true},
			{owner: "z", beat: 3}, {owner: "y", beat: 4, ends: true, stored: true}}},
		"taken over, and the old owner gave back": {hints: []hint{
			{owner: "x", beat: 3, stored: true}, {owner: "y", beat: 4, stored: true},
			{owner: "x", beat: 4, ends: true}, {owner: "x", beat: 4}}},
		"claimed by one of three": {hints: []hint{
			{owner: "x", beat: 1, stored: true}, {owner: "y", beat: 1}, {owner: "z", beat: 1}, {owner: "x", beat: 2, stored: true}}},
	} {
		for _, acts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, acts: %v", name, acts), func(t *testing.T) {
				tried := 0
				orders(c.hints, func(order []string) {
					s := &scene{table: newTable(t, 4)}
					s.publish("a", "1")
					if !acts { // it is told of the job's record before it tries
						s.paused = s.now.after(2 * time.Second)
					} else {
						s.record, s.hash = messages.JobRecord{Job: messages.Job{State: messages.JobRunning}, Owner: "w", Beat: 0}, 1
					}
					for _, event := range order {
						h := c.hints[event[1]-'0']
						if event[0] == 's' {
							s.record, s.hash = h.record(), h.hash()
						} else if look := s.heard(h.record(), h.hash(), s.now, s.now); look != nil && s.ran == nil {
							t.Fatalf("%v: a job is open", order)
						}
						if s.ran == nil && acts {
							s.act()
						}
					}
					if s.ran != nil { // this process was as quick as the others; CAS would have kept one of them out
						return
					}
					tried++
					settled := s.now
					s.until(settled.after(4 * time.Second))
					switch {
					case c.back && (s.ran == nil || s.ran.Owner != "" || s.lapsed):
						t.Fatalf("%v: it did not run: %+v", order, s.queues["a"])
					case !c.back && s.ran != nil:
						t.Fatalf("%v: it ran while its owner lives", order)
					case c.back:
						return
					}
					live := s.record
					for range 4 { // its owner's heartbeats are heard
						live.Beat++
						s.record, s.hash = live, hashOf(fmt.Append(nil, live.Beat))
						s.heard(live, s.hash, s.now, s.now)
						s.until(s.now.after(5 * time.Second))
					}
					if s.ran != nil {
						t.Fatalf("%v: it ran while its owner lives", order)
					}
					s.until(s.now.after(s.lease - 6*time.Second))
					if s.ran != nil {
						t.Fatalf("%v: it was taken over before the lease had passed", order)
					}
					s.until(s.now.after(4 * time.Second))
					if s.ran == nil || !s.lapsed {
						t.Fatalf("%v: it was not taken over: %+v", order, s.queues["a"])
					}
				})
				if tried == 0 {
					t.Error("nothing was tried")
				}
			})
		}
	}
}

// until lets time pass.
func (s *scene) until(end instant) {
	for s.now < end {
		s.now = s.now.after(500 * time.Millisecond)
		s.act()
	}
}
