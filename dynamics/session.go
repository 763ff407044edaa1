package dynamics

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// Session is one piece of work for one connection. It asks the [TokenSource]
// again before every request but the first, which uses the Access of Open, so
// that a long run of pages outlives a token. It is bound to the environment and
// incarnation that Open found. Safe for concurrent use; needs no closing.
type Session struct {
	client      *Client
	connection  string
	environment string
	incarnation string
	principal   Principal

	mu       sync.Mutex
	first    *Access
	followed map[linkSum]bool
}

// Open asks the TokenSource for the connection's access and checks that its
// environment is allowed. The TokenSource's errors are returned as they are.
func (c *Client) Open(ctx context.Context, connection string) (*Session, error) {
	if c.config.Tokens == nil {
		return nil, errors.New("dynamics: Config.Tokens is missing")
	}
	a, err := c.config.Tokens.Access(ctx, connection)
	if err != nil {
		return nil, err
	}
	environment, err := c.config.Hosts.Environment(a.Environment)
	if err != nil {
		return nil, err
	}
	return &Session{client: c, connection: connection, environment: environment, incarnation: a.Incarnation, principal: a.Principal,
		first: &a, followed: map[linkSum]bool{}}, nil
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

// access gives the access for the next request.
func (s *Session) access(ctx context.Context, op string) (Access, error) {
	s.mu.Lock()
	first := s.first
	s.first = nil
	s.mu.Unlock()
	if first != nil {
		return *first, nil
	}
	a, err := s.client.config.Tokens.Access(ctx, s.connection)
	if err != nil {
		return Access{}, err
	}
	return a, s.same(op, a)
}

// same refuses an access that is not for what Open found: its token must not be
// sent to the old environment, nor old work be done under a new grant. Another user,
// whom a new grant may bring into the same incarnation, sees other rows, and labels
// in another language, which would be kept as the old user's.
func (s *Session) same(op string, a Access) error {
	if a.Incarnation == s.incarnation && a.Principal.User == s.principal.User && SameEnvironment(a.Environment, s.environment) {
		return nil
	}
	return &Error{Kind: Invalid, Op: op, Message: ErrConnectionChanged.Error() + "; open it again", Err: ErrConnectionChanged}
}

// renewals is how often a 401 is reported to the TokenSource for one request: the
// first time it has a newer token or makes one, the second time that token was
// refused as well, and it says what that means.
const renewals = 2

// do sends r with a token. A 401 costs a renewal and one more try.
func (s *Session) do(ctx context.Context, r request) error {
	a, err := s.access(ctx, r.op)
	if err != nil {
		return err
	}
	r.principal, r.lane = a.Principal, s.connection
	r.renewed = func(ctx context.Context) (string, error) {
		a, err := s.access(ctx, r.op)
		return a.Token.Reveal(), err
	}
	for range renewals {
		r.hidden = r.hidden.knowing(a.Token.Reveal())
		err = s.client.send(ctx, r, a.Token.Reveal())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != http.StatusUnauthorized {
			return err
		}
		a.Claims = NewSecret(e.Claims)
		renewed, refusal := s.client.config.Tokens.Refused(ctx, s.connection, a)
		if refusal != nil {
			return refusal
		}
		if changed := s.same(r.op, renewed); changed != nil {
			return changed
		}
		if renewed.Token.Reveal() == a.Token.Reveal() {
			return err // the same token would get the same answer
		}
		a = renewed
	}
	return s.client.send(ctx, r, a.Token.Reveal())
}

// get asks for a path below the Web API's root.
func (s *Session) get(ctx context.Context, r request, path, options string) error {
	to := s.to(path, options)
	r.origin, r.path, r.query = to.origin, to.path, to.query
	return s.do(ctx, r)
}

// to addresses a path below the Web API's root.
func (s *Session) to(path, options string) request {
	return request{origin: s.environment, path: s.client.root() + path, query: options}
}
