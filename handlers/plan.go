package handlers

import "github.com/crmbridge/crmbridge/dynamics"

// planned tries what needs a plan. Where Dataverse does not know a column that the
// metadata had, the metadata is out of date, and it is tried once more with new.
func (o *Operations) planned(session *dynamics.Session, try func(planner) error) error {
	for again := false; ; again = true {
		err := try(planner{columns: o.catalog.of(session)})
		if again || dynamics.KindOf(err) != dynamics.UnknownColumn {
			return err
		}
		o.catalog.forget(session)
		session.Restart()
	}
}
