package tokens

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	json "github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
)

const (
	ticketPurpose = "ticket/v1"
	statePurpose  = "state/v1"
)

// Redis knows tickets and states by their SHA-256 only.
func ticketKey(hash string) string { return keyPrefix + "ticket:" + hash }
func stateKey(hash string) string  { return keyPrefix + "state:" + hash }

// ticket is what is kept of a connect link.
type ticket struct {
	Connection      string    `json:"connection"`
	Incarnation     string    `json:"incarnation"`
	Environment     string    `json:"environment"`
	Tenant          string    `json:"tenant"`    // of the authority's path
	Directory       string    `json:"directory"` // GUID that the environment named; "" = it named none
	LoginHint       string    `json:"login_hint"`
	Prompt          string    `json:"prompt"`
	Claims          string    `json:"claims,omitzero"` // that Microsoft asked for last
	AllowUserChange bool      `json:"allow_user_change"`
	ExpiresAt       time.Time `json:"expires_at"`
	Openings        int       `json:"openings"`
	UsedBy          string    `json:"used_by"` // key of the state that completed; "" = none yet
	// Tables are those that the deployment served when the link was made; see [recorded].
	Tables []string `json:"tables,omitzero"`
	// DailyCalls is the request's, 0 where it named none.
	DailyCalls int `json:"daily_calls,omitzero"`
	// Failed is why the sign-in of the last opening failed; nil once the link was opened again.
	Failed *failure `json:"failed,omitzero"`
}

// Opening is what a person sees before going to Microsoft.
type Opening struct {
	Connection       string
	EnvironmentURL   string
	Tenant           string
	LoginHint        string
	AuthorizationURL string
	ExpiresAt        time.Time
	// Tables are the names of the tables that may be read once the person has connected.
	// New are those among them that nobody has agreed to yet for this connection, where
	// a person connected it before; only [Authorizer.Look] finds them.
	Tables, New []string
	// Cookie is the value that binds the browser; set it on every opening.
	Cookie Secret
}

// Ticket goes on from a connect link, for the browser that sent browserCookie ("" or an
// unusable value: a new one is made) and returns where to go, with a state that
// only this browser can complete. Errors: invalid_state, unavailable.
func (a *Authorizer) Ticket(ctx context.Context, secret string, browserCookie Secret) (Opening, error) {
	if !token256(secret) {
		return Opening{}, badTicket()
	}
	key := ticketKey(digest(secret))
	t, err := a.countOpening(ctx, key)
	if err != nil {
		return Opening{}, err
	}
	if err := a.stillWanted(ctx, t); err != nil {
		return Opening{}, err
	}
	if !token256(browserCookie.Reveal()) {
		browserCookie = Secret(random(32))
	}
	authorization, _, err := a.open(ctx, t, key, digest(browserCookie.Reveal()))
	if err != nil {
		return Opening{}, err
	}
	return t.opening(authorization, browserCookie), nil
}

// Look says what a connect link is for, and uses nothing up: mail scanners and link
// previews open links too. The Opening has no AuthorizationURL. Errors:
// invalid_state, unavailable.
func (a *Authorizer) Look(ctx context.Context, secret string, browserCookie Secret) (Opening, error) {
	t, err := a.look(ctx, secret)
	if err != nil {
		return Opening{}, err
	}
	before, err := a.store.load(ctx, t.Connection)
	if CodeOf(err) == CodeUnavailable {
		return Opening{}, err
	}
	if !token256(browserCookie.Reveal()) {
		browserCookie = Secret(random(32))
	}
	o := t.opening("", browserCookie)
	if err == nil { // what else is wrong with the connection is said when the person goes on
		o.New = t.newTables(before)
	}
	return o, nil
}

// look reads the ticket of a link that can still be opened.
func (a *Authorizer) look(ctx context.Context, secret string) (ticket, error) {
	if !token256(secret) {
		return ticket{}, badTicket()
	}
	t, _, err := load[ticket](ctx, a.store, ticketKey(digest(secret)), ticketPurpose)
	if errors.Is(err, errMissing) {
		return ticket{}, badTicket()
	}
	if err != nil {
		return ticket{}, err
	}
	return t, t.openable()
}

func (t ticket) opening(authorization string, cookie Secret) Opening {
	return Opening{
		Connection: t.Connection, EnvironmentURL: t.Environment, Tenant: t.Tenant, LoginHint: t.LoginHint,
		AuthorizationURL: authorization, ExpiresAt: t.ExpiresAt, Cookie: cookie,
		Tables: slices.Clone(recorded(t.Tables)),
	}
}

