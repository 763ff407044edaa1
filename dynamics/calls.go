package dynamics

// often are the calls of no table that requests and sign-ins make, seldom those of checks of a
// connection.
var (
	often = []string{"challenge", "whoami", "names.user", "names.organization", "metadata.columns", "metadata.dates",
		"metadata.options", "metadata.secured", "users.get", "users.find"}
	seldom = []string{"roles.read", "teams.read", "teams.roles", "probe.metadata", "probe.roles", "probe.teams"}
)

// KnownCalls lists what [Call].Op is of the calls that are made most, those for the rows of some
// tables among them, and for each the kinds that it most often ends with; 0 is success. Others
// are rare.
func KnownCalls(tables []string) map[string][]Kind {
	known := map[string][]Kind{}
	for _, op := range seldom {
		known[op] = []Kind{0, Forbidden, Unavailable}
	}
	for _, op := range often {
		known[op] = []Kind{0, Upstream, Forbidden, Unauthorized, Throttled, Unavailable}
	}
	for _, name := range tables {
		t := Table{Name: name}
		for _, op := range []string{t.op(verbPage), t.op("get"), t.op("count"), t.op(opChanges)} {
			known[op] = []Kind{0, Upstream, NotFound, Forbidden, Unauthorized, Throttled, Unavailable, Cancelled}
		}
	}
	return known
}

// OpenCircuits is how many connections' calls are refused at present, or let through one at a
// time, because their environments did not answer.
func (c *Client) OpenCircuits() (open int) {
	for _, one := range c.breakers.all() {
		one.mu.Lock()
		if !one.until.IsZero() {
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
