package tokens

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// Access is a token that is good now, and the only place it may be sent to.
type Access struct {
	Environment string // canonical origin
	Incarnation string
	Token       Secret
	ExpiresAt   time.Time
	// Tables are the names of the tables that may be read with it: those that the person
	// was told of. The caller does not change them.
	Tables []string
	// DailyCalls is what the customer allows the user a day, 0 for any number of calls.
	DailyCalls int
	// OrganizationID and UserID are whom the token acts as in Dataverse, which counts
	// its limits by them and speaks the user's language.
	OrganizationID, UserID string
	// Claims is the claims challenge that came with Dataverse's refusal, as sent;
	// only in the argument of [Source.Refused], "" where there was none.
	Claims Secret

	held *Secret // see Held
}

// Held is the token where this process keeps it: the same place for as long as the token is
// the connection's newest, so that giving it on costs nothing. What it points to is never
// changed.
func (a Access) Held() *Secret {
	if a.held == nil {
		token := a.Token
		return &token
	}
	return a.held
}

// forcedPause is how long after a forced refresh no other one is tried: a
// Dataverse that refuses every token must not become a flood at Entra.
const forcedPause = time.Minute

// Access returns a token for the connection. A token near its end is renewed in
// the background and used meanwhile; an ended one is waited for. ctx bounds the
// wait of this caller and never cancels the refresh for others.
//
// Errors: connection_not_found, reauthorization_required, throttled,
// configuration_error, unavailable, upstream_error; deadline_exceeded when ctx
// ended first.
func (s *Source) Access(ctx context.Context, connection string) (Access, error) {
	now := time.Now()
	h := s.newest(connection, now)
	if h == nil {
		var err error
		if h, err = s.usable(ctx, connection); err != nil {
			return Access{}, err
		}
		now = time.Now()
	}
	if err := s.entra.listed(&h.record); err != nil {
		return Access{}, err
	}
	if now.UnixNano() < h.calm { // nearly every request ends here
		return h.access(), nil
	}
	return s.nearItsEnd(ctx, h, now)
}

// nearItsEnd is Access with a token whose renewal is due, or that has ended.
func (s *Source) nearItsEnd(ctx context.Context, h *held, now time.Time) (Access, error) {
	r := h.record
	switch left := r.AccessTokenExpiresAt.Sub(now); {
	case left > s.margin(r, left):
		return h.access(), nil
	case left > urgent(r):
		s.refreshInBackground(r)
		return h.access(), nil
	case left > lastMoment && s.local.isAway():
		return h.access(), nil // nothing better can be had now
	}
	fresh, err := s.await(ctx, r, false)
	if err != nil {
		// A token that is good for seconds more is better than Entra's trouble.
		if f, ok := errors.AsType[*Error](err); ok && f.Retryable && time.Until(r.AccessTokenExpiresAt) > lastMoment {
			// It may have been deleted or replaced while this request waited.
			now, gone := s.usable(ctx, r.ID)
			if gone != nil {
				return Access{}, gone
			}
			if now.is(r) {
				return now.access(), nil
			}
		}
		return Access{}, err
	}
	return fresh.grant(), nil
}

// lastMoment is how much life a token must have left to be sent when no other
// one can be had.
const lastMoment = 2 * time.Second

// ErrRefused is the cause of the error that [Source.Refused] gives while Dataverse
// refuses tokens that are new.
var ErrRefused = errors.New("new tokens are refused by Dataverse")

// refusedAgain is when a request is sent again whose new token was refused.
const refusedAgain = 5 * time.Second

// Refused says that Dataverse answered 401 to a.Token. It returns the stored
// token if that is another one by now, otherwise one forced refresh's. Errors as
// [Source.Access], and unavailable with [ErrRefused] when a token from a forced
// refresh of the last minute is refused: Entra has just let the user in, so that
// this may pass by itself. Only a verdict of Entra sends for a person.
func (s *Source) Refused(ctx context.Context, connection string, a Access) (Access, error) {
	r, err := s.read(ctx, connection)
	if err != nil {
		return Access{}, err
	}
	other := subtle.ConstantTimeCompare([]byte(r.access), []byte(a.Token)) == 0
	if other && time.Until(r.AccessTokenExpiresAt) > urgent(r) {
		return r.grant(), nil
	}
	r.challenge = readClaims(a.Claims.Reveal())
	if !other && time.Since(r.forcedAt) < forcedPause {
		if r.challenge != "" {
			s.store.note(ctx, r.ID, r.Incarnation, r.challenge)
		}
		return Access{}, &Error{Code: CodeUnavailable, Retryable: true, RetryAfter: refusedAgain, Err: ErrRefused,
			Message: "Dataverse refuses the token of connection " + connection +
				" although it is new, which may pass by itself; send the request again, and if this stays, " +
				"look into it with " +
				"connections.check"}
	}
	fresh, err := s.await(ctx, r, !other)
	if err != nil {
		return Access{}, err
	}
	return fresh.grant(), nil
}

