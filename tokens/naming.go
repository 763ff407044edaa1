package tokens

import (
	"context"
	"errors"
)

// nameInBackground asks for the names of r's user and organization where they are not
// known: in records from before names were asked for, and where the environment did not
// give them. An error changes nothing; the next renewal asks again.
func (s *Source) nameInBackground(r record) {
	if s.names == nil || r.isNamed() || r.UserID == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.loops, 2*namesTime)
		defer cancel()
		_ = guard(s.log, "the search for names", r.ID, func() error { // a name is worth no process
			s.findNames(ctx, r)
			return nil
		})
	})
}

func (s *Source) findNames(ctx context.Context, r record) {
	asking, cancel := context.WithTimeout(ctx, namesTime)
	named := r.named(s.names(asking, r.EnvironmentURL, r.access.Reveal(), r.UserID, r.OrganizationID))
	cancel()
	if named.UserName == r.UserName && named.UserFullName == r.UserFullName &&
		named.OrganizationName == r.OrganizationName {
		return
	}
	for ctx.Err() == nil {
		// Under the lock of refreshes: a write between a refresh and its save would make
		// the save fail, and the new grant be lost.
		release, err := s.locks.hold(ctx, refreshKey(r.ID))
		if err == nil {
			err = s.rename(ctx, r, named)
			release()
		}
		if !errors.Is(err, errTaken) && !errors.Is(err, errConflict) {
			return
		}
		if !pause(ctx, pollLong) {
			return
		}
	}
}

// rename writes the names into the record that is there now, if it is of the same
// user still.
func (s *Source) rename(ctx context.Context, r record, named Connection) error {
	now, err := s.store.load(ctx, r.ID)
	if err != nil || now.Incarnation != r.Incarnation || now.UserID != r.UserID ||
		now.OrganizationID != r.OrganizationID {
		return err
	}
	now.Connection = now.actingAs(named)
	_, err = s.store.put(ctx, now.fence(), now, keepTTL)
	return err
}
