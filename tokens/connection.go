package tokens

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"
)

// States of a [Connection].
const (
	StatusPending                 = "pending"                  // a person was asked to connect and has not yet
	StatusActive                  = "active"                   // the grant worked when it was last used
	StatusReauthorizationRequired = "reauthorization_required" // the grant is gone; a person must connect again
	// StatusUnreadable is only in lists: there is a record, and it does not open with
	// the key set, is of a form that this version does not know, or is something else.
	StatusUnreadable = "unreadable"
)

// GrantAuthorizationCode is the grant of a connection that a person made.
const GrantAuthorizationCode = "authorization_code"

// Connection is what is known about one connection, without any secret.
type Connection struct {
	ID             string
	Incarnation    string // random; kept by a re-authorization, new after a deletion
	EnvironmentURL string // canonical origin
	TenantID       string // Entra directory id (GUID, or a domain where only that is known); "" while pending
	Grant          string // GrantAuthorizationCode or GrantClientCredentials
	Status         string // one of the Status constants
	UserID         string // systemuserid in the environment; "" while pending
	OrganizationID string // organizationid of the environment; "" while pending
	// What Dataverse calls them, "" where it does not say. A record from before these
	// were asked for gets them after its next renewal.
	UserName         string // user name, for example ada@contoso.example
	UserFullName     string
	OrganizationName string
	Scopes           []string
	// Tables are the names of the tables that the connect page showed to whoever
	// connected, or that the deployment served when the application connected itself;
	// no other table may be read. Empty while pending. A record from before tables were
	// recorded has accounts.
	Tables []string
	// DailyCalls is how many calls of Dataverse the customer allows the user a day (UTC), 0
	// for any number. A re-authorization that names none keeps it.
	DailyCalls int `json:",omitzero"`
	// AccessTokenExpiresAt is when the newest access token ends, by this fleet's
	// clock at its arrival plus expires_in; zero while pending.
	AccessTokenExpiresAt time.Time
	CreatedAt            time.Time
	RefreshedAt          time.Time // when the newest access token came; zero while pending
	LastError            string    // why Status is reauthorization_required or unreadable; "" otherwise
	Version              int64     // counts saves within the incarnation
}

var connectionID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ValidID reports whether id can be the id of a connection.
func ValidID(id string) bool { return connectionID.MatchString(id) }

// record is a connection with its secrets, as it is sealed in Redis.
type record struct {
	Connection
	access, refresh Secret
	// wid is the id of the write that it comes from. It is not sealed.
	wid string
	// forcedAt is when a refresh was last forced because Dataverse refused a
	// token; it bounds how often that can happen.
	forcedAt time.Time
	// authorizedBy is the hash of the state that made the present grant, so that
	// finishing the same authorization twice does not put its first tokens over
	// newer ones.
	authorizedBy string
	// claims are those of the last claims challenge that no token has answered: the
	// next sign-in is asked for them.
	claims Secret
	// challenge is the claims challenge of the refusal that a refresh under way
	// answers; it is not stored.
	challenge Secret
}

// Format keeps fmt away from the unexported secrets.
func (r record) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "connection "+r.ID+", tokens "+redacted)
}

// sealedRecord is record on its way into and out of the seal: the only form in
// which tokens are plain strings.
type sealedRecord struct {
	Connection   Connection `json:"connection"`
	Access       string     `json:"access"`
	Refresh      string     `json:"refresh"`
	ForcedAt     time.Time  `json:"forced_at,omitzero"`
	AuthorizedBy string     `json:"authorized_by,omitzero"`
	Claims       string     `json:"claims,omitzero"`
}

func (r record) wire() sealedRecord {
	return sealedRecord{r.Connection, string(r.access), string(r.refresh), r.forcedAt, r.authorizedBy, string(r.claims)}
}

func (s sealedRecord) record() record {
	if s.Connection.Status != StatusPending {
		s.Connection.Tables = recorded(s.Connection.Tables)
	}
	return record{Connection: s.Connection, access: Secret(s.Access), refresh: Secret(s.Refresh), forcedAt: s.ForcedAt,
		authorizedBy: s.AuthorizedBy, claims: Secret(s.Claims)}
}

// public returns the part without secrets; the caller may keep and change it.
func (r record) public() Connection {
	c := r.Connection
	c.Scopes, c.Tables = slices.Clone(c.Scopes), slices.Clone(c.Tables)
	return c
}
