package durable

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A depth is what waits at a moment.
type depth struct {
	pending, runnable, connections int
	age                            time.Duration // of the oldest
}

// depth counts what waits. What a connection has beyond its jobs in memory may run as soon
// as they are read.
func (b *board) depth(now instant) (d depth) {
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest := time.Now().UnixNano()
	old := func(w waiting) { oldest = min(oldest, w.at) }
	for _, q := range b.queues {
		n := len(q.jobs) + len(q.delayed) + q.beyond
		if n == 0 {
			continue
		}
		d.pending += n
		d.connections++
		d.runnable += min(q.ready(now, b.perUser), b.perUser)
		if len(q.jobs) > 0 {
			old(q.jobs[0])
		}
		for _, w := range q.delayed {
			old(w)
		}
	}
	for _, w := range b.strangers {
		old(w)
	}
	d.pending += len(b.strangers) + b.strays.n
	d.age = max(time.Since(time.Unix(0, oldest)), 0)
	return d
}

// ready counts the jobs of a connection that may be claimed now, here or elsewhere, up to most.
func (q *queue) ready(now instant, most int) (n int) {
	for i := range q.jobs {
		if n >= most {
			return n
		}
		if w := &q.jobs[i]; now >= min(w.expires, max(w.after, q.blocked)) {
			n++
		}
	}
	if q.more && now >= q.blocked {
		n += q.beyond
	}
	return n
}

// known is up to n of the jobs that wait and run after a key, in the order of connections and
// ids, as far as this process has them in memory. Its own and others' running jobs are as
// their records were heard last.
func (l *Lane) known(after jobKey, n int) []messages.Job { return l.board.known(after, n, l) }

func (b *board) known(after jobKey, n int, l *Lane) (jobs []messages.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stranded := map[string][]waiting{}
	for key, w := range b.strangers {
		stranded[key.connection] = append(stranded[key.connection], w)
	}
	names := slices.Collect(maps.Keys(b.queues))
	for name := range stranded {
		if b.queues[name] == nil {
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name < after.connection })
	slices.Sort(names)
	for _, name := range names {
		of := b.jobsOf(name, stranded[name], l)
		of = slices.DeleteFunc(of, func(j messages.Job) bool { return name == after.connection && j.ID <= after.id })
		slices.SortFunc(of, func(a, b messages.Job) int { return strings.Compare(a.ID, b.ID) })
		of = slices.CompactFunc(of, func(a, b messages.Job) bool { return a.ID == b.ID })
		if jobs = append(jobs, of...); len(jobs) >= n {
			return jobs[:n]
		}
	}
	return jobs
}

// jobsOf are a connection's jobs in memory; those that run come first.
func (b *board) jobsOf(name string, stranded []waiting, l *Lane) (jobs []messages.Job) {
	queued := func(w waiting) messages.Job {
		job := messages.Job{ID: w.id, Operation: b.ops.names[w.op], Connection: name, State: messages.JobQueued,
			QueuedAt: time.Unix(0, w.at).UTC()}
		if left := time.Duration(w.after - l.now()); w.after > 0 && left > 0 {
			at := time.Now().Add(left).UTC()
			job.RetryAt = &at
		}
		return job
	}
	running := func(w waiting, heard messages.Job) {
		job := queued(w)
		if heard.ID != "" {
			job = heard
		}
		job.State = messages.JobRunning
		jobs = append(jobs, job)
	}
	if q := b.queues[name]; q != nil {
		for _, o := range q.open {
			running(o.waiting, o.job)
		}
		for _, h := range q.others {
			running(h.waiting, h.job)
		}
		for _, w := range q.delayed {
			jobs = append(jobs, queued(w))
		}
		for _, w := range q.jobs {
			jobs = append(jobs, queued(w))
		}
	}
	for _, w := range stranded {
		jobs = append(jobs, queued(w))
	}
	return jobs
}
