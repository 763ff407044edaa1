package emulator

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Identities that hold when [Options] names no others. They are obviously fake and public: never
// let a program that can reach a real tenant accept them.
const (
	DefaultTenantID     = "11111111-2222-4333-8444-555555555555"
	DefaultTenantDomain = "contoso.example"
	DefaultClientID     = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	DefaultClientSecret = "emulator~fake+secret/only=for%local&tests"
	// DefaultRedirectURI is crmbridge's callback at its default PUBLIC_URL.
	DefaultRedirectURI = "http://localhost:8080/oauth/callback"
	// DefaultUser signs in where nobody is chosen: every privilege.
	DefaultUser = "ada.lindqvist@contoso.example"
	// GermanUser and FrenchUser may do as much, and see labels and formats in their languages.
	GermanUser = "liesel.brandstaetter@contoso.example"
	FrenchUser = "elodie.garnier@contoso.example"
)

// Options configure a server. The zero value is a working server.
type Options struct {
	// Accounts is the number of generated accounts; 0 means 10,000. Negative means none.
	Accounts int
	// Contacts is the number of generated contacts; 0 means two and a half for each account. Negative
	// means none. Rows of a table are made when somebody needs them first.
	Contacts int
	// Created is when a part of the generated rows was created; the rest was within the nine years from 2016 on.
	Created []Created
	// Seed varies the generated rows; the same seed gives the same rows. 0 means 1.
	Seed uint64
	// TenantID and TenantDomain name the directory; empty means DefaultTenantID and DefaultTenantDomain.
	TenantID, TenantDomain string
	// ClientID and ClientSecret are the registered application; empty means the defaults.
	ClientID, ClientSecret string
	// PublicClient registers the application without a secret; sending one is then AADSTS700025.
	PublicClient bool
	// ClientCertificates are registered for the application: assertions that are signed with one of
	// their RSA keys stand for it, as the secret does.
	ClientCertificates []*x509.Certificate
	// FederatedCredentials are the workloads whose own tokens stand for the application.
	FederatedCredentials []FederatedCredential
	// SingleUseAssertions refuses an assertion whose jti was seen before (AADSTS50012). RFC 7523
	// allows that and clients should not depend on its absence; Entra does not do it, and clients of
	// Microsoft's that reuse an assertion until it expires need it off.
	SingleUseAssertions bool
	// SingleUseRefreshTokens ends a refresh token with its first use, as stricter authorities do. Entra leaves it valid.
	SingleUseRefreshTokens bool
	// AdminConsentRequired lets users sign in only after an administrator consented on the
	// admin-consent page (AADSTS90094).
	AdminConsentRequired bool
	// RedirectURIs must be matched exactly; empty means DefaultRedirectURI. A registered "http://localhost" or
	// "http://localhost/path" without a port matches any port, as Entra does for native applications.
	RedirectURIs []string
	// Users are added to the built-in ones; one with the UserName of a built-in user takes its place.
	Users []User
	// AutoConsent makes authorize redirect at once, as the login_hint's user or the first, instead of
	// showing the sign-in page.
	AutoConsent bool
	// AccessTokenLifetime is 1 hour when 0, CodeLifetime 10 minutes, RefreshTokenLifetime 90 days.
	AccessTokenLifetime, CodeLifetime, RefreshTokenLifetime time.Duration
	// Latency is waited before every answer of the data service.
	Latency time.Duration
	// ParallelHint is what x-ms-dop-hint recommends; 0 means 4, as a real environment did. Negative
	// means that it is not sent. [Control.SetParallelHint] changes that while the server runs.
	ParallelHint int
	// NoSales is an environment without Dynamics 365 Sales; [Control.SetSales] changes that while the server runs.
	NoSales bool
	// NoChangeTracking switches change tracking of all tables off; [Control.SetChangeTracking] does so
	// while the server runs.
	NoChangeTracking bool
	// DeletionsFirst has the changes since a token come with deletions before rows. Microsoft's page
	// says that rows come first.
	DeletionsFirst bool
	// ChangeTrackingAge is how long a delta token is good; 0 means 7 days, the default of ExpireChangeTrackingInDays.
	ChangeTrackingAge time.Duration
	// Limits are the service protection limits; the zero value means Microsoft's own.
	Limits Limits
	// NegativesSkipNull makes not contains(…), NotIn and DoesNotContainValues pass over columns
	// without a value. Whether they do is not documented: by default they match them, as ne does; a
	// client should be right under both.
	NegativesSkipNull bool
	// MaxPageSize is the largest page of rows; 0 means 5000, Dataverse's own.
	MaxPageSize int
	// SimplePagingRows is where pages that are ordered by a lookup end; 0 means 50,000, Dataverse's own.
	SimplePagingRows int
	// AuthorityURL is named by the 401 challenge and the discovery documents; empty means the request's own origin.
	AuthorityURL string
	// Environments are further origins that count as this environment's resource at the token endpoint, for set-ups where
	// authority and environment have different hosts. The request's own origin always does, and so does any other loopback
	// name with the same port. ORG.crm and ORG.api.crm are one environment.
	Environments []string
	// Logger gets one debug record per request (method, path without query, status); nil means none.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// User is a person or application that may sign in.
type User struct {
	// Name is the full name; UserName the user principal name (domainname), which is required and unique without case.
	Name, UserName string
	// Email is internalemailaddress; empty means UserName.
	Email string
	// Title is the column title, JobTitle jobtitle.
	Title, JobTitle string
	// ID (systemuserid) and ObjectID (Entra) are GUIDs; empty means derived from UserName.
	ID, ObjectID string
	// ApplicationID makes it an application user.
	ApplicationID string
	// Disabled users can sign in at Entra and get 403 from Dataverse, like people whose licence was taken away.
	Disabled bool
	// NotMember is known to Entra only: Dataverse answers 403 "not a member of the organization".
	NotMember bool
	// Language is the LCID of one of [Languages]; 0 means 1033, English.
	Language int
	// BusinessUnit is a name of [BusinessUnits]; empty means the first. Roles and Teams go by name; see [RoleNames].
	BusinessUnit string
	Roles, Teams []string
	// AccessTeams is how many access teams of single accounts the user is in, which have no roles;
	// OwnerTeams how many owner teams that have the role Salesperson.
	AccessTeams, OwnerTeams int
}

func (o Options) withDefaults() (Options, error) {
	or := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	or(&o.TenantID, DefaultTenantID)
	or(&o.TenantDomain, DefaultTenantDomain)
	or(&o.ClientID, DefaultClientID)
	or(&o.ClientSecret, DefaultClientSecret)
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	orDuration(&o.AccessTokenLifetime, time.Hour)
	orDuration(&o.CodeLifetime, 10*time.Minute)
	orDuration(&o.RefreshTokenLifetime, 90*24*time.Hour)
	orDuration(&o.ChangeTrackingAge, changesAge)
	if o.Accounts == 0 {
		o.Accounts = 10_000
	}
	if o.Contacts == 0 {
		o.Contacts = max(o.Accounts, 0) * 5 / 2
	}
	o.Contacts = max(o.Contacts, 0)
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.MaxPageSize == 0 {
		o.MaxPageSize = 5000
	}
	if o.ParallelHint == 0 {
		o.ParallelHint = 4
	}
	if o.SimplePagingRows == 0 {
		o.SimplePagingRows = simplePagingRows
	}
	if len(o.RedirectURIs) == 0 {
		o.RedirectURIs = []string{DefaultRedirectURI}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var err error
	if o.Limits, err = o.Limits.withDefaults(); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o Options) check() error {
	var errs []error
	for name, id := range map[string]string{"TenantID": o.TenantID, "ClientID": o.ClientID} {
		if _, ok := parseGUID(id); !ok {
			errs = append(errs, fmt.Errorf("emulator: %s %q is not a GUID", name, id))
		}
	}
	if o.Accounts > 1_000_000 {
		errs = append(errs, fmt.Errorf("emulator: Accounts is %d, at most 1,000,000 are made", o.Accounts))
	}
	if o.Contacts > 2_500_000 {
		errs = append(errs, fmt.Errorf("emulator: Contacts is %d, at most 2,500,000 are made", o.Contacts))
	}
	if err := checkCreated(o.Created); err != nil {
		errs = append(errs, fmt.Errorf("emulator: %w", err))
	}
	if o.MaxPageSize < 1 || o.MaxPageSize > 5000 {
		errs = append(errs, fmt.Errorf("emulator: MaxPageSize is %d, it must be between 1 and 5000", o.MaxPageSize))
	}
	if o.AccessTokenLifetime < 0 || o.CodeLifetime < 0 || o.RefreshTokenLifetime < 0 || o.Latency < 0 ||
		o.ChangeTrackingAge < 0 {
		errs = append(errs, errors.New("emulator: a duration is negative"))
	}
	for i, c := range o.ClientCertificates {
		if c == nil {
			errs = append(errs, fmt.Errorf("emulator: ClientCertificates[%d] is nil", i))
		} else if _, ok := c.PublicKey.(*rsa.PublicKey); !ok {
			errs = append(errs, fmt.Errorf("emulator: ClientCertificates[%d] has no RSA key; Entra takes RS256 and PS256", i))
		}
	}
	for _, c := range o.FederatedCredentials {
		if err := c.check(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, u := range append([]string{o.AuthorityURL}, o.Environments...) {
		if u == "" {
			continue
		}
		if p, err := url.Parse(u); err != nil || p.Host == "" || strings.Trim(p.Path, "/") != "" {
			errs = append(errs, fmt.Errorf("emulator: %q is not an origin such as https://contoso.crm4.dynamics.com", u))
		}
	}
	return errors.Join(errs...)
}
