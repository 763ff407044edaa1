package dynamics

import "context"

// A Probe is one thing that a user may or may not be allowed to read, tried with
// the smallest request that needs just that.
type Probe int

// The probes of tables that are crmbridge's own business. [Session.TryRows] and
// [Session.TryMetadata] try the others.
const (
	ProbeUsers Probe = iota + 1 // prvReadUser
	ProbeRoles                  // prvReadRole
	ProbeTeams                  // prvReadTeam
)

// probes are the tables of the probes: the names of their sets and keys.
var probes = map[Probe]struct{ set, key string }{
	ProbeUsers: {"systemusers", "systemuserid"},
	ProbeRoles: {"roles", "roleid"},
	ProbeTeams: {"teams", "teamid"},
}

// Try makes a probe; nil means that the user may. How many rows the user may see
// it does not tell: Dataverse leaves the others out without a word.
func (s *Session) Try(ctx context.Context, p Probe) error {
	table, ok := probes[p]
	if !ok {
		return refuse("probe", "", "%d is no probe", p)
	}
	return s.get(ctx, probeRows("probe."+table.set), table.set, "$select="+table.key)
}

// TryRows asks for one row of t; nil means that the user may read rows.
func (s *Session) TryRows(ctx context.Context, t Table) error {
	return s.getOf(ctx, t, probeRows("probe."+t.Name), t.Set, "$select="+t.Key)
}

func probeRows(op string) request {
	var page relatedPage[struct{}]
	return request{op: op, prefer: "odata.maxpagesize=1", most: maxRelatedBody, read: page.read}
}

// TryMetadata asks for one column of t, for which a user needs prvReadEntity and
// prvReadAttribute.
func (s *Session) TryMetadata(ctx context.Context, t Table) error {
	r := request{op: "probe.metadata", most: maxSmallBody, read: func(b *body) error {
		var column struct{ LogicalName string }
		if err := into(&column)(b); err != nil {
			return err
		}
		if column.LogicalName != t.Key {
			return pageFault("another column than the one that was asked for")
		}
		return nil
	}}
	return s.getOf(ctx, t, r, t.attributes()+"(LogicalName='"+t.Key+"')", "$select=LogicalName")
}
