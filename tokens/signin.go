package tokens

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Phases of a [SignIn].
const (
	SignInWaiting   = "waiting"   // nobody came back from Microsoft yet, or it is being completed
	SignInConnected = "connected" // the link made the connection, whoever authorized it again since
	SignInFailed    = "failed"    // the last one who went on from the link came back without success
	SignInExpired   = "expired"   // the link cannot be opened any more
)

// A SignIn is how far the sign-in of a connect link is. After SignInFailed it is SignInWaiting again
// once somebody goes on from the link another time.
type SignIn struct {
	Phase string
	Err   *Error // why, for SignInFailed
}

// SignIn says how far the sign-in of a connect link of the connection is, to whoever has the link.
// What it says was written by the browser that went on from the link and came back with the state
// that it was given, and by nobody else. Errors: invalid_request (no link of this connection that is
// still known), connection_not_found, unavailable.
func (a *Authorizer) SignIn(ctx context.Context, connection, connectURL string) (SignIn, error) {
	unknown := invalid("connect_url", "this is no connect_url of the connection, or one from long ago")
	_, secret, _ := strings.Cut(connectURL, "/connect/")
	if !token256(secret) {
		return SignIn{}, unknown
	}
	t, _, err := load[ticket](ctx, a.store, ticketKey(digest(secret)), ticketPurpose)
	if errors.Is(err, errMissing) || err == nil && t.Connection != connection {
		return SignIn{}, unknown
	}
	if err != nil {
		return SignIn{}, err
	}
	r, err := a.store.load(ctx, connection)
	if err != nil {
		return SignIn{}, err
	}
	switch {
	case r.Incarnation != t.Incarnation:
		return SignIn{Phase: SignInExpired}, nil
	case t.UsedBy != "" && r.authorizedBy == t.UsedBy:
		return SignIn{Phase: SignInConnected}, nil
	case t.UsedBy != "":
		// The grant is another one by now, of a later sign-in or an application, or it is not saved
		// yet: only the attempt knows. It is kept as long as its ticket.
		st, _, err := load[attempt](ctx, a.store, t.UsedBy, statePurpose)
		if err != nil && !errors.Is(err, errMissing) {
			return SignIn{}, err
		}
		switch {
		case err == nil && st.Result != nil:
			return SignIn{Phase: SignInConnected}, nil
		case err == nil && st.Failure != nil:
			return SignIn{Phase: SignInFailed, Err: st.Failure.error()}, nil
		}
	}
	switch {
	case t.Failed != nil:
		return SignIn{Phase: SignInFailed, Err: t.Failed.error()}, nil
	case time.Now().After(t.ExpiresAt):
		return SignIn{Phase: SignInExpired}, nil
	}
	return SignIn{Phase: SignInWaiting}, nil
}

// tellTime bounds what is written for those who wait for a person.
const tellTime = 2 * time.Second

// tell keeps why an attempt failed with its link, for whoever waits for the person. Where the link
// was opened another time since, or is used up by another attempt, that is what counts. What cannot
// be written is not missed: who waits does so until the link ends.
func (a *Authorizer) tell(ctx context.Context, state string, st attempt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTime)
	defer cancel()
	for range saveTries {
		t, at, err := load[ticket](ctx, a.store, st.Ticket, ticketPurpose)
		if err != nil || t.UsedBy != "" && t.UsedBy != state || t.UsedBy == "" && t.Openings != st.Opening {
			return
		}
		t.Failed = st.Failure
		if _, err := change(ctx, a.store, at, t, keepTTL); !errors.Is(err, errConflict) {
			return
		}
	}
}