// TicketKnown reports, without using anything up, whether [Authorizer.Ticket]
// would know this ticket. Errors: invalid_state, unavailable.
func (a *Authorizer) TicketKnown(ctx context.Context, secret string) error {
	_, err := a.look(ctx, secret)
	return err
}

func (t ticket) openable() error {
	switch {
	case t.UsedBy != "" || time.Now().After(t.ExpiresAt):
		return badTicket()
	case t.Openings >= maxOpenings:
		return newError(CodeInvalidState, "this connect link was used too often; ask for a new one", nil)
	}
	return nil
}

func (a *Authorizer) countOpening(ctx context.Context, key string) (ticket, error) {
	for range saveTries {
		t, at, err := load[ticket](ctx, a.store, key, ticketPurpose)
		if errors.Is(err, errMissing) {
			return ticket{}, badTicket()
		}
		if err != nil {
			return ticket{}, err
		}
		if err := t.openable(); err != nil {
			return ticket{}, err
		}
		t.Openings++
		t.Failed = nil
		if _, err = change(ctx, a.store, at, t, keepTTL); !errors.Is(err, errConflict) {
			return t, err
		}
	}
	return ticket{}, &Error{Code: CodeUnavailable, Message: "this connect link is being opened by others; try again",
		Retryable: true}
}

// stillWanted makes sure that the connection is the one that the link was made
// for, and that a pending one outlasts the sign-in.
func (a *Authorizer) stillWanted(ctx context.Context, t ticket) error {
	return a.store.awaitPerson(ctx, t.Connection, t.Incarnation)
}

// open makes a state for the ticket, bound to a browser, or to the bus where
// cookieHash is "".
func (a *Authorizer) open(ctx context.Context, t ticket, ticketKey, cookieHash string) (
	authorizationURL, state string, err error,
) {
	state = random(32)
	verifier := oauth2.GenerateVerifier()
	st := attempt{
		Ticket: ticketKey, Connection: t.Connection, Incarnation: t.Incarnation, Environment: t.Environment,
		Tenant: t.Tenant, Directory: t.Directory, AllowUserChange: t.AllowUserChange,
		Cookie: cookieHash, Bus: cookieHash == "", Verifier: verifier, Phase: phaseNew, Tables: recorded(t.Tables),
		DailyCalls: t.DailyCalls, Opening: t.Openings,
	}
	if err := a.store.putNew(ctx, stateKey(digest(state)), statePurpose, st, ticketLife); err != nil {
		return "", "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("response_mode", "query")}
	if t.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", t.LoginHint))
	}
	if t.Prompt != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", t.Prompt))
	}
	if t.Claims != "" {
		options = append(options, oauth2.SetAuthURLParam("claims", t.Claims))
	}
	return a.entra.config(t.Tenant, t.Environment, a.RedirectURL()).AuthCodeURL(state, options...), state, nil
}

func badTicket() *Error {
	return newError(CodeInvalidState, "this connect link is unknown, used or expired; ask for a new one", nil)
}

// token256 reports whether s has the form of 32 random bytes in base64url, as
// tickets, states and cookies have.
func token256(s string) bool {
	if len(s) != 43 {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

// putNew writes a new sealed value that lives for ttl.
func (s *Store) putNew(ctx context.Context, key, purpose string, v any, ttl time.Duration) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return newError(CodeInternal, "a record could not be encoded", nil)
	}
	_, err = s.write(ctx, fence{key: key, purpose: purpose}, random(9), plain, ttl)
	return err
}

// load reads a sealed value; errMissing where there is none.
func load[T any](ctx context.Context, s *Store, key, purpose string) (v T, at fence, err error) {
	at = fence{key: key, purpose: purpose}
	plain, err := s.read(ctx, &at)
	if err != nil {
		return v, at, err
	}
	if json.Unmarshal(plain, &v) != nil {
		return v, at, newError(CodeInternal, "a stored record is not one that this version knows", nil)
	}
	return v, at, nil
}

// change replaces the value that was read at the slot; errConflict when it is
// another one by now. It returns the slot for the next change.
func change(ctx context.Context, s *Store, at fence, v any, ttl time.Duration) (fence, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return at, newError(CodeInternal, "a record could not be encoded", nil)
	}
	wid, err := s.write(ctx, at, at.inc, plain, ttl)
	if err != nil {
		return at, err
	}
	at.ver, at.was, at.wid = at.ver+1, wid, ""
	return at, nil
}
