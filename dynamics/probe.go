package dynamics

import "context"

// A Probe is one thing that a user may or may not be allowed to read, tried with
// the smallest request that needs just that.
type Probe int

// The probes. Each but ProbeMetadata asks for one row of a table, and so needs the
// privilege to read that table and no other.
const (
	ProbeUsers    Probe = iota + 1 // prvReadUser
	ProbeRoles                     // prvReadRole
	ProbeTeams                     // prvReadTeam
	ProbeAccounts                  // prvReadAccount
	ProbeMetadata                  // prvReadEntity, prvReadAttribute
)

// Try makes a probe; nil means that the user may. How many rows the user may see
// it does not tell: Dataverse leaves the others out without a word.
func (s *Session) Try(ctx context.Context, p Probe) error {
	tables := map[Probe]struct{ set, key string }{ProbeUsers: {"systemusers", "systemuserid"},
		ProbeRoles: {"roles", "roleid"}, ProbeTeams: {"teams", "teamid"}, ProbeAccounts: {accounts, "accountid"}}
	if table, ok := tables[p]; ok {
		var page relatedPage[struct{}]
		r := request{op: "probe." + table.set, prefer: "odata.maxpagesize=1", most: maxRelatedBody, read: page.read}
		return s.get(ctx, r, table.set, "$select="+table.key)
	}
	if p != ProbeMetadata {
		return refuse("probe", "", "%d is no probe", p)
	}
	r := request{op: "probe.metadata", most: maxSmallBody, read: func(b *body) error {
		var column struct{ LogicalName string }
		if err := into(&column)(b); err != nil {
			return err
		}
		if column.LogicalName != "name" {
			return pageFault("another column than the one that was asked for")
		}
		return nil
	}}
	return s.get(ctx, r, accountAttributes+"(LogicalName='name')", "$select=LogicalName")
}
