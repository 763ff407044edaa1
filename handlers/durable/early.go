package durable

import (
	"slices"
	"sync"

	"github.com/crmbridge/crmbridge/messages"
)

const (
	// earlyMost bounds the records that are kept, earlyLongest each in bytes. The record of a
	// job that begins is a few hundred.
	earlyMost    = 64
	earlyLongest = 1 << 10
)

// early has records that were heard before their job was read from CRM_JOBS: another process
// was faster. They are heard again when it is, so that nobody tries to claim what is claimed, or
// has ended.
type early struct {
	mu     sync.Mutex
	bodies map[jobKey][2][]byte // of each the first and the last one, nil where there is none
	order  []jobKey             // as they came
}

// keep keeps a copy of a record; the oldest makes room.
func (e *early) keep(key jobKey, body []byte) {
	if len(body) > earlyLongest {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bodies == nil {
		e.bodies = map[jobKey][2][]byte{}
	}
	bodies, there := e.bodies[key]
	if !there {
		if len(e.order) >= earlyMost {
			delete(e.bodies, e.order[0])
			e.order = slices.Delete(e.order, 0, 1)
		}
		e.order = append(e.order, key)
		bodies[0] = slices.Clone(body)
	} else {
		bodies[1] = slices.Clone(body)
	}
	e.bodies[key] = bodies
}

// take takes a job's records out.
func (e *early) take(key jobKey) [2][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	bodies, there := e.bodies[key]
	if there {
		delete(e.bodies, key)
		e.order = slices.DeleteFunc(e.order, func(k jobKey) bool { return k == key })
	}
	return bodies
}

// hearEarly hears what was published of a job before it was read.
func (l *Lane) hearEarly(key jobKey) {
	for _, body := range l.early.take(key) {
		if body != nil {
			l.hear(messages.StateSubject(key.connection, key.id), body)
		}
	}
}
