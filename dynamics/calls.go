package dynamics

import "time"

// often are the calls of no table that requests and sign-ins make, seldom those of checks of a
// connection.
var (
	often = []string{"challenge", "whoami", "names.user", "names.organization", "metadata.columns", "metadata.dates",
		"metadata.options", "metadata.secured", "users.get", "users.find"}
	seldom = []string{"roles.read", "teams.read", "teams.roles", "probe.metadata", "probe.roles", "probe.teams"}
)

// KnownCalls lists what [Call].Op is of the calls that are made, those for the rows of some tables
// among them, and for each the kinds that it may end with; 0 is success. For calls of no table
// these are the most frequent.
func KnownCalls(tables []string) map[string][]Kind {
	known := map[string][]Kind{}
	for _, op := range seldom {
		known[op] = []Kind{0, Forbidden, Throttled, Unavailable}
	}
	for _, op := range often {
		known[op] = []Kind{0, Upstream, Forbidden, Unauthorized, Throttled, Unavailable, Cancelled}
	}
	for _, name := range tables {
		t := Table{Name: name}
		for op, own := range map[string][]Kind{t.op(verbPage): {Expired}, t.op("get"): nil, t.op("count"): {AggregateLimit},
			t.op(opChanges): {Expired, Untracked}} {
			known[op] = append([]Kind{0, Upstream, NotFound, Forbidden, Unauthorized, Throttled, Unavailable, Cancelled,
				Invalid, UnknownColumn, TooLarge}, own...)
		}
	}
	return known
}

// openAtRest is how long a circuit counts as open for which nobody asks any more: the connection
// may be gone, or its requesters, and only a call could tell that the environment is back.
const openAtRest = 5 * time.Minute

// OpenCircuits is how many connections' calls are refused at present, or let through one at a
// time, because their environments did not answer.
func (c *Client) OpenCircuits() (open int) {
	now := time.Now()
	for _, one := range c.breakers.all() {
		one.mu.Lock()
		if !one.until.IsZero() && now.Sub(later(one.until, one.asked)) < openAtRest {
			open++
		}
		one.mu.Unlock()
	}
	return open
}

// all are the breakers that are known, at most maxBreakers.
func (b *breakers) all() []*breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*breaker, 0, len(b.known))
	for _, one := range b.known {
		list = append(list, one)
	}
	return list
}
