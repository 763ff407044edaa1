package tokens

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// complete is the work on a claimed state, from top to bottom.
func (a *Authorizer) complete(ctx context.Context, at fence, st attempt, cb Callback) (Connection, error) {
	if st.Phase == phaseRedeeming {
		redeemed, err := a.redeemed(ctx, st, cb)
		if err != nil {
			return Connection{}, a.give(ctx, at, st, err)
		}
		st.Phase, st.Redeemed = phaseRedeemed, &redeemed
		if at, err = a.settle(ctx, at, st); err != nil {
			return Connection{}, err
		}
	}
	user, organization, err := a.identify(ctx, st.Environment, st.Redeemed.Access)
	if err != nil {
		return Connection{}, a.give(ctx, at, st, identifyError(err))
	}
	user, organization = strings.ToLower(user), strings.ToLower(organization)
	c, err := a.establish(ctx, at.key, st, Connection{UserID: user, OrganizationID: organization}.
		named(a.called(ctx, st.Environment, st.Redeemed.Access, user, organization)))
	if err != nil {
		return Connection{}, a.give(ctx, at, st, err)
	}
	st.Phase, st.Redeemed, st.Verifier, st.Result = phaseDone, nil, "", &c
	// The connection is made; if this is lost, the same callback finds it again.
	_, _ = a.settle(ctx, at, st)
	return c, nil
}

// namesTime bounds the questions for names, which nothing waits for longer.
const namesTime = 5 * time.Second

func (a *Authorizer) called(ctx context.Context, environment, access, user, organization string) Names {
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	return a.names(ctx, environment, access, user, organization)
}

// redeemed turns the callback into tokens that are checked to be for this
// application and the environment's directory.
func (a *Authorizer) redeemed(ctx context.Context, st attempt, cb Callback) (grantedTokens, error) {
	if t, _, err := load[ticket](ctx, a.store, st.Ticket, ticketPurpose); err != nil || t.UsedBy != "" {
		if err != nil && !errors.Is(err, errMissing) {
			return grantedTokens{}, err
		}
		return grantedTokens{}, badState()
	}
	if cb.Error != "" {
		// Whoever holds the link writes what the browser brings. How the application proves itself is
		// asked at Entra's token endpoint alone, and only that may say that the proof is wrong.
		numbers := slices.DeleteFunc(numberIn(cb.ErrorDescription), func(n int) bool { return ofAll[n] })
		said := refusal{Error: cb.Error, Codes: numbers}
		if said.Error == "invalid_client" {
			said.Error = "" // likewise
		}
		return grantedTokens{}, a.withConsent(said.verdict("authorization_code"), st)
	}
	ans, err := a.entra.redeem(ctx, st.Tenant, st.Environment, a.RedirectURL(), cb.Code, Secret(st.Verifier))
	if err != nil {
		if f, ok := errors.AsType[*Error](err); ok && f.claims != nil {
			a.store.note(ctx, st.Connection, st.Incarnation, f.claims()) // the next sign-in is asked for them
		}
		return grantedTokens{}, a.withConsent(err, st)
	}
	tenant, err := st.directory(ans.id, a.entra.id, time.Now())
	if err != nil {
		return grantedTokens{}, err
	}
	if echoes(Secret(tenant), ans.access, ans.refresh, cb.Code, Secret(st.Verifier)) {
		return grantedTokens{}, newError(CodeUpstreamError, "Entra's id token is not usable: it "+
			"names no directory", nil)
	}
	if ans.refresh == "" {
		return grantedTokens{}, newError(CodeUpstreamError, "Entra gave no refresh token; the app "+
			"registration must allow "+
			"offline_access", nil)
	}
	if st.Directory != "" && !same(st.Directory, tenant) {
		return grantedTokens{}, newError(CodeIdentityMismatch, "the person signed in to directory "+tenant+
			", but the environment belongs to "+st.Directory+"; sign in with an account of that directory", nil)
	}
	return grantedTokens{
		Access: ans.access.Reveal(), Refresh: ans.refresh.Reveal(), Scopes: ans.scopes,
		At: ans.at, Expires: ans.expires, Tenant: strings.ToLower(tenant),
	}, nil
}

func (a *Authorizer) withConsent(err error, st attempt) error {
	if f, ok := errors.AsType[*Error](err); ok && f.Code == CodeConsentRequired {
		f.AdminConsentURL = a.entra.adminConsentURL(firstOf(st.Directory, st.Tenant), userScope(st.Environment),
			a.RedirectURL())
	}
	return err
}

// identifyError keeps a refusal; everything else is an outage, after which the
// same callback may continue.
func identifyError(err error) error {
	f, ok := errors.AsType[*Error](err)
	switch {
	case ok && f.Code == CodePermissionDenied:
		return f
	case ok && f.Retryable:
		return f
	}
	return &Error{Code: CodeUnavailable, Message: "Dataverse could not be asked who the user is; try again",
		Retryable: true, Err: err}
}

// give ends the attempt with err, or frees it where err may pass.
func (a *Authorizer) give(ctx context.Context, at fence, st attempt, err error) error {
	f, ok := errors.AsType[*Error](err)
	if !ok {
		f = newError(CodeInternal, "the authorization failed", err)
	}
	if f.Retryable {
		a.release(ctx, at, st)
		return f
	}
	st = st.failed(f)
	if _, err := a.settle(ctx, at, st); err == nil { // else another process goes on with the same callback
		a.tell(ctx, at.key, st)
	}
	return f
}

func (a *Authorizer) release(ctx context.Context, at fence, st attempt) {
	_, _ = a.settle(ctx, at, st.released())
}

// settle writes the claimed attempt, with patience while Redis is away; nobody
// else writes it as long as the claim lasts.
func (a *Authorizer) settle(ctx context.Context, at fence, st attempt) (fence, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), savingTime)
	defer cancel()
	at.wid = random(9)
	for wait := pollShort; ; wait = min(wait*2, time.Second) {
		next, err := change(ctx, a.store, at, st, st.kept())
		if err == nil {
			return next, nil
		}
		if errors.Is(err, errConflict) {
			return at, newError(CodeInvalidState, "another process took this sign-in over; start again", nil)
		}
		select {
		case <-ctx.Done():
			return at, err
		case <-time.After(wait):
		}
	}
}
