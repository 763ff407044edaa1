package tokens

import (
	"fmt"
	"io"
	"time"
)

// Phases of an attempt. A claim (Owner, Until) goes with redeeming, and with
// redeemed while somebody continues it.
const (
	phaseNew       = "new"       // nobody came back from Microsoft yet
	phaseRedeeming = "redeeming" // the code is on its way to Entra: lost if the claim ends
	phaseRedeemed  = "redeemed"  // there are tokens; WhoAmI or the save is left and may be repeated
	phaseDone      = "done"
	phaseFailed    = "failed"
)

// attempt is one sign-in under way, which an OAuth state names. It is only ever stored sealed.
type attempt struct {
	Ticket          string `json:"ticket"` // key of the ticket
	Connection      string `json:"connection"`
	Incarnation     string `json:"incarnation"`
	Environment     string `json:"environment"`
	Tenant          string `json:"tenant"`
	Directory       string `json:"directory"`
	AllowUserChange bool   `json:"allow_user_change"`
	Cookie          string `json:"cookie"` // hash of the browser's cookie; "" for Bus
	Bus             bool   `json:"bus"`
	Verifier        string `json:"verifier"`
	// Tables are the ticket's; see [recorded].
	Tables []string `json:"tables,omitzero"`
	// DailyCalls is the ticket's.
	DailyCalls int `json:"daily_calls,omitzero"`
	// Opening counts the ticket's openings up to this one; 0 for Bus, and in records from before it
	// was kept.
	Opening int `json:"opening,omitzero"`

	Phase    string         `json:"phase"`
	Proof    string         `json:"proof"` // hash of the code or error that came first
	Until    time.Time      `json:"until"` // end of the claim; zero = nobody's
	Redeemed *grantedTokens `json:"redeemed"`
	Result   *Connection    `json:"result"`
	Failure  *failure       `json:"failure"`
}

// grantedTokens are the tokens between redemption and save.
type grantedTokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	Scopes  []string  `json:"scopes"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
	Tenant  string    `json:"tenant"`
}

// failure is an Error as it is kept for the next caller.
type failure struct {
	Code            string `json:"code"`
	Message         string `json:"message"`
	AdminConsentURL string `json:"admin_consent_url"`
	AADSTS          int    `json:"aadsts"`
	Actor           Actor  `json:"actor,omitzero"`
}

// Format keeps fmt away from verifier and tokens.
func (st attempt) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "attempt for "+st.Connection+", "+st.Phase+", "+redacted)
}

// Format keeps fmt away from the tokens.
func (grantedTokens) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

type position int

const (
	posFree    position = iota // may be claimed
	posClaimed                 // somebody works on it: wait
	posLost                    // somebody worked on it and died with the code
	posEnded                   // it has an outcome
	posForeign                 // another code was first
)

// position says what a callback with this proof finds.
func (st attempt) position(proof string, now time.Time) position {
	if st.Phase == phaseNew {
		return posFree
	}
	if st.Proof != proof {
		return posForeign
	}
	claimed := now.Before(st.Until)
	switch {
	case st.Phase == phaseDone || st.Phase == phaseFailed:
		return posEnded
	case claimed:
		return posClaimed
	case st.Phase == phaseRedeeming:
		return posLost
	}
	return posFree
}

func (st attempt) claimed(proof string, now time.Time) attempt {
	st.Proof, st.Until = proof, now.Add(claimTime).UTC()
	if st.Phase == phaseNew {
		st.Phase = phaseRedeeming
	}
	return st
}

// released gives the claim back after an outage.
func (st attempt) released() attempt {
	st.Until = time.Time{}
	if st.Phase == phaseRedeeming {
		st.Phase, st.Proof = phaseNew, ""
	}
	return st
}

func (st attempt) failed(e *Error) attempt {
	st.Phase, st.Redeemed, st.Verifier = phaseFailed, nil, ""
	st.Failure = &failure{e.Code, e.Message, e.AdminConsentURL, e.AADSTS, e.Actor}
	return st
}

// kept is how long the attempt is known from now on. One that made the connection outlasts its
// ticket, for those who ask what became of the link.
func (st attempt) kept() time.Duration {
	if st.Phase == phaseDone {
		return ticketKept
	}
	return outcomeKept
}

// error is the failure as it was.
func (f *failure) error() *Error {
	return &Error{Code: f.Code, Message: f.Message, AdminConsentURL: f.AdminConsentURL, AADSTS: f.AADSTS, Actor: f.Actor}
}

func (st attempt) outcome() (Connection, error) {
	switch {
	case st.Result != nil:
		result := *st.Result
		result.Tables = recorded(result.Tables)
		return result, nil
	case st.Failure != nil:
		return Connection{}, st.Failure.error()
	}
	return Connection{}, newError(CodeInternal, "a stored sign-in has no outcome", nil)
}
