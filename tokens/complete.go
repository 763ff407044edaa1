package tokens

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// workTime bounds redemption, WhoAmI and save; the claim outlives it.
	workTime  = 45 * time.Second
	claimTime = time.Minute
	// outcomeKept is how long the same state and code get the same answer.
	outcomeKept = 10 * time.Minute

	maxCode = 8 << 10
)

// Callback is what Microsoft sent back with the browser.
type Callback struct {
	State            string
	Code             Secret
	Error            string
	ErrorDescription string
	BrowserCookie    Secret // the binding cookie; only where a browser came itself
	Bus              bool   // it came over the bus and not with a browser
	Connection       string // "" or the only connection that the subject allows
}

// Complete redeems the code once, asks the environment who the user is, and
// stores the grant. The same state and code again within 10 minutes give the same
// answer. A caller whose ctx ends may ask again; the work goes on without him.
//
// Errors: invalid_request, invalid_state, consent_required (with
// AdminConsentURL), permission_denied, identity_mismatch, connection_exists,
// reauthorization_required (Microsoft did not let the person in),
// configuration_error, upstream_error; retryable: unavailable, throttled,
// deadline_exceeded.
func (a *Authorizer) Complete(ctx context.Context, cb Callback) (Connection, error) {
	if err := cb.check(); err != nil {
		return Connection{}, err
	}
	for {
		c, again, err := a.step(ctx, cb)
		if !again {
			return c, err
		}
		select {
		case <-ctx.Done():
			return Connection{}, late(ctx, ctx.Err())
		case <-time.After(pollShort + rand.N(pollShort)):
		}
	}
}

// step looks at the state once and does what is to be done with it now. again: somebody
// else works on it, so that it must be looked at again after a while.
func (a *Authorizer) step(ctx context.Context, cb Callback) (c Connection, again bool, err error) {
	key := stateKey(digest(cb.State))
	st, at, err := load[attempt](ctx, a.store, key, statePurpose)
	if errors.Is(err, errMissing) {
		return Connection{}, false, badState()
	}
	if err != nil {
		return Connection{}, false, late(ctx, err)
	}
	if err := st.admits(cb); err != nil {
		return Connection{}, false, err
	}
	// A claim is another process's: its end is compared by the clock that both have.
	now, err := a.store.clock(ctx, key)
	if err != nil {
		return Connection{}, false, late(ctx, err)
	}
	switch st.position(cb.proof(), now) {
	case posEnded:
		c, err = st.outcome()
		return c, false, err
	case posForeign:
		return Connection{}, false, badState()
	case posClaimed:
		return Connection{}, true, nil
	case posLost:
		st = st.failed(newError(CodeInvalidState,
			"the process that was redeeming the authorization code was lost; start again", nil))
		if _, err = change(ctx, a.store, at, st, outcomeKept); err == nil {
			a.tell(ctx, key, st)
			c, err = st.outcome()
			return c, false, err
		}
	case posFree:
		st = st.claimed(cb.proof(), now)
		if at, err = change(ctx, a.store, at, st, outcomeKept); err == nil {
			c, err = a.begin(ctx, at, st, cb)
			return c, false, err
		}
	}
	if errors.Is(err, errConflict) {
		return Connection{}, true, nil
	}
	return Connection{}, false, late(ctx, err)
}

func (cb Callback) check() error {
	switch {
	case cb.State == "":
		return invalid("state", "state is missing")
	case cb.Code == "" && cb.Error == "":
		return invalid("code", "code or error is missing: give what Microsoft redirected with")
	case cb.Code != "" && cb.Error != "":
		return invalid("code", "code and error exclude each other")
	case len(cb.Code) > maxCode:
		return invalid("code", fmt.Sprintf("code is longer than %d bytes", maxCode))
	case len(cb.Error) > 100 || len(cb.ErrorDescription) > maxCode:
		return invalid("error", "error is longer than 100 or error_description longer than 8192 bytes")
	case cb.Connection != "" && !ValidID(cb.Connection):
		return badID()
	case !token256(cb.State):
		return badState()
	}
	return nil
}

// proof is the hash that a state is bound to by its first callback.
func (cb Callback) proof() string {
	if cb.Code != "" {
		return digest("code\x00" + cb.Code.Reveal())
	}
	return digest("error\x00" + cb.Error)
}

// admits checks who may complete the state. Nothing changes by a refusal.
func (st attempt) admits(cb Callback) error {
	if cb.Connection != "" && cb.Connection != st.Connection {
		return invalid("state", "this state belongs to another connection than the subject names")
	}
	cookie := ""
	if !st.Bus {
		cookie = digest(cb.BrowserCookie.Reveal())
	}
	switch {
	case st.Bus != cb.Bus:
		return newError(CodeInvalidState, "this state must be completed the way it was begun: in the "+
			"browser or over the "+
			"bus", nil)
	case !st.Bus && (cb.BrowserCookie == "" || subtle.ConstantTimeCompare([]byte(cookie), []byte(st.Cookie)) == 0):
		return newError(CodeInvalidState, "this sign-in was begun in another browser; open the connect "+
			"link here and start "+
			"again", errOtherBrowser)
	}
	return nil
}

// begin does the claimed work apart from the caller, who waits as long as he likes.
func (a *Authorizer) begin(ctx context.Context, at fence, st attempt, cb Callback) (Connection, error) {
	type outcome struct {
		Connection
		error
	}
	out := make(chan outcome, 1)
	a.mu.Lock()
	if a.done {
		a.mu.Unlock()
		a.release(ctx, at, st)
		return Connection{}, errClosed
	}
	a.work.Go(func() {
		ctx, cancel := context.WithTimeout(a.life, workTime)
		defer cancel()
		var o outcome
		o.error = guard(a.log, "the authorization", st.Connection, func() (err error) {
			o.Connection, err = a.complete(ctx, at, st, cb)
			return err
		})
		out <- o
	})
	a.mu.Unlock()
	select {
	case o := <-out:
		return o.Connection, o.error
	case <-ctx.Done():
		return Connection{}, late(ctx, ctx.Err())
	}
}

func badState() *Error {
	return newError(CodeInvalidState, "this sign-in is unknown, used or expired; start again with a new connect link",
		nil)
}
