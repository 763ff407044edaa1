package durable

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// connectionShare is the part of CRM_RESULTS, as a divisor, that one connection may hold.
// Beyond it only its oldest running job goes on, up to twice as much.
const connectionShare = 4

// shares know how full CRM_RESULTS is, and what connections hold of it. What they know is a
// moment old.
type shares struct {
	lane *Lane
	age  time.Duration // for which what is known is used at least

	mu     sync.Mutex
	room   room
	held   map[string]holding
	own    map[jobKey]int64 // of jobs that this process runs: their records are a heartbeat old
	warned time.Time
}

// A room is how much CRM_RESULTS may hold, and holds.
type room struct {
	bound, used int64
	at          time.Time
}

// A holding is what one connection's jobs hold.
type holding struct {
	jobs []holder
	at   time.Time
	keep time.Duration
}

// A holder is a job with results.
type holder struct {
	id      string
	bytes   int64
	queued  time.Time
	running bool
	ended   bool
}

const (
	// shareAge is how long what is known is used.
	shareAge = time.Second
	// shareCost is how many times as long as finding out took it is used besides.
	shareCost = 20
	// sharesKept bounds the connections that something is known of.
	sharesKept = 1000
	// shareReads are how many records are read at a time.
	shareReads = 16
	// shareRecords are how many records are read for one look: those of the jobs with the most
	// messages, and as many of the others by chance, which stand for all others.
	shareRecords = 4_000
)

func newShares(l *Lane) *shares {
	return &shares{lane: l, age: shareAge, held: map[string]holding{}, own: map[jobKey]int64{}}
}

// mayStore is how many bytes of results the job may have.
func (x *execution) mayStore() int64 {
	bound := x.lane.options.JobMaxBytes
	if quarter := x.lane.shares.quarter(); quarter > 0 {
		bound = min(bound, quarter)
	}
	return bound
}

// share is an error where the job's connection holds its share of CRM_RESULTS, and the job is
// not the one that goes on. The end of a job that fails is small, and may take up to twice the
// share too; ends beyond that wait, since jobs that fail cost who publishes them nothing. The
// oldest job goes on in any case while no other job of the connection has ended: there would
// be nothing that jobs.delete could remove.
func (x *execution) share(ctx context.Context, end bool) error {
	s := x.lane.shares
	s.runs(x.key, x.bytes)
	now, err := s.look(ctx)
	if err != nil || now.used < now.bound/connectionShare {
		return nil // who cannot be asked how full it is says so when it is written to
	}
	jobs, err := s.of(ctx, x.key.connection)
	if err != nil {
		// A connection with so much that it cannot be counted in time is not let through.
		return patient(messages.Errorf(messages.Overloaded, "what the connection's jobs hold of %s cannot be counted "+
			"now; the job waits", messages.ResultsStream).After(jittered(fullRetry)).Because(err))
	}
	quarter, u := now.bound/connectionShare, s.beside(x.key, x.hold.known().QueuedAt, jobs)
	sum := x.bytes + u.bytes
	if sum < quarter || (u.oldest || end) && sum < 2*quarter || u.oldest && !u.ended {
		return nil
	}
	x.lane.metrics.fullWaits.Inc()
	return patient(messages.Errorf(messages.Overloaded, "the results of the connection's jobs take %d bytes, and they "+
		"may take %d, a quarter of what %s holds; the job waits until some are removed, with jobs.delete or by their age",
		sum, quarter, messages.ResultsStream).After(jittered(fullRetry)))
}

// A usage is what the jobs of a connection hold beside one of them.
type usage struct {
	bytes  int64
	oldest bool // none that runs is older than that one
	ended  bool // one has ended
}

// beside is what the jobs of a connection hold without one of them. Of jobs that run in this
// process it is known to the byte.
func (s *shares) beside(key jobKey, queued time.Time, jobs []holder) usage {
	u := usage{oldest: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	counted := map[string]bool{key.id: true}
	for _, job := range jobs {
		if job.id == key.id {
			continue
		}
		counted[job.id] = true
		u.bytes += max(job.bytes, s.own[jobKey{key.connection, job.id}])
		u.ended = u.ended || job.ended
		if job.running && cmp.Or(job.queued.Compare(queued), cmp.Compare(job.id, key.id)) < 0 {
			u.oldest = false
		}
	}
	for other, bytes := range s.own {
		if other.connection == key.connection && !counted[other.id] {
			u.bytes += bytes // its first page came after the look
		}
	}
	return u
}

// runs notes what a job holds that this process runs.
func (s *shares) runs(key jobKey, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[key] = bytes
}

// ran forgets a job that this process does not run any more.
func (s *shares) ran(key jobKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, key)
}

// quarter is one connection's share in bytes, 0 where it is not known.
func (s *shares) quarter() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room.bound / connectionShare
}

// fullWarning is how often a full stream is warned of.
const fullWarning = time.Minute

// warnFull says once a minute that the stream takes nothing more, and why.
func (s *shares) warnFull(said *jetstream.APIError) {
	s.mu.Lock()
	due := time.Since(s.warned) >= fullWarning
	if due {
		s.warned = time.Now()
	}
	s.mu.Unlock()
	if due {
		s.lane.log.Warn("jobs wait: the stream "+messages.ResultsStream+" takes nothing more; results that have been read "+
			"make room with jobs.delete, and RESULTS_MAX_BYTES says how large the stream is made",
			"limit", said.Description, "code", said.ErrorCode)
	}
}
