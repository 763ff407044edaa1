package dynamics

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Session is one piece of work for one connection. It asks the [TokenSource]
// again before every request but a first one that follows Open at once, so that a
// long run of pages outlives a token. It is bound to the environment, incarnation
// and user that Open found: where the source names others, or no longer knows the
// connection, nothing more is sent and no answer is delivered. Safe for concurrent
// use; needs no closing.
type Session struct {
	client      *Client
	connection  string
	environment string
	named       string // the environment, as the TokenSource named it
	incarnation string
	principal   Principal

	mu       sync.Mutex
	tables   []string  // that may be read, as the TokenSource last said
	first    Access    // what Open got, until it is used
	unused   bool      // it is there
	told     time.Time // when the TokenSource last said that the connection is what it was
	followed map[linkSum]bool
}

// Open asks the TokenSource for the connection's access and checks that its
// environment is allowed. The TokenSource's errors are returned as they are.
func (c *Client) Open(ctx context.Context, connection string) (*Session, error) {
	s := new(Session)
	if err := c.OpenIn(ctx, s, connection); err != nil {
		return nil, err
	}
	return s, nil
}

// OpenIn is Open in s, memory of the caller's, which nobody uses as a session any more. With
// an error s is none.
func (c *Client) OpenIn(ctx context.Context, s *Session, connection string) error {
	if c.config.Tokens == nil {
		return errors.New("dynamics: Config.Tokens is missing")
	}
	a, err := c.config.Tokens.Access(ctx, connection)
	if err != nil {
		return err
	}
	environment, err := c.config.Hosts.Environment(a.Environment)
	if err != nil {
		return err
	}
	*s = Session{client: c, connection: connection, environment: environment, named: a.Environment,
		incarnation: a.Incarnation, principal: a.Principal.in(environment), tables: a.Tables, first: a, unused: true,
		told: time.Now()}
	return nil
}

// Connection returns the connection's id.
func (s *Session) Connection() string { return s.connection }

// Environment returns the canonical environment URL.
func (s *Session) Environment() string { return s.environment }

// Incarnation returns the connection's incarnation.
func (s *Session) Incarnation() string { return s.incarnation }

// UserID returns the systemuserid whom the session acts as, "" if the TokenSource
// did not say it.
func (s *Session) UserID() string { return s.principal.User }

// Tables are the names of the tables that the person of the connection was told of, as
// the TokenSource last said.
func (s *Session) Tables() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tables)
}

// freshFor is how old may be what the TokenSource said when a token is sent or an
// answer delivered. A deleted connection must be out of use within a second; most of
// that belongs to the source, which hears of the deletion from another process.
const freshFor = 100 * time.Millisecond

// access gives the access for r, which is to be sent now.
func (s *Session) access(ctx context.Context, r *request) error {
	s.mu.Lock()
	usable := s.unused && r.now.Sub(s.told) <= freshFor
	if usable {
		r.asked.access = s.first
	}
	if s.unused {
		s.first, s.unused = Access{}, false
	}
	s.mu.Unlock()
	if usable {
		return nil
	}
	a, err := s.ask(ctx, r.op)
	r.asked.access, r.now = a, time.Time{}
	return err
}

// ask asks the TokenSource, and whether the connection still is what it was.
func (s *Session) ask(ctx context.Context, op string) (Access, error) {
	a, err := s.client.config.Tokens.Access(ctx, s.connection)
	if err != nil {
		return Access{}, err
	}
	return a, s.same(op, a)
}

// stands reports whether the TokenSource said a moment before now that the connection is what it
// was, and whether the table of that name, "" for none, may be read.
func (s *Session) stands(table string, now time.Time) (fresh, permitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.told) <= freshFor, table == "" || slices.Contains(s.tables, table)
}

// Confirm asks the TokenSource again, unless it was asked within the last tenth of a
// second, and returns its error, or ErrConnectionChanged, where the session's
// connection is gone or another one, or an error of kind NotConsented where it is no
// longer for t. It is for whoever waited, for another's answer too, and is about to
// deliver what belongs to the connection; the session's own calls do it by themselves.
func (s *Session) Confirm(ctx context.Context, t Table) error {
	return s.confirmOf(ctx, t, t.op("confirm"), time.Now())
}

// Permits returns an error of kind NotConsented where the person of the connection was
// not told that t is read, as the TokenSource last said. It is for whoever answers from
// what was read before; the session's own calls do it by themselves.
func (s *Session) Permits(t Table) error {
	if _, permitted := s.stands(t.Name, time.Time{}); permitted && t.Name != "" && t.check("") == nil {
		return nil // without the name of the operation to be made
	}
	return s.permits(t, t.op("open"))
}

// Await is for whoever waits for what another request asks the environment. It counts
// the caller among those whom a hanging environment keeps waiting, until done is called.
// ok is false where the connection's circuit is broken: then there is nothing to wait
// for, and a call of the caller's own is refused at once or let through to find out.
func (s *Session) Await() (done func(), ok bool) {
	circuit := s.client.breakers.of(s.connection, s.environment)
	if circuit.broken(time.Now()) {
		return func() {}, false
	}
	waits := circuit.watch()
	return func() { waits.end(time.Now()) }, true
}

