package interactive

import "time"

// A line is one connection's requests.
type line struct {
	name    string
	running int
	lanes   lanes
	listed  bool          // in admission.waiting
	took    time.Duration // by its requests, as a moving average
	alive   time.Time     // when one last ended other than by not being answered, or the first began
}

// givesWay reports whether another lane has more waiting than the one that asks.
func (l *line) givesWay(asks *lane) bool {
	most := l.lanes.fullest()
	return most != asks && most.weight() > asks.weight()+1
}

// burst is how long a request may wait for its turn in any case.
const burst = 100 * time.Millisecond

// standing reports whether one more request would wait longer than one takes: then
// more is asked of the connection than it gives, and a longer queue would make every
// answer late and none more.
func (l *line) standing(now time.Time) bool {
	pace := l.pace(now)
	return pace*time.Duration(l.lanes.size())/time.Duration(max(l.running, 1)) > max(pace, burst)
}

// pace is what a request of the connection takes: as far as was seen, or for as long
// as nothing has come back.
func (l *line) pace(now time.Time) time.Duration {
	if l.running == 0 {
		return l.took
	}
	return max(l.took, now.Sub(l.alive))
}

// expected is about how long one more request of a lane waits and runs.
func (l *line) expected(of *lane, now time.Time) time.Duration {
	ahead := min(l.lanes.size(), (len(of.waiting)+1)*max(l.lanes.busy(), 1))
	return l.pace(now) * time.Duration(ahead/max(l.running, 1)+1)
}

// Bounds of what a requester is told to wait when there is no room.
const (
	leastPatience = 250 * time.Millisecond
	mostPatience  = 10 * time.Second
)

// patience is about the time in which what is here will have ended, or need.
func (l *line) patience(need time.Duration, b admissionBounds) time.Duration {
	rounds := time.Duration((l.running+l.lanes.size())/b.perConnection + 1)
	return min(max(need, l.took*rounds, leastPatience), mostPatience)
}

func (l *line) weight() int { return l.lanes.size() + l.lanes.bytes()/(4<<10) }

// hangs reports whether nothing has come back of a connection for much longer than
// its requests take. One that is slow, but answers, does not hang.
func (l *line) hangs(now time.Time) bool {
	return l.running > 0 && now.Sub(l.alive) > max(hangsFor, hangsBy*min(l.took, hangsNot))
}

// learn follows the pace of the connection's requests.
func (l *line) learn(took time.Duration) {
	const weight = 8
	if l.took == 0 {
		l.took = took
	}
	l.took += (took - l.took) / weight
}
