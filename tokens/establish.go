package tokens

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// establish stores the grant of a redeemed attempt. state is the attempt's key.
// who has the ids and names of user and organization.
func (a *Authorizer) establish(ctx context.Context, state string, st attempt, who Connection) (Connection, error) {
	if !guid.MatchString(who.UserID) || !guid.MatchString(who.OrganizationID) {
		return Connection{}, newError(CodeUpstreamError, "Dataverse did not say who the user is", nil)
	}
	for range saveTries {
		old, err := a.store.load(ctx, st.Connection)
		if CodeOf(err) == CodeConnectionNotFound || err == nil && old.Incarnation != st.Incarnation {
			return Connection{}, newError(CodeInvalidState, "the connection was deleted or replaced "+
				"meanwhile; ask for a new "+
				"connect link", nil)
		}
		if err != nil {
			return Connection{}, err
		}
		if old.authorizedBy == state {
			return old.public(), nil // saved before, only the answer was lost
		}
		if err := fits(old, st.Environment, who.UserID, st.AllowUserChange); err != nil {
			return Connection{}, err
		}
		if err := a.useUp(ctx, st.Ticket, state); err != nil {
			return Connection{}, err
		}
		if old.Status == StatusPending { // nobody has used this incarnation yet
			a.clear(ctx, old.ID)
		}
		saved, err := a.store.saveChange(ctx, st.granted(old, state, who), ChangeConnected)
		if err == nil {
			return saved.public(), nil
		}
		if !errors.Is(err, errConflict) {
			return Connection{}, err
		}
	}
	return Connection{}, busy(st.Connection)
}

// fits checks that the new grant may take the place of the old one.
func fits(old record, environment, user string, allowChange bool) error {
	if old.EnvironmentURL != environment {
		return exists(old)
	}
	if old.Status != StatusPending && !same(old.UserID, user) && !allowChange {
		return newError(CodeIdentityMismatch, "another user connected "+old.ID+
			" before; sign in as that user, or authorize again with allow_user_change", nil)
	}
	return nil
}

func (st attempt) granted(old record, state string, who Connection) record {
	r, g := old, st.Redeemed
	r.access, r.refresh = Secret(g.Access), Secret(g.Refresh)
	r.Scopes, r.TenantID, r.Tables = g.Scopes, g.Tenant, recorded(st.Tables)
	r.AccessTokenExpiresAt, r.RefreshedAt = g.Expires, g.At
	r.DailyCalls = cmp.Or(st.DailyCalls, r.DailyCalls)
	r.Connection = r.actingAs(who)
	r.Status, r.LastError, r.Grant = StatusActive, "", GrantAuthorizationCode
	r.authorizedBy, r.forcedAt, r.claims = state, time.Time{}, ""
	return r
}

// actingAs is c with the user and the organization of who.
func (c Connection) actingAs(who Connection) Connection {
	c.UserID, c.OrganizationID = who.UserID, who.OrganizationID
	c.UserName, c.UserFullName, c.OrganizationName = who.UserName, who.UserFullName, who.OrganizationName
	return c
}

// useUp lets exactly one state of a ticket make the connection.
func (a *Authorizer) useUp(ctx context.Context, key, state string) error {
	for range saveTries {
		t, at, err := load[ticket](ctx, a.store, key, ticketPurpose)
		switch {
		case errors.Is(err, errMissing):
			return badState()
		case err != nil:
			return err
		case t.UsedBy == state:
			return nil
		case t.UsedBy != "":
			return badState()
		}
		t.UsedBy, t.Failed = state, nil // what a later opening ended with is not how the link ended
		if _, err = change(ctx, a.store, at, t, keepTTL); !errors.Is(err, errConflict) {
			return err
		}
	}
	return &Error{Code: CodeUnavailable, Message: "this connect link is being changed by others; try again",
		Retryable: true}
}

// clockSkew is how wrong this machine's clock may be about Entra's.
const clockSkew = 10 * time.Minute

// directory returns the directory that the tokens are of. Entra answers openid
// with an id token. An authority that sends none is taken at its address: what
// the endpoint of one directory gives out is that directory's; "" where the
// address names none.
func (st attempt) directory(idToken Secret, client string, now time.Time) (string, error) {
	switch {
	case idToken != "":
		return tenantOf(idToken, client, now)
	case guid.MatchString(st.Tenant):
		return st.Tenant, nil
	case st.Directory != "":
		return "", newError(CodeUpstreamError, "Entra sent no id token, so that nothing says whether the person is of "+
			"directory "+st.Directory, nil)
	}
	return "", nil
}

// tenantOf returns the directory of an id token. The token came straight from
// the token endpoint over TLS, which OpenID Connect (section 3.1.3.7) accepts in
// place of its signature.
func tenantOf(idToken Secret, client string, now time.Time) (string, error) {
	bad := func(why string) (string, error) {
		return "", newError(CodeUpstreamError, "Entra's id token is not usable: "+why, nil)
	}
	parts := strings.Split(idToken.Reveal(), ".")
	if len(parts) != 3 {
		return bad("it is missing or not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return bad("its claims are not base64url")
	}
	var claims struct {
		Audience jsontext.Value `json:"aud"`
		Tenant   string         `json:"tid"`
		Expires  float64        `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return bad("its claims are not JSON of the expected form")
	}
	var audience string
	switch {
	case json.Unmarshal(claims.Audience, &audience) != nil || !same(audience, client):
		return bad("it is for another application")
	case !guid.MatchString(claims.Tenant):
		return bad("it names no directory")
	case claims.Expires <= 0 || now.Add(-clockSkew).After(time.Unix(int64(min(claims.Expires, 1<<40)), 0)):
		return bad("it has expired; check this machine's clock")
	}
	return claims.Tenant, nil
}

var aadsts = regexp.MustCompile(`\bAADSTS(\d{4,8})\b`)

// numberIn finds Entra's error number in a description, of which nothing else is used.
func numberIn(description string) []int {
	m := aadsts.FindStringSubmatch(description)
	if m == nil {
		return nil
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return nil
	}
	return []int{n}
}