// newest returns the copy in memory that is known to be the newest, nil for none.
func (s *Source) newest(connection string, now time.Time) *held {
	h, due := s.local.get(connection, now)
	if due {
		s.used(h.record)
	}
	return h
}

// usable returns a connection that has a grant: the copy in memory, or what
// Redis holds, or, while Redis is away, a copy that may still be used (localCutOff).
// With an error it returns what was read all the same, never nil.
func (s *Source) usable(ctx context.Context, connection string) (*held, error) {
	now := time.Now()
	if h := s.newest(connection, now); h != nil {
		return h, nil
	}
	copied := s.local.fallback(connection, now)
	if copied == nil {
		return s.look(ctx, connection)
	}
	if !s.local.mayTry(now) {
		return copied, nil
	}
	trying, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	h, err := s.look(trying, connection)
	if f, ok := errors.AsType[*Error](err); ok && ctx.Err() == nil &&
		(f.Code == CodeUnavailable || f.Code == CodeDeadlineExceeded) {
		s.local.failed(time.Now())
		if copied := s.local.fallback(connection, time.Now()); copied != nil {
			return copied, nil
		}
		// The copy was dropped meanwhile, for a change that was heard of or made here: now
		// the request cannot do without Redis, and may take all of its own time for it.
		return s.look(ctx, connection)
	}
	return h, err
}

// look is read in the form of a copy.
func (s *Source) look(ctx context.Context, connection string) (*held, error) {
	r, err := s.read(ctx, connection)
	return hold(r), err
}

// tryTime bounds a look at Redis by a request that could do without.
const tryTime = time.Second

// read returns what Redis holds, if it is a connection with a grant.
func (s *Source) read(ctx context.Context, connection string) (record, error) {
	now := time.Now()
	place := s.local.begin(connection, now)
	load := s.store.load
	if !s.local.proven(now) {
		load = s.store.loadProven
	}
	r, err := load(ctx, connection)
	if err != nil {
		if CodeOf(err) != CodeUnavailable {
			s.local.drop(connection)
		}
		return record{}, late(ctx, err)
	}
	if s.local.put(place, r) {
		s.used(r)
	}
	return r, r.grantError()
}

func (r record) grantError() error {
	switch r.Status {
	case StatusActive:
		return nil
	case StatusPending:
		return newError(CodeReauthorizationRequired, "connection "+r.ID+
			" is not connected yet; a person must open its connect link", nil)
	}
	return newError(CodeReauthorizationRequired, r.LastError, nil)
}

func (r *record) grant() Access {
	return Access{Environment: r.EnvironmentURL, Incarnation: r.Incarnation, Token: r.access,
		ExpiresAt: r.AccessTokenExpiresAt, Tables: r.Tables, DailyCalls: r.DailyCalls,
		OrganizationID: r.OrganizationID, UserID: r.UserID}
}

func (r *record) tokenLife() time.Duration {
	return max(r.AccessTokenExpiresAt.Sub(r.RefreshedAt), 0)
}

// urgent is how much life a token must have left to be sent without waiting for
// another: long enough for a slow call.
func urgent(r record) time.Duration { return min(30*time.Second, r.tokenLife()/10) }

// margin is how long before its end a token is refreshed in the background: at most
// 5 minutes and a quarter of its life, less up to a quarter of that, so that
// processes do not begin at once. It is the same for every request of a process.
func (s *Source) margin(r record, left time.Duration) time.Duration {
	m := renewBefore(&r)
	if left > m {
		return m
	}
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, s.name, r.ID, r.Version)
	return m - m/4*time.Duration(h.Sum32()%1000)/1000
}

// late turns an error that comes from the end of the caller's context into the
// code that says so.
func late(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &Error{Code: CodeDeadlineExceeded, Message: "the request ended before there was a token", Retryable: true,
		Err: context.Cause(ctx)}
}
