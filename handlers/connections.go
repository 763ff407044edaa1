package handlers

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// connectionsGet answers connections.get, to whoever has a connect link also how far its sign-in is.
// That is looked up first: the connection is then not older than what is said of it.
func (o *Operations) connectionsGet(ctx context.Context, c route.Call,
	in messages.ConnectionGetRequest) (reply messages.ConnectionGetReply, err error) {
	if in.ConnectURL != "" {
		signIn, err := o.Authorizer.SignIn(ctx, c.Connection, in.ConnectURL)
		if err != nil {
			return reply, err
		}
		reply.SignIn = &messages.SignIn{Phase: signIn.Phase}
		if signIn.Err != nil {
			reply.SignIn.Error = route.Classify(ctx, false, signIn.Err)
		}
	}
	connection, err := o.Store.Get(ctx, c.Connection)
	if err != nil {
		return reply, err
	}
	reply.Connection = connectionOf(connection)
	return reply, nil
}

// connectionsDelete answers connections.delete; that there is nothing to delete
// is no error, and said.
func (o *Operations) connectionsDelete(ctx context.Context, c route.Call,
	_ messages.ConnectionRequest) (messages.DeletedReply, error) {
	there, err := o.Store.DeleteIfThere(ctx, c.Connection)
	if err == nil && o.Purge != nil {
		o.Purge(ctx, c.Connection)
	}
	return messages.DeletedReply{Deleted: there}, err
}

// connectionsList answers connections.list, in the order of the ids. On a subject
// that names a connection it lists only that one.
func (o *Operations) connectionsList(ctx context.Context, c route.Call,
	in messages.ConnectionsListRequest) (messages.ConnectionsListReply, error) {
	reply := messages.ConnectionsListReply{Connections: []messages.Connection{}}
	size := int(in.PageSize)
	if size == 0 {
		size = messages.DefaultConnectionsPageSize
	}
	if size > messages.MaxConnectionsPageSize {
		return reply, messages.Invalid("page_size", "must be from 1 to %d", messages.MaxConnectionsPageSize)
	}
	if c.Connection != "" {
		connection, err := o.Store.Get(ctx, c.Connection)
		if tokens.CodeOf(err) == tokens.CodeConnectionNotFound {
			return reply, nil
		}
		if err != nil {
			var ok bool
			if connection, ok = tokens.Unreadable(c.Connection, err); !ok {
				return reply, err
			}
		}
		reply.Connections = append(reply.Connections, connectionOf(connection))
		return reply, nil
	}
	after, err := listAfter(in.Cursor)
	if err != nil {
		return reply, err
	}
	connections, next, err := o.Store.List(ctx, after, size)
	if err != nil {
		return reply, err
	}
	for _, connection := range connections {
		reply.Connections = append(reply.Connections, connectionOf(connection))
	}
	if next != "" {
		reply.NextCursor = listCursor(next)
	}
	return reply, nil
}

// listCursor is a cursor of connections.list that goes on after an id, or after what would sort
// there.
func listCursor(after string) string { return base64.RawURLEncoding.EncodeToString([]byte(after)) }

// listAfter reads a cursor of connections.list: the last id that was listed, which may be
// that of something unreadable. There is nothing in it to protect.
func listAfter(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(after) == 0 || len(after) > tokens.MaxAfter {
		return "", messages.Invalid("cursor", "is not a next_cursor of connections.list")
	}
	return string(after), nil
}

// connectionOf is the connection as requesters see it.
func connectionOf(c tokens.Connection) messages.Connection {
	return messages.Connection{
		ID: c.ID, EnvironmentURL: c.EnvironmentURL, TenantID: c.TenantID, Grant: c.Grant, Status: c.Status,
		UserID: c.UserID, OrganizationID: c.OrganizationID, Scopes: append([]string{}, c.Scopes...),
		Tables:               append([]string{}, c.Tables...),
		AccessTokenExpiresAt: timeOf(c.AccessTokenExpiresAt), CreatedAt: c.CreatedAt.UTC(),
		RefreshedAt: timeOf(c.RefreshedAt), LastError: c.LastError,
		UserName: nameOf(c.UserName), UserFullName: nameOf(c.UserFullName),
		OrganizationName: nameOf(c.OrganizationName),
	}
}

func nameOf(name string) *string {
	if name == "" {
		return nil
	}
	return &name
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
