package emulator

import (
	"sync"
	"time"
)

// rules are what an administrator may change while the server runs.
type rules struct {
	mu            sync.Mutex
	blocked       map[*systemUser]bool // sign-in blocked at Entra
	mfa           map[*systemUser]bool // a second factor is required
	withdrawn     map[*systemUser]bool // consent was taken back
	secretExpired bool
	adminOnly     bool // users may not consent
	adminAgreed   bool
	appBlocked    bool   // Dataverse takes no token of the application
	claims        string // what the data service wants tokens to have been asked with
	lifetime      time.Duration
	seen          map[string]time.Time // identifiers of assertions, until they have expired
}

func newRules(o Options) *rules {
	return &rules{blocked: map[*systemUser]bool{}, mfa: map[*systemUser]bool{}, withdrawn: map[*systemUser]bool{},
		seen: map[string]time.Time{}, adminOnly: o.AdminConsentRequired, lifetime: o.AccessTokenLifetime}
}

// with runs f under the lock.
func (x *rules) with(f func(*rules)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f(x)
}

func (x *rules) secretIsExpired() (expired bool) {
	x.with(func(x *rules) { expired = x.secretExpired })
	return expired
}

func (x *rules) accessLifetime() (d time.Duration) {
	x.with(func(x *rules) { d = x.lifetime })
	return d
}

func (x *rules) claimsWanted() (claims string) {
	x.with(func(x *rules) { claims = x.claims })
	return claims
}

func (x *rules) isBlocked(u *systemUser) (blocked bool) {
	x.with(func(x *rules) { blocked = x.blocked[u] })
	return blocked
}

func (x *rules) needsFactor(u *systemUser) (needs bool) {
	x.with(func(x *rules) { needs = x.mfa[u] })
	return needs
}

// consented says whether the person, or the administrator, has agreed and not taken it back.
func (x *rules) consented(u *systemUser) (ok bool) {
	x.with(func(x *rules) { ok = !x.withdrawn[u] })
	return ok
}

// agree is consent on the sign-in page; false where only an administrator may give it.
func (x *rules) agree(u *systemUser) (ok bool) {
	x.with(func(x *rules) {
		if ok = !x.adminOnly || x.adminAgreed; ok {
			delete(x.withdrawn, u)
		}
	})
	return ok
}

// adminAgrees is consent for everybody.
func (x *rules) adminAgrees() {
	x.with(func(x *rules) {
		x.adminAgreed = true
		clear(x.withdrawn)
	})
}

// firstUse remembers the identifier until it may be forgotten, and says whether it was new.
func (x *rules) firstUse(id string, now, until time.Time) (first bool) {
	x.with(func(x *rules) {
		for k, t := range x.seen {
			if now.After(t) {
				delete(x.seen, k)
			}
		}
		_, used := x.seen[id]
		first = !used && len(x.seen) < 100_000
		if first {
			x.seen[id] = until
		}
	})
	return first
}

// refusal says why a grant that was good gives no token now; nil where nothing stands against it.
func (s *Server) refusal(g grant) *entraError {
	switch {
	case s.rules.isBlocked(g.user):
		return refuse("invalid_grant", 50057, "The user account is disabled.")
	case !s.rules.consented(g.user):
		e := s.noConsent("invalid_grant")
		e.suberror = "consent_required"
		return e
	case s.rules.needsFactor(g.user) && !g.mfa:
		return s.factorRequired("invalid_grant")
	}
	return nil
}

func (s *Server) noConsent(kind string) *entraError {
	return refuse(kind, 65001, "The user or administrator has not consented to use the application with ID '%s' named 'crmbridge'. Send an interactive authorization request for this user and resource.", s.opts.ClientID)
}

// factorRequired carries the claims that an interactive request must send along.
func (s *Server) factorRequired(kind string) *entraError {
	e := refuse(kind, 50076, "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '00000007-0000-0000-c000-000000000000'.")
	e.suberror = "basic_action"
	e.claims = `{"access_token":{"capolids":{"essential":true,"values":["` +
		namedGUID("policy", s.opts.TenantID).String() + `"]}}}`
	return e
}
