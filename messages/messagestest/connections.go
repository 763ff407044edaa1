package messagestest

import (
	"cmp"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// aboutConnections answers connections.*.
func (c *call) aboutConnections(body []byte, send sender) *messages.Error {
	switch c.op {
	case messages.ConnectionsAuthorize:
		return plain(c, body, send, true, c.authorize)
	case messages.ConnectionsComplete:
		return plain(c, body, send, false,
			func(messages.CompleteRequest) (messages.ConnectionReply, *messages.Error) {
				return messages.ConnectionReply{}, messages.Errorf(messages.NotSupported, "completing over NATS is "+
					"switched off here (BUS_COMPLETION); people complete in their browser at the callback page")
			})
	case messages.ConnectionsGet:
		return plain(c, body, send, true,
			func(messages.ConnectionRequest) (out messages.ConnectionReply, fault *messages.Error) {
				conn, fault := c.known()
				if fault == nil {
					c.b.mu.Lock()
					out.Connection = conn.state
					c.b.mu.Unlock()
				}
				return out, fault
			})
	case messages.ConnectionsList:
		return plain(c, body, send, false, c.list)
	case messages.ConnectionsDelete:
		return plain(c, body, send, true, c.remove)
	case messages.ConnectionsCheck:
		return plain(c, body, send, true, c.check)
	case messages.ConnectionsLimits:
		return plain(c, body, send, true,
			func(messages.ConnectionRequest) (out messages.LimitsReply, fault *messages.Error) {
				conn, fault := c.known()
				if fault == nil {
					c.b.mu.Lock()
					out.Limit, out.Breaker, out.CallsToday, out.DailyCalls = 40, "closed", conn.calls, conn.daily
					c.b.mu.Unlock()
				}
				return out, fault
			})
	}
	return messages.Errorf(messages.Internal, "messagestest does not know %s", c.op)
}

// known is the connection of a call that needs no grant.
func (c *call) known() (*Connection, *messages.Error) {
	if fault := c.try(); fault != nil {
		return nil, fault
	}
	conn, err := c.b.connection(c.connection)
	if err != nil {
		return nil, noConnection(c.connection)
	}
	return conn, nil
}

func (c *call) authorize(in messages.AuthorizeRequest) (out messages.AuthorizeReply, fault *messages.Error) {
	const maxHint = 256
	at, fault := environment(in.EnvironmentURL)
	switch {
	case fault != nil:
		return out, fault
	case !slices.Contains([]string{"", messages.GrantAuthorizationCode, messages.GrantClientCredentials}, in.Grant):
		return out, messages.Invalid("grant", "must be authorization_code or client_credentials")
	case !slices.Contains([]string{"", "login", "none", "consent", "select_account"}, in.Prompt):
		return out, messages.Invalid("prompt", "must be login, consent, select_account or none")
	case in.DailyCalls > messages.MaxDailyCalls:
		return out, messages.Invalid("daily_calls", "must be from 1 to %d", messages.MaxDailyCalls)
	case len(in.LoginHint) > maxHint:
		return out, messages.Invalid("login_hint", "is longer than %d bytes", maxHint)
	case in.Grant == messages.GrantClientCredentials:
		return out, messages.Errorf(messages.ConfigurationError,
			"messagestest connects no application users: their connections are the operator's to list")
	}
	if fault = c.try(); fault != nil {
		return out, fault
	}
	made, err := c.b.newConnection(c.connection, at, nil)
	if err != nil {
		return out, messages.Errorf(messages.Internal, "%v", err)
	}
	made.state.Tables = []string{} // until somebody has been told
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	conn := c.b.connections[c.connection]
	if conn == nil {
		conn = made
		c.b.connections[c.connection] = conn
	}
	if conn.state.EnvironmentURL != at {
		return out, &messages.Error{Code: messages.ConnectionExists, Message: "connection " + c.connection +
			" belongs to " + conn.state.EnvironmentURL + "; delete it first or choose another id",
			Details: []messages.Detail{{Path: "connection", Message: "connection " + c.connection + " belongs to " +
				conn.state.EnvironmentURL + "; delete it first or choose another id"}}}
	}
	conn.asked = &in
	out.ConnectURL = "https://crmbridge.example/connect/" + strings.ReplaceAll(newID(), "-", "")
	out.ExpiresAt = now().Add(10 * time.Minute)
	return out, nil
}

func (c *call) list(in messages.ConnectionsListRequest) (out messages.ConnectionsListReply, fault *messages.Error) {
	out.Connections = []messages.Connection{}
	if fault = checkPageSize(in.PageSize, messages.MaxConnectionsPageSize); fault != nil {
		return out, fault
	}
	size := cmp.Or(int(in.PageSize), messages.DefaultConnectionsPageSize)
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if in.Cursor != "" && (err != nil || !messages.ValidConnection(string(after))) {
		return out, messages.Invalid("cursor", "is not a next_cursor of connections.list")
	}
	if fault = c.try(); fault != nil {
		return out, fault
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(c.b.connections)) {
		if c.connection != "" && id != c.connection || c.connection == "" && id <= string(after) {
			continue
		}
		if len(out.Connections) == size {
			out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(out.Connections[size-1].ID))
			break
		}
		out.Connections = append(out.Connections, c.b.connections[id].state)
	}
	return out, nil
}

