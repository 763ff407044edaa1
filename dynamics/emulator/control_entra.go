package emulator

import "time"

// Grant is what one sign-in left: all refresh tokens that go back to it.
type Grant struct {
	// ID is what [Control.RevokeGrant] takes. User is the UserName, Scope what was granted.
	ID    string `json:"id"`
	User  string `json:"user"`
	Scope string `json:"scope"`
	// SignedIn is when the person did. RefreshTokens were given out since, Valid of them still work.
	SignedIn      time.Time `json:"signed_in"`
	RefreshTokens int       `json:"refresh_tokens"`
	Valid         int       `json:"valid"`
}

// ExpireAccessTokens makes every access token given out so far answer 401. Refresh tokens stay good.
func (c Control) ExpireAccessTokens() { c.s.expired.Store(c.s.serial.Load()) }

// SetAccessTokenLifetime holds for the access tokens to come; 0 is the one of the options.
func (c Control) SetAccessTokenLifetime(d time.Duration) {
	if d <= 0 {
		d = c.s.opts.AccessTokenLifetime
	}
	c.s.rules.with(func(x *rules) { x.lifetime = d })
}

// Grants are the sign-ins that left a refresh token, the latest first.
func (c Control) Grants() []Grant { return c.s.grants.list(c.s.opts.Now()) }

// RevokeRefreshTokens ends the refresh tokens of a user (by UserName), or of everybody for "", and
// returns how many; the token endpoint answers AADSTS50173 for them. It is 0 for an unknown user.
func (c Control) RevokeRefreshTokens(userName string) int {
	chosen, ok := c.of(userName)
	if !ok {
		return 0
	}
	return c.s.grants.revoke(chosen)
}

// RevokeGrant ends the refresh tokens of one sign-in, by [Grant.ID], and returns how many.
func (c Control) RevokeGrant(id string) int {
	return c.s.grants.revoke(func(g grant) bool { return g.session == id })
}

// ExpireRefreshTokens ends the life of the refresh tokens of a user, or of everybody for "", as 90
// idle days do (AADSTS700082), and returns how many.
func (c Control) ExpireRefreshTokens(userName string) int {
	chosen, ok := c.of(userName)
	if !ok {
		return 0
	}
	return c.s.grants.expire(chosen, c.s.opts.Now())
}

// ChangePassword is an administrator's reset: the user's refresh tokens end (AADSTS50173) and a new
// sign-in works. It returns how many there were, and false for an unknown user. A change by the
// person alone leaves a confidential client's tokens alive.
func (c Control) ChangePassword(userName string) (int, bool) {
	u := c.s.dir.byUserName(userName)
	if u == nil {
		return 0, false
	}
	return c.s.grants.revoke(func(g grant) bool { return g.user == u }), true
}

// BlockSignIn disables the user's account at Entra, or enables it again: no sign-in and no refresh
// (AADSTS50057); access tokens stay good until they expire. It returns false for an unknown user.
// [User.Disabled] is about Dataverse.
func (c Control) BlockSignIn(userName string, blocked bool) bool {
	return c.rule(userName, func(x *rules, u *systemUser) { mark(x.blocked, u, blocked) })
}

// RequireMFA asks for a second factor, or no longer: refreshes of grants without one are refused (AADSTS50076, suberror
// basic_action, with claims) until the user has signed in again. It returns false for an unknown user.
func (c Control) RequireMFA(userName string, required bool) bool {
	return c.rule(userName, func(x *rules, u *systemUser) { mark(x.mfa, u, required) })
}

// WithdrawConsent takes back what the user agreed to: refreshes answer AADSTS65001 until he, or an
// administrator for all, has agreed again. It returns false for an unknown user.
func (c Control) WithdrawConsent(userName string) bool {
	return c.rule(userName, func(x *rules, u *systemUser) { x.withdrawn[u] = true })
}

// ExpireClientSecret makes the right secret answer AADSTS7000222, or be good again.
func (c Control) ExpireClientSecret(expired bool) {
	c.s.rules.with(func(x *rules) { x.secretExpired = expired })
}

// RequireAdminConsent is [Options.AdminConsentRequired] while the server runs; required forgets an
// administrator's consent.
func (c Control) RequireAdminConsent(required bool) {
	c.s.rules.with(func(x *rules) { x.adminOnly, x.adminAgreed = required, x.adminAgreed && !required })
}

// ChallengeClaims makes Dataverse answer 401 with error="insufficient_claims" to every token that
// was not asked with these claims, a JSON object; "" ends it. It returns false where claims is
// something else.
func (c Control) ChallengeClaims(claims string) bool {
	if checkClaims(claims) != nil {
		return false
	}
	c.s.rules.with(func(x *rules) { x.claims = claims })
	return true
}

// of chooses the grants of a user, or all for "".
func (c Control) of(userName string) (chosen func(grant) bool, ok bool) {
	if userName == "" {
		return func(grant) bool { return true }, true
	}
	u := c.s.dir.byUserName(userName)
	return func(g grant) bool { return g.user == u }, u != nil
}

func (c Control) rule(userName string, f func(*rules, *systemUser)) bool {
	u := c.s.dir.byUserName(userName)
	if u == nil {
		return false
	}
	c.s.rules.with(func(x *rules) { f(x, u) })
	return true
}

func mark(set map[*systemUser]bool, u *systemUser, on bool) {
	if on {
		set[u] = true
	} else {
		delete(set, u)
	}
}
