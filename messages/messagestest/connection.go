package messagestest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// A Connection is one customer's environment, as a test sees it.
type Connection struct {
	b  *Bridge
	id string

	// Guarded by the bridge.
	state       messages.Connection
	incarnation string
	version     int64
	whoami      messages.WhoAmIReply
	tables      map[string]*table
	users       Users
	calls       int
	daily       int
	asked       *messages.AuthorizeRequest // the last connections.authorize that nobody has completed
}

// Connect makes a connection that works, as if a person had connected it: with the rows, columns
// and users that are given, and the event connected. Its id must not be that of another.
func (b *Bridge) Connect(id string, of ...Setup) *Connection {
	b.t.Helper()
	c, err := b.newConnection(id, "https://"+strings.ToLower(strings.ReplaceAll(id, "_", "-"))+".crm4.dynamics.com",
		of)
	if err != nil {
		b.t.Fatalf("messagestest: connect %q: %v", id, err)
	}
	b.mu.Lock()
	_, there := b.connections[id]
	if !there {
		b.connections[id] = c
	}
	b.mu.Unlock()
	if there {
		b.t.Fatalf("messagestest: there is a connection %q", id)
	}
	c.grant()
	return c
}

// newConnection is a pending connection.
func (b *Bridge) newConnection(id, environment string, of []Setup) (*Connection, error) {
	if !messages.ValidConnection(id) {
		return nil, fmt.Errorf("the id is not 1 to 64 letters, digits, _ and -")
	}
	var given setup
	for _, part := range of {
		part.of(&given)
	}
	c := &Connection{b: b, id: id, tables: map[string]*table{}, users: given.users}
	var secret [9]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, err
	}
	c.incarnation = hex.EncodeToString(secret[:])
	made := func(what string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(environment+what)).String() }
	c.whoami = messages.WhoAmIReply{UserID: made("#user"), BusinessUnitID: made("#unit"),
		OrganizationID: made("#organization")}
	c.state = messages.Connection{ID: id, EnvironmentURL: environment, TenantID: made("#tenant"),
		Grant: messages.GrantAuthorizationCode, Status: messages.StatusPending, Scopes: []string{}, Tables: []string{},
		CreatedAt: now()}
	names := messages.TableNames(b.options.Tables)
	if given.tables == nil {
		given.tables = names
	}
	for _, name := range given.tables {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("the bridge serves no table %q", name)
		}
	}
	for _, described := range b.options.Tables {
		t, err := newTable(described, given.columns[described.Name])
		if err != nil {
			return nil, err
		}
		c.tables[described.Name] = t
		for i, values := range given.rows[described.Name] {
			if _, err := t.put(values, stamp()); err != nil {
				return nil, fmt.Errorf("row %d: %w", i, err)
			}
		}
	}
	for _, named := range []map[string]bool{keys(given.rows), keys(given.columns)} {
		for name := range named {
			if c.tables[name] == nil {
				return nil, fmt.Errorf("the bridge serves no table %q", name)
			}
		}
	}
	c.state.Tables = given.tables
	return c, nil
}

