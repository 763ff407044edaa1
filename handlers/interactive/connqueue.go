package interactive

import "time"

// A connQueue has one connection's requests: those that wait, and a count of those in flight.
type connQueue struct {
	name       string
	running    int
	requesters requesterQueues
	listed     bool          // in admission.waiting
	busy       bool          // counted in admission.busy
	took       time.Duration // by one request, as a moving average
	alive      time.Time     // when the environment last answered, or the first request in flight began
}

// givesWay reports whether another requester has more waiting than the one that asks.
func (q *connQueue) givesWay(asks *requesterQueue) bool {
	most := q.requesters.fullest()
	return most != asks && most.weight() > asks.weight()+1
}

// burst is how long a request may wait in any case.
const burst = 100 * time.Millisecond

// standing reports whether one more request would wait for longer than a request takes.
// Then requests come faster than they are answered: a longer queue would make every
// answer later, and no answer more.
func (q *connQueue) standing(now time.Time) bool {
	pace := q.pace(now)
	return pace*time.Duration(q.requesters.size())/time.Duration(max(q.running, 1)) > max(pace, burst)
}

// pace is how long a request of the connection takes: the average, or the time since the
// last answer where that is longer.
func (q *connQueue) pace(now time.Time) time.Duration {
	if q.running == 0 {
		return q.took
	}
	return max(q.took, now.Sub(q.alive))
}

// expected estimates how long one more request of a requester waits and runs.
func (q *connQueue) expected(of *requesterQueue, now time.Time) time.Duration {
	ahead := min(q.requesters.size(), (len(of.waiting)+1)*max(q.requesters.busy(), 1))
	return q.pace(now) * time.Duration(ahead/max(q.running, 1)+1)
}

// Bounds of the retry_after_ms of a refusal.
const (
	minRetryAfter = 250 * time.Millisecond
	maxRetryAfter = 10 * time.Second
)

// retryAfter estimates when a slot of the connection is free for one more request; at least need.
func (q *connQueue) retryAfter(need time.Duration, b admissionBounds) time.Duration {
	rounds := time.Duration((q.running+q.requesters.size())/b.perConnection + 1)
	return min(max(need, q.took*rounds, minRetryAfter), maxRetryAfter)
}

func (q *connQueue) weight() int { return q.requesters.size() + q.requesters.bytes()/(4<<10) }

// hangs reports whether a connection's environment has not answered for much longer than
// requests take. One that is slow, but answers, does not hang.
func (q *connQueue) hangs(now time.Time) bool {
	return q.running > 0 && now.Sub(q.alive) > max(hangsAfter, hangsTimes*min(q.took, hangsPace))
}

// learn adds what one request took to the average.
func (q *connQueue) learn(took time.Duration) {
	const weight = 8
	if q.took == 0 {
		q.took = took
	}
	q.took += (took - q.took) / weight
}
