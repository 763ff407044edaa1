package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// ticketLife is how long a connect link and each state last.
	ticketLife = 10 * time.Minute
	// ticketKept leaves a state that was opened in the link's last second its whole life.
	ticketKept = 2*ticketLife + time.Minute
	// maxOpenings bounds the states of one link: how often people may go on from it.
	maxOpenings = 20
	// discoveryTime bounds the question for the environment's directory.
	discoveryTime = 10 * time.Second
)

// AuthorizerConfig says what an [Authorizer] works with.
type AuthorizerConfig struct {
	Store *Store // required
	Entra *Entra // required
	// PublicURL is where people's browsers reach the pages: an origin, https, or
	// http on a loopback host. The redirect URL is PublicURL + "/oauth/callback".
	PublicURL string
	// Discover returns the tenant that the environment's own 401 challenge names
	// (a path segment: GUID, domain, "organizations" or "common"). Its error, of
	// any kind, means that the environment does not say.
	Discover func(ctx context.Context, environmentURL string) (tenant string, err error)
	// Identify asks the environment who the token's user is (WhoAmI). When
	// Dataverse refuses the user, the error must be an [*Error] with
	// CodePermissionDenied; every other error counts as an outage.
	Identify func(ctx context.Context, environmentURL, accessToken string) (userID, organizationID string, err error)
	// Names asks the environment what user and organization are called; nil where
	// nobody needs to know. What it cannot find out is "".
	Names func(ctx context.Context, environmentURL, accessToken, userID, organizationID string) Names
	// Operator is who asks, on the pages.
	Operator Operator
	// Tables are the names of the tables that the deployment serves: a person who
	// connects from now on is asked for these. nil means accounts.
	Tables []string
	// Describe says what may be read of a table, on the pages; where it is nil or
	// returns "", they show the table's name.
	Describe func(table string) string
	// Reads is what may be read besides, on the pages, one phrase each.
	Reads []string
	// Leftovers removes what others kept of a deleted connection of the id, before a
	// connection is made; nil where there is nothing. It need not succeed: see
	// [Store.PurgeDeleted].
	Leftovers func(ctx context.Context, connection string) error
	// Log hears about pages that failed; nil discards.
	Log *slog.Logger
}

// Authorizer makes connections by the authorization-code grant with PKCE. What it
// knows between two steps is in Redis, so that any process can do the next one.
// It is safe for concurrent use; call [Authorizer.Close] in the end.
type Authorizer struct {
	store     *Store
	entra     *Entra
	public    string
	discover  func(context.Context, string) (string, error)
	identify  func(context.Context, string, string) (string, string, error)
	names     func(context.Context, string, string, string, string) Names
	leftovers func(ctx context.Context, connection string) error
	operator  Operator
	tables    []string
	describe  func(table string) string
	reads     []string
	log       *slog.Logger

	life context.Context // of the completions; ended by Close
	end  context.CancelFunc
	mu   sync.Mutex // guards done against a late Go
	done bool
	work sync.WaitGroup
}

