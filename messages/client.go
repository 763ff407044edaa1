package messages

import (
	"context"

	"github.com/nats-io/nats.go"
)

// A Client asks crmbridge over NATS, one typed method per operation; what belongs
// to a table is reached by [Client.Accounts], [Client.Contacts] or [Client.Table].
// It is safe for concurrent use and holds nothing but the connection, which stays
// the caller's to close, and the bound of [Client.WithStreamBuffer].
//
// A context's deadline travels with the request, so that crmbridge stops when
// the caller does; without one a request waits DefaultDeadline. Every error
// that crmbridge answered is an *Error.
type Client struct {
	nc     *nats.Conn
	buffer int // bytes of one stream that may wait for their reader
}

// NewClient makes a Client that asks over nc.
func NewClient(nc *nats.Conn) *Client { return &Client{nc: nc, buffer: DefaultStreamBuffer} }

// WithStreamBuffer returns a Client of the same connection that lets at most so many
// bytes of a stream wait for their reader; 0 or less means DefaultStreamBuffer.
func (c *Client) WithStreamBuffer(bytes int) *Client {
	if bytes <= 0 {
		bytes = DefaultStreamBuffer
	}
	return &Client{nc: c.nc, buffer: bytes}
}

// Authorize asks for the page where a person connects an environment.
func (c *Client) Authorize(ctx context.Context, in AuthorizeRequest) (*AuthorizeReply, error) {
	return call[AuthorizeReply](ctx, c, ConnectionsAuthorize, &in)
}

// Complete hands in what Microsoft's redirect brought; see CompleteRequest.
func (c *Client) Complete(ctx context.Context, in CompleteRequest) (*ConnectionReply, error) {
	return call[ConnectionReply](ctx, c, ConnectionsComplete, &in)
}

// Connection describes one connection.
func (c *Client) Connection(ctx context.Context, id string) (*Connection, error) {
	reply, err := call[ConnectionGetReply](ctx, c, ConnectionsGet, &ConnectionGetRequest{Target: Target{id}})
	if err != nil {
		return nil, err
	}
	return &reply.Connection, nil
}

// SignIn describes a connection and how far the sign-in is that Authorize began, by the ConnectURL
// that it answered with. It is how to learn that the person declined.
func (c *Client) SignIn(ctx context.Context, id, connectURL string) (*ConnectionGetReply, error) {
	return call[ConnectionGetReply](ctx, c, ConnectionsGet, &ConnectionGetRequest{Target{id}, connectURL})
}

// Connections returns one page of connections.
func (c *Client) Connections(ctx context.Context, in ConnectionsListRequest) (*ConnectionsListReply, error) {
	return call[ConnectionsListReply](ctx, c, ConnectionsList, &in)
}

// Delete removes a connection; deleting one that is not there is no error.
func (c *Client) Delete(ctx context.Context, id string) error {
	_, err := c.DeleteIfThere(ctx, id)
	return err
}

// DeleteIfThere is [Client.Delete], and reports whether there was a connection.
func (c *Client) DeleteIfThere(ctx context.Context, id string) (deleted bool, err error) {
	reply, err := call[DeletedReply](ctx, c, ConnectionsDelete, &ConnectionRequest{Target{id}})
	return err == nil && reply.Deleted, err
}

// WhoAmI asks Dataverse who the connection acts as.
func (c *Client) WhoAmI(ctx context.Context, connection string) (*WhoAmIReply, error) {
	return call[WhoAmIReply](ctx, c, UsersWhoAmI, &ConnectionRequest{Target{connection}})
}

// User returns one user with the roles.
func (c *Client) User(ctx context.Context, in UserGetRequest) (*User, error) {
	reply, err := c.UserReply(ctx, in)
	if err != nil {
		return nil, err
	}
	return &reply.User, nil
}

// UserReply is [Client.User] with the reply as a whole.
func (c *Client) UserReply(ctx context.Context, in UserGetRequest) (*UserReply, error) {
	return call[UserReply](ctx, c, UsersGet, &in)
}

// Check tries each permission that crmbridge needs in the connection's environment.
func (c *Client) Check(ctx context.Context, in CheckRequest) ([]PermissionCheck, error) {
	reply, err := call[ChecksReply](ctx, c, ConnectionsCheck, &in)
	if err != nil {
		return nil, err
	}
	return reply.Checks, nil
}

// Limits says how much of the limits of a connection's user is used.
func (c *Client) Limits(ctx context.Context, connection string) (*LimitsReply, error) {
	return call[LimitsReply](ctx, c, ConnectionsLimits, &ConnectionRequest{Target{connection}})
}