// same refuses an access that is not for what Open found: its token must not be
// sent to the old environment, nor old work be done under a new grant. Another user,
// whom a new grant may bring into the same incarnation, sees other rows, and labels
// in another language, which would be kept as the old user's.
func (s *Session) same(op string, a Access) error {
	if a.Incarnation == s.incarnation && a.Principal.User == s.principal.User &&
		(a.Environment == s.named || SameEnvironment(a.Environment, s.environment)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told, s.tables = time.Now(), a.Tables
		return nil
	}
	return connectionChanged(op)
}

func connectionChanged(op string) error {
	return &Error{Kind: Invalid, Op: op, Message: ErrConnectionChanged.Error() + "; open it again",
		Err: ErrConnectionChanged}
}

// IsOf returns ErrConnectionChanged where the session's connection has another incarnation
// than the given one: work that was begun for a connection is not done for a later one of
// the same id.
func (s *Session) IsOf(incarnation string) error {
	if s.incarnation == incarnation {
		return nil
	}
	return connectionChanged("open")
}

// maxRenewals is how often a 401 is reported to the TokenSource for one request: the
// first time it has a newer token or makes one, the second time that token was
// refused as well, and it says what that means.
const maxRenewals = 2

// do sends r with a token. An answer that took long is not delivered for a connection
// that is gone meanwhile, or that was made again for fewer tables.
func (s *Session) do(ctx context.Context, r request) error { return s.run(ctx, &r) }

func (s *Session) run(ctx context.Context, r *request) error {
	if err := s.exchange(ctx, r); err != nil {
		return err
	}
	return s.confirmOf(ctx, r.table, r.op, r.now)
}

// confirmOf is asked before rows or metadata of a table are delivered; a request without a
// table has the zero Table.
func (s *Session) confirmOf(ctx context.Context, t Table, op string, now time.Time) error {
	fresh, permitted := s.stands(t.Name, now)
	if !fresh {
		if _, err := s.ask(ctx, op); err != nil {
			return err
		}
		_, permitted = s.stands(t.Name, now)
	}
	if !permitted {
		return s.permits(t, op)
	}
	return nil
}

// asked is what a session's request is sent with.
type asked struct {
	session *Session
	access  Access
}

// token gives the token for an attempt.
func (a *asked) token(ctx context.Context, r *request, again bool) (string, error) {
	fresh, permitted := a.session.stands(r.table.Name, r.now)
	if again || !fresh {
		now, err := a.session.ask(ctx, r.op)
		if err != nil {
			return "", err
		}
		a.access, r.now = now, time.Now() // a 401 is about this one
		_, permitted = a.session.stands(r.table.Name, r.now)
	}
	if !permitted { // the connection may have been made again for fewer tables
		return "", a.session.permits(r.table, r.op)
	}
	return a.access.Token.Reveal(), nil
}

// exchange sends r. A 401 costs a renewal and one more try.
func (s *Session) exchange(ctx context.Context, r *request) (err error) {
	if r.now.IsZero() {
		r.now = time.Now()
	}
	if err = s.access(ctx, r); err != nil {
		return err
	}
	a := &r.asked.access
	r.principal, r.queue, r.environment = a.Principal.in(s.environment), s.connection, s.environment
	r.daily = a.DailyCalls
	r.asked.session, r.tokens = s, &r.asked
	for range maxRenewals {
		r.know(a.Token.Reveal())
		if err = s.client.send(ctx, r, a.Token.Reveal()); err == nil {
			return nil
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Kind != Unauthorized {
			return err
		}
		a.Claims = NewSecret(e.Claims)
		renewed, refusal := s.client.config.Tokens.Refused(ctx, s.connection, *a)
		if refusal != nil {
			return refusal
		}
		if changed := s.same(r.op, renewed); changed != nil {
			return changed
		}
		if renewed.Token.Reveal() == a.Token.Reveal() {
			return err // the same token would get the same answer
		}
		*a, r.now = renewed, time.Time{}
	}
	return s.client.send(ctx, r, a.Token.Reveal())
}

// get asks for a path below the Web API's root.
func (s *Session) get(ctx context.Context, r request, path, options string) error {
	to := s.to(path, options)
	r.origin, r.path, r.query = to.origin, to.path, to.query
	return s.do(ctx, r)
}

// getOf asks for a path of a table that the connection may read.
func (s *Session) getOf(ctx context.Context, t Table, r request, path, options string) error {
	if err := s.permits(t, r.op); err != nil {
		return err
	}
	r.table = t
	return s.get(ctx, r, path, options)
}

// to addresses a path below the Web API's root.
func (s *Session) to(path, options string) request {
	return request{origin: s.environment, path: s.client.root() + path, query: options}
}
