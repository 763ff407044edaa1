package dynamics

// Calls lists what [Call].Op is of calls that belong to no table, and to these; a name that
// is not here is of a call that is rare.
func Calls(tables []string) []string {
	all := []string{"challenge", "whoami", "names.user", "names.organization", "metadata.columns", "metadata.dates",
		"metadata.options", "metadata.secured", "roles.read", "teams.read", "teams.roles", "users.get", "users.find",
		"probe.metadata", "probe." + probes[ProbeRoles].set, "probe." + probes[ProbeTeams].set}
	for _, name := range tables {
		t := Table{Name: name}
		all = append(all, t.op(verbPage), t.op("get"), t.op("count"), t.op(opChanges))
	}
	return all
}

// CallOutcomes are the kinds that a call which was sent most often ends with; 0 is success.
func CallOutcomes() []Kind {
	return []Kind{0, Upstream, NotFound, Forbidden, Unauthorized, Throttled, Unavailable, Cancelled}
}

// OpenCircuits is how many connections' calls are refused at present, or let through one at a
// time, because their environments did not answer.
func (c *Client) OpenCircuits() int {
	now := c.breakers.all()
	open := 0
	for _, one := range now {
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
