package messages

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Grants by which a connection can have come about.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantClientCredentials = "client_credentials"
)

// States of a connection.
const (
	// StatusPending: authorization has begun and nobody has completed it yet.
	StatusPending = "pending"
	// StatusActive: there is a grant, and it worked when it was last used.
	StatusActive = "active"
	// StatusReauthorizationRequired: the grant is gone; a person must connect again.
	StatusReauthorizationRequired = "reauthorization_required"
	// StatusUnreadable, in lists only: what is stored for this id cannot be read, and
	// last_error says why. Of the other members only the id is known.
	// connections.delete removes it.
	StatusUnreadable = "unreadable"
)

// Statuses lists the states of a connection.
func Statuses() []string {
	return []string{StatusPending, StatusActive, StatusReauthorizationRequired, StatusUnreadable}
}

// Connection describes one customer's Dataverse environment and the grant to
// act in it. It never holds a token or a secret.
type Connection struct {
	ID             string `json:"id"`
	EnvironmentURL string `json:"environment_url"`
	TenantID       string `json:"tenant_id"`
	Grant          string `json:"grant"`
	Status         string `json:"status" jsonschema:"pending, active, reauthorization_required, or in lists unreadable"`
	UserID         string `json:"user_id"`
	OrganizationID string `json:"organization_id"`
	// Their names in Dataverse, null where it gives none.
	UserName             *string    `json:"user_name"`
	UserFullName         *string    `json:"user_full_name"`
	OrganizationName     *string    `json:"organization_name"`
	Scopes               []string   `json:"scopes"`
	Tables               []string   `json:"tables" jsonschema:"tables that the person who connected was told of; none while pending"`
	AccessTokenExpiresAt *time.Time `json:"access_token_expires_at"`
	CreatedAt            time.Time  `json:"created_at,omitzero"` // not there where the status is unreadable
	RefreshedAt          *time.Time `json:"refreshed_at"`
	LastError            string     `json:"last_error,omitzero"`
}

// AuthorizeRequest starts the connection of an environment.
type AuthorizeRequest struct {
	Target
	EnvironmentURL  string `json:"environment_url" jsonschema:"origin of the Dataverse environment, for example https://contoso.crm4.dynamics.com"`
	Tenant          string `json:"tenant,omitzero" jsonschema:"directory id, verified domain, organizations or common; by default the environment's own directory"`
	Grant           string `json:"grant,omitzero" jsonschema:"authorization_code (default) or client_credentials"`
	LoginHint       string `json:"login_hint,omitzero" jsonschema:"user name to fill in at Microsoft's sign-in page"`
	Prompt          string `json:"prompt,omitzero" jsonschema:"login, consent, select_account or none"`
	AllowUserChange bool   `json:"allow_user_change,omitzero" jsonschema:"let another user than before take over an existing connection"`
	DailyCalls      Count  `json:"daily_calls,omitzero" jsonschema:"calls of Dataverse that the customer allows the connection's user a day (UTC); without it the connection keeps what it has"`
}

// MaxLoginHint bounds [AuthorizeRequest].LoginHint, which goes into a URL, in bytes.
const MaxLoginHint = 256

// AuthorizeReply tells where a person goes on. For client_credentials, where
// nobody is asked, it holds the connection instead and nothing else.
type AuthorizeReply struct {
	RequestHead
	Connection AuthorizedConnection `json:"connection,omitzero"`
	ConnectURL string               `json:"connect_url,omitzero" jsonschema:"the page that a person at the customer opens; not for client_credentials"`
	ExpiresAt  time.Time            `json:"expires_at,omitzero" jsonschema:"until when the page can be opened"`
	// AuthorizationURL and State are there only where BUS_COMPLETION is on, and so are
	// Tables, the names of the tables that may be read once the sign-in is completed.
	// Nobody who goes to AuthorizationURL sees crmbridge's page: the application says
	// there which tables these are.
	AuthorizationURL string   `json:"authorization_url,omitzero"`
	State            string   `json:"state,omitzero"`
	Tables           []string `json:"tables,omitzero"`
}

// SetHead fills in what the consumer knows about every reply.
func (r *AuthorizeReply) SetHead(requestID, connection string) {
	r.RequestID, r.Connection.ID = requestID, connection
}

