package plan

import "github.com/crmbridge/crmbridge/dynamics"

// Replan tries what needs a plan. Where Dataverse does not know a column that the
// metadata had, the table's metadata is out of date, and it is tried once more with new.
func (c *Catalog) Replan(session *dynamics.Session, of *Entity, try func(Planner) error) error {
	return c.ReplanIn(new(Columns), session, of, try)
}

// ReplanIn is [Catalog.Replan] in memory of the caller's: what it plans with is in columns.
func (c *Catalog) ReplanIn(columns *Columns, session *dynamics.Session, of *Entity, try func(Planner) error) error {
	for again := false; ; again = true {
		*columns = c.of(session, of)
		err := try(Planner{columns: columns})
		if again || dynamics.KindOf(err) != dynamics.UnknownColumn {
			return err
		}
		c.invalidate(session, of)
		session.Restart()
	}
}