func (c *call) remove(messages.ConnectionRequest) (out messages.DeletedReply, fault *messages.Error) {
	if fault = c.try(); fault != nil {
		return out, fault
	}
	c.b.mu.Lock()
	conn := c.b.connections[c.connection]
	delete(c.b.connections, c.connection)
	var event messages.ConnectionEvent
	if out.Deleted = conn != nil; out.Deleted {
		conn.version++
		event = conn.event(messages.EventDeleted)
	}
	c.b.mu.Unlock()
	if out.Deleted {
		c.b.purge(c.connection)
		c.b.publishEvent(event)
	}
	return out, nil
}

func (c *call) check(in messages.CheckRequest) (out messages.ChecksReply, fault *messages.Error) {
	chosen, fault := in.Chosen(c.b.options.Tables)
	if fault != nil {
		return out, fault
	}
	conn, fault := c.known()
	if fault != nil {
		return out, fault
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	own := slices.DeleteFunc(slices.Clone(c.b.options.Tables),
		func(t messages.Table) bool { return !slices.Contains(conn.state.Tables, t.Name) })
	tables := chosen
	if tables == nil {
		tables = own
	}
	switch conn.state.Status {
	case messages.StatusPending:
		return out, messages.Errorf(messages.ReauthorizationRequired,
			"connection %s is not connected yet; a person must open its connect link", conn.id)
	case messages.StatusReauthorizationRequired:
		out.Checks = []messages.PermissionCheck{{Name: messages.CheckToken, Detail: conn.state.LastError,
			HowToFix: "a person connects again: connections.authorize (crmbridge connect) gives the link"}}
		for _, name := range messages.Checks(tables)[1:] {
			out.Checks = append(out.Checks, messages.PermissionCheck{Name: name,
				Detail: "not tried: there is no access token"})
		}
		return out, nil
	}
	for _, name := range messages.Checks(tables) {
		found := messages.PermissionCheck{Name: name, OK: true}
		for _, t := range tables {
			told := slices.Contains(conn.state.Tables, t.Name)
			if told && name == t.ReadCheck() {
				found.Depth = messages.DepthOrganization
			}
			if !told && (name == t.ReadCheck() || name == t.ChangesCheck()) {
				found.OK, found.Detail = false, "the person who connected was not told that "+t.Name+" are read"
				found.HowToFix = "a person connects again: connections.authorize (crmbridge connect) gives the link"
			}
		}
		out.Checks = append(out.Checks, found)
	}
	return out, nil
}

// users answers users.*.
func (c *call) users(body []byte, send sender) *messages.Error {
	if c.op == messages.UsersWhoAmI {
		return plain(c, body, send, true,
			func(messages.ConnectionRequest) (out messages.WhoAmIReply, fault *messages.Error) {
				if fault = c.try(); fault != nil {
					return out, fault
				}
				return out, c.with("", func(conn *Connection, _ *table) *messages.Error {
					out = conn.whoami
					return nil
				})
			})
	}
	return plain(c, body, send, true, c.user)
}

func (c *call) user(in messages.UserGetRequest) (out messages.UserReply, fault *messages.Error) {
	const maxEmail = 1024
	switch {
	case in.UserID == "" && in.Email == "":
		return out, messages.Invalid("user_id", "is missing; give user_id or email")
	case in.UserID != "" && in.Email != "":
		return out, messages.Invalid("email", "comes with user_id; give one of them")
	case len(in.Email) > maxEmail:
		return out, messages.Invalid("email", "is longer than %d bytes", maxEmail)
	case in.UserID != "" && !isGUID(in.UserID):
		return out, notAGUID("user_id")
	}
	if fault = c.try(); fault != nil {
		return out, fault
	}
	return out, c.with("", func(conn *Connection, _ *table) *messages.Error {
		var all, enabled []string
		for _, user := range conn.users {
			if in.UserID != "" && !strings.EqualFold(user.ID, in.UserID) ||
				in.Email != "" && !strings.EqualFold(user.Email, in.Email) {
				continue
			}
			if all = append(all, user.ID); !user.Disabled {
				enabled = append(enabled, user.ID)
			}
			if in.UserID != "" || !user.Disabled {
				out.User = user
			}
		}
		out.User.Roles = append([]messages.Role{}, out.User.Roles...)
		switch {
		case len(all) == 0 && in.Email != "":
			return messages.Errorf(messages.NotFound, "no user has this e-mail address or user name")
		case len(all) == 0:
			return messages.Errorf(messages.NotFound, "Dataverse has no row with this id, or the user may not see it")
		case in.UserID != "" || len(enabled) == 1:
			return nil
		case len(enabled) == 0:
			return messages.Invalid("email", "no enabled user has it; for a disabled one ask by user_id, one of %s",
				strings.Join(all, ", "))
		}
		return messages.Invalid("email", "%d enabled users have it; ask by user_id, one of %s", len(enabled),
			strings.Join(all, ", "))
	})
}