// AuthorizedConnection is the connection member of an [AuthorizeReply]: the id of
// a connection that a person will make, or the connection that was made at once.
type AuthorizedConnection struct {
	ID   string
	Made *Connection // nil while a person has to go on
}

// MarshalJSON writes the connection where there is one, its id otherwise.
func (a AuthorizedConnection) MarshalJSON() ([]byte, error) {
	if a.Made != nil {
		return json.Marshal(a.Made)
	}
	return json.Marshal(a.ID)
}

// UnmarshalJSON reads either form.
func (a *AuthorizedConnection) UnmarshalJSON(text []byte) error {
	*a = AuthorizedConnection{}
	if jsontext.Value(text).Kind() == '"' {
		return json.Unmarshal(text, &a.ID)
	}
	if err := json.Unmarshal(text, &a.Made); err != nil || a.Made == nil {
		return err
	}
	a.ID = a.Made.ID
	return nil
}

// CompleteRequest carries back what Microsoft's redirect brought: a code, or an
// error.
type CompleteRequest struct {
	Target
	State            string `json:"state"`
	Code             string `json:"code,omitzero"`
	Error            string `json:"error,omitzero"`
	ErrorDescription string `json:"error_description,omitzero"`
}

// ConnectionGetRequest asks for a connection, and how far a sign-in is that was begun for it. A
// ConnectURL that is none, or of another connection, or older than 21 minutes is invalid_request.
type ConnectionGetRequest struct {
	Target
	ConnectURL string `json:"connect_url,omitzero" jsonschema:"the connect_url that connections.authorize answered with: the reply says in sign_in how far that sign-in is"`
}

// Phases of a [SignIn].
const (
	// SignInWaiting: nobody has come back from Microsoft yet, or the sign-in is being completed.
	SignInWaiting = "waiting"
	// SignInConnected: the link has made the connection, whoever connected it again since.
	SignInConnected = "connected"
	// SignInFailed: who went on from the link last came back without success; it can be opened again.
	SignInFailed = "failed"
	// SignInExpired: the link cannot be opened any more, since its time is over or the connection was
	// deleted and made again. Whoever went on from it before its end may still complete for 10 minutes.
	SignInExpired = "expired"
)

// SignInPhases lists the phases of a sign-in.
func SignInPhases() []string {
	return []string{SignInWaiting, SignInConnected, SignInFailed, SignInExpired}
}

// A SignIn is how far the sign-in of a connect_url is. Error is there with SignInFailed and with
// nothing else: what the person's page said.
type SignIn struct {
	Phase string `json:"phase" jsonschema:"waiting: nobody has come back from Microsoft yet; connected: the link made the connection; failed: who came back last did without success; expired: the link cannot be opened any more"`
	Error *Error `json:"error,omitzero" jsonschema:"why, with failed only"`
}

// ConnectionGetReply holds one connection, and SignIn where the request named a connect_url.
type ConnectionGetReply struct {
	RequestHead
	Connection Connection `json:"connection"`
	SignIn     *SignIn    `json:"sign_in,omitzero" jsonschema:"how far the sign-in of connect_url is, where the request has one"`
}

// ConnectionRequest names a connection and nothing else: connections.delete,
// connections.limits, users.whoami.
type ConnectionRequest struct {
	Target
}

// ConnectionReply holds one connection.
type ConnectionReply struct {
	RequestHead
	Connection Connection `json:"connection"`
}

// ConnectionsListRequest asks for a page of connections in the order of their
// ids. On a subject that names a connection only that one is listed.
type ConnectionsListRequest struct {
	Target
	PageSize Count  `json:"page_size,omitzero" jsonschema:"1 to 1000, default 100"`
	Cursor   string `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before"`
}

// Bounds of ConnectionsListRequest.PageSize.
const (
	DefaultConnectionsPageSize = 100
	MaxConnectionsPageSize     = 1000
)

// ConnectionsListReply is a page of connections; a NextCursor means that there
// are more. One whose record cannot be read is among them, as [StatusUnreadable].
type ConnectionsListReply struct {
	Head
	Connections []Connection `json:"connections"`
	NextCursor  string       `json:"next_cursor,omitzero"`
}

// DeletedReply confirms that nothing of the connection is stored any more; Deleted
// reports whether there was one.
type DeletedReply struct {
	Head
	Deleted bool `json:"deleted"`
}