// NewAuthorizer checks the configuration.
func NewAuthorizer(c AuthorizerConfig) (*Authorizer, error) {
	public, err := checkOrigin(c.PublicURL, true)
	if err != nil {
		return nil, fmt.Errorf("PUBLIC_URL %w, for example https://crm.example.com", err)
	}
	if c.Store == nil || c.Entra == nil || c.Discover == nil || c.Identify == nil {
		return nil, errors.New("an authorizer needs Store, Entra, Discover and Identify")
	}
	a := &Authorizer{store: c.Store, entra: c.Entra, public: public, discover: c.Discover, identify: c.Identify,
		names: c.Names, leftovers: c.Leftovers, operator: c.Operator, describe: c.Describe, reads: c.Reads, log: c.Log}
	if a.tables, err = checkTables(c.Tables); err != nil {
		return nil, err
	}
	if a.describe == nil {
		a.describe = func(string) string { return "" }
	}
	if err := c.Operator.check(); err != nil {
		return nil, err
	}
	if a.names == nil {
		a.names = func(context.Context, string, string, string, string) Names { return Names{} }
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.life, a.end = context.WithCancel(context.Background())
	return a, nil
}

// Close lets completions that are under way end, until ctx is done; then it cuts
// them off. Afterwards none begins any more.
func (a *Authorizer) Close(ctx context.Context) {
	a.mu.Lock()
	a.done = true
	a.mu.Unlock()
	ended := make(chan struct{})
	go func() { a.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	a.end()
	<-ended
}

// Format keeps fmt away from what is inside.
func (a *Authorizer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "authorizer") }

// RedirectURL is what must be registered at Entra, platform Web.
func (a *Authorizer) RedirectURL() string { return a.public + "/oauth/callback" }

// Request asks for a connection.
type Request struct {
	Connection      string
	EnvironmentURL  string // canonical origin, checked against the allowed hosts by the caller
	Tenant          string // GUID, verified domain, "organizations", "common"; "" = as the environment says
	LoginHint       string // e-mail address or user name; may be ""
	Prompt          string // "", "login", "consent", "select_account" or "none"
	AllowUserChange bool   // a re-authorization may be by another user than before
	// DailyCalls is the connection's from the moment on at which the person has connected;
	// 0 keeps what it has.
	DailyCalls int
	// Bus also makes a state that is completed over the bus (BUS_COMPLETION).
	Bus bool
}

// Begun is the answer to a [Request].
type Begun struct {
	ConnectURL string
	ExpiresAt  time.Time
	// AuthorizationURL, State and Tables are set for Request.Bus only. The application
	// must bind State to its own user's session, and tell the person of Tables, which
	// may be read once the sign-in is completed: no page of this package does.
	AuthorizationURL string
	State            string
	Tables           []string
}

// Begin makes a connect link, and a pending connection where there is none. An
// active connection is not changed.
//
// Errors: invalid_request, connection_exists (the id belongs to another
// environment), identity_mismatch (the tenant asked for is not the
// environment's), unavailable.
func (a *Authorizer) Begin(ctx context.Context, q Request) (Begun, error) {
	if err := q.check(); err != nil {
		return Begun{}, err
	}
	challenge := a.challenge(ctx, q.EnvironmentURL)
	if guid.MatchString(q.Tenant) && guid.MatchString(challenge) && !same(q.Tenant, challenge) {
		return Begun{}, foreignDirectory(challenge, q.Tenant)
	}
	r, err := a.prepare(ctx, q)
	if err != nil {
		return Begun{}, err
	}
	t := ticket{
		Connection: r.ID, Incarnation: r.Incarnation, Environment: r.EnvironmentURL,
		Tenant: firstOf(q.Tenant, challenge, "organizations"), LoginHint: q.LoginHint, Prompt: q.Prompt,
		Claims: r.claims.Reveal(), AllowUserChange: q.AllowUserChange, Tables: a.tables, DailyCalls: q.DailyCalls,
		ExpiresAt: time.Now().Add(ticketLife).UTC().Truncate(time.Second),
	}
	if guid.MatchString(challenge) {
		t.Directory = strings.ToLower(challenge)
	}
	secret := random(32)
	key := ticketKey(digest(secret))
	if err := a.store.putNew(ctx, key, ticketPurpose, t, ticketKept); err != nil {
		return Begun{}, err
	}
	begun := Begun{ConnectURL: a.public + "/connect/" + secret, ExpiresAt: t.ExpiresAt}
	if q.Bus {
		begun.Tables = slices.Clone(recorded(t.Tables))
		begun.AuthorizationURL, begun.State, err = a.open(ctx, t, key, "")
	}
	return begun, err
}

func (q Request) check() error {
	if !ValidID(q.Connection) {
		return badID()
	}
	if origin, err := checkOrigin(q.EnvironmentURL, true); err != nil || origin != q.EnvironmentURL {
		return invalid("environment_url", "environment_url must be an origin such as https://contoso.crm4.dynamics.com")
	}
	if q.Tenant != "" && !validTenant(q.Tenant) {
		return invalid("tenant", "tenant must be a directory id (GUID), a verified domain, organizations or common")
	}
	if len(q.LoginHint) > 320 || strings.ContainsFunc(q.LoginHint, unicode.IsControl) {
		return invalid("login_hint", "login_hint must be a user name of at most 320 bytes without control characters")
	}
	if q.DailyCalls < 0 {
		return invalid("daily_calls", "daily_calls must be a whole number from 1 on")
	}
	switch q.Prompt {
	case "", "login", "none", "consent", "select_account":
		return nil
	}
	return invalid("prompt", "prompt must be login, none, consent or select_account")
}

func (a *Authorizer) challenge(ctx context.Context, environment string) string {
	ctx, cancel := context.WithTimeout(ctx, discoveryTime)
	defer cancel()
	tenant, err := a.discover(ctx, environment)
	if err != nil || !validTenant(tenant) || tenant == "common" {
		return ""
	}
	return tenant
}

// prepare returns the connection's record, made or replaced where nobody has
// connected yet.
func (a *Authorizer) prepare(ctx context.Context, q Request) (record, error) {
	for range saveTries {
		old, err := a.store.load(ctx, q.Connection)
		if err != nil && CodeOf(err) != CodeConnectionNotFound {
			return record{}, err
		}
		if err == nil && old.Status != StatusPending && old.EnvironmentURL != q.EnvironmentURL {
			return record{}, exists(old)
		}
		if err == nil && old.EnvironmentURL == q.EnvironmentURL {
			if old.Status != StatusPending {
				return old, nil
			}
			if err := a.store.awaitPerson(ctx, old.ID, old.Incarnation); err == nil {
				return old, nil
			} else if CodeOf(err) != CodeInvalidState {
				return record{}, err
			}
			continue
		}
		r, err := a.store.create(ctx, old, Connection{
			ID: q.Connection, Incarnation: random(16), EnvironmentURL: q.EnvironmentURL,
			Grant: GrantAuthorizationCode, Status: StatusPending, CreatedAt: time.Now().UTC(),
		})
		if !errors.Is(err, errConflict) {
			return r, err
		}
	}
	return record{}, busy(q.Connection)
}

func exists(r record) *Error {
	return &Error{Code: CodeConnectionExists, Field: "connection",
		Message: "connection " + r.ID + " belongs to " + r.EnvironmentURL + "; delete it first or choose another id"}
}

const saveTries = 8

func busy(id string) *Error {
	return &Error{Code: CodeUnavailable, Message: "connection " + id + " is being changed by others; try again",
		Retryable: true}
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