func keys[V any](m map[string]V) map[string]bool {
	names := map[string]bool{}
	for name := range m {
		names[name] = true
	}
	return names
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// stamp is a time as Dataverse writes it.
func stamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05Z") }

// Incarnation is the connection's incarnation.
func (c *Connection) Incarnation() string {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.incarnation
}

// Put makes rows of a table, or changes the fields that are given of those whose id is there, and
// returns the ids. The next changes bring them.
func (c *Connection) Put(table string, rows ...Row) (ids []string) {
	c.b.t.Helper()
	c.b.mu.Lock()
	t := c.tables[table]
	var err error
	for _, row := range rows {
		id := ""
		if t == nil || err != nil {
			break
		}
		if id, err = t.put(row, stamp()); err == nil {
			ids = append(ids, id)
		}
	}
	c.b.mu.Unlock()
	if t == nil {
		err = fmt.Errorf("the bridge serves no table %q", table)
	}
	if err != nil {
		c.b.t.Fatalf("messagestest: put rows: %v", err)
	}
	return ids
}

// Delete deletes rows of a table. The next changes bring their ids.
func (c *Connection) Delete(table string, ids ...string) {
	c.b.t.Helper()
	c.b.mu.Lock()
	t := c.tables[table]
	missing := ""
	for _, id := range ids {
		if t == nil || !t.remove(id) {
			missing = id
		}
	}
	c.b.mu.Unlock()
	if missing != "" {
		c.b.t.Fatalf("messagestest: %s of %s have no row %s to delete", table, c.id, missing)
	}
}

// Revoke takes the grant away, as an administrator does and the next request finds out: requests
// are reauthorization_required, and there is the event of that name.
func (c *Connection) Revoke() {
	c.b.mu.Lock()
	active := c.state.Status == messages.StatusActive
	if active {
		c.state.Status = messages.StatusReauthorizationRequired
		c.state.LastError = "Microsoft no longer accepts this connection's grant; a person must connect again"
		c.version++
	}
	event := c.event(messages.EventReauthorizationRequired)
	c.b.mu.Unlock()
	if active {
		c.b.publishEvent(event)
	}
}

// Approve is the person who follows the connect link and signs in: of connections.authorize, or of
// a connection whose grant is gone.
func (b *Bridge) Approve(id string) *Connection {
	b.t.Helper()
	c, err := b.connection(id)
	if err != nil {
		b.t.Fatalf("messagestest: approve: %v", err)
	}
	c.grant()
	return c
}

// grant gives the connection a grant.
func (c *Connection) grant() {
	c.b.mu.Lock()
	at := now()
	expires := at.Add(time.Hour)
	c.state.Status, c.state.LastError = messages.StatusActive, ""
	c.state.UserID, c.state.OrganizationID = c.whoami.UserID, c.whoami.OrganizationID
	user, organization := "marta.nowak@"+c.id+".example", c.id
	c.state.UserName, c.state.OrganizationName = &user, &organization
	c.state.Scopes = []string{c.state.EnvironmentURL + "/user_impersonation", "openid", "profile"}
	c.state.RefreshedAt, c.state.AccessTokenExpiresAt = &at, &expires
	if asked := c.asked; asked != nil && asked.DailyCalls > 0 {
		c.daily = int(asked.DailyCalls)
	}
	c.asked = nil
	if len(c.state.Tables) == 0 {
		c.state.Tables = messages.TableNames(c.b.options.Tables)
	}
	c.version++
	event := c.event(messages.EventConnected)
	c.b.mu.Unlock()
	c.b.publishEvent(event)
}

// event describes a change that has been made.
func (c *Connection) event(kind string) messages.ConnectionEvent {
	e := messages.ConnectionEvent{EventID: fmt.Sprintf("%s.%s.%d.%s", c.id, c.incarnation, c.version, kind), Kind: kind,
		Connection: c.id, EnvironmentURL: c.state.EnvironmentURL, At: now(), Status: c.state.Status,
		Incarnation: c.incarnation, Version: c.version, LastError: c.state.LastError}
	if kind == messages.EventDeleted {
		e.Status, e.LastError = "", ""
	}
	return e
}

// publishEvent publishes an event; CRM_EVENTS has it when it returns.
func (b *Bridge) publishEvent(e messages.ConnectionEvent) {
	msg := nats.NewMsg(messages.EventSubject(e.Kind, e.Connection))
	msg.Data = wire(e)
	if _, err := b.store(msg, jetstream.WithMsgID(e.EventID)); err != nil {
		b.t.Errorf("messagestest: publish the event %s: %v", e.EventID, err)
	}
}

// environment checks the origin of an environment.
func environment(text string) (string, *messages.Error) {
	if text == "" {
		return "", messages.Invalid("environment_url",
			"is missing; give the environment's origin, such as https://contoso.crm4.dynamics.com")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".dynamics.com") {
		return "", messages.Invalid("environment_url",
			"is not the origin of a Dataverse environment, such as https://contoso.crm4.dynamics.com")
	}
	return "https://" + strings.Replace(strings.ToLower(u.Host), ".api.crm", ".crm", 1), nil
}
