package handlers

import "github.com/crmbridge/crmbridge/dynamics"

// planned runs what plans a query with what is remembered of the environment's
// columns and then asks it. Where Dataverse does not know a column that the
// metadata had, the metadata is out of date: it is read anew, once.
func planned[T any](known *catalog, session *dynamics.Session, ask func(*columns) (T, error)) (T, error) {
	out, err := ask(known.of(session))
	if dynamics.KindOf(err) != dynamics.UnknownColumn {
		return out, err
	}
	known.forget(session)
	return ask(known.of(session))
}
