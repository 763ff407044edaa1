package messages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// A Client asks crmbridge over NATS, one typed method per operation. It is safe
// for concurrent use and holds nothing but the connection, which stays the
// caller's to close, and the bound of [Client.WithStreamBuffer].
//
// A context's deadline travels with the request, so that crmbridge stops when
// the caller does; without one a request waits DefaultDeadline. Every error
// that crmbridge answered is an *Error.
type Client struct {
	nc     *nats.Conn
	buffer int // bytes of one stream that may wait for their reader
}

// DefaultStreamBuffer is how many bytes of one stream may wait for their reader. The
// longest stream fits: MaxStreamRows rows are ten pages of Dataverse, each of 64 MiB
// at most.
const DefaultStreamBuffer = 1 << 30

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
	reply, err := call[ConnectionReply](ctx, c, ConnectionsGet, &ConnectionRequest{Target{id}})
	if err != nil {
		return nil, err
	}
	return &reply.Connection, nil
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

// DeleteIfThere is [Client.Delete], and says whether there was a connection.
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
	reply, err := call[UserReply](ctx, c, UsersGet, &in)
	if err != nil {
		return nil, err
	}
	return &reply.User, nil
}

// Account returns one account.
func (c *Client) Account(ctx context.Context, in AccountGetRequest) (Account, error) {
	reply, err := call[AccountReply](ctx, c, AccountsGet, &in)
	if err != nil {
		return nil, err
	}
	return reply.Account, nil
}

// Check tries each permission that crmbridge needs in the connection's environment.
func (c *Client) Check(ctx context.Context, connection string) ([]PermissionCheck, error) {
	reply, err := call[ChecksReply](ctx, c, ConnectionsCheck, &ConnectionRequest{Target{connection}})
	if err != nil {
		return nil, err
	}
	return reply.Checks, nil
}

// Count returns how many accounts match, however many.
func (c *Client) Count(ctx context.Context, in AccountsCountRequest) (int64, error) {
	reply, err := call[AccountsCountReply](ctx, c, AccountsCount, &in)
	if err != nil {
		return 0, err
	}
	return reply.Count, nil
}

// Fields returns one page of the columns that accounts have.
func (c *Client) Fields(ctx context.Context, in AccountsFieldsRequest) (*AccountsFieldsReply, error) {
	return call[AccountsFieldsReply](ctx, c, AccountsFields, &in)
}

// Changes returns one page of what changed since in.Cursor was given out.
func (c *Client) Changes(ctx context.Context, in AccountsChangesRequest) (*AccountsChangesReply, error) {
	return call[AccountsChangesReply](ctx, c, AccountsChanges, &in)
}

// Search returns one page of accounts; in.Mode must not be ModeStream.
func (c *Client) Search(ctx context.Context, in AccountsSearchRequest) (*AccountsPage, error) {
	if in.Mode == ModeStream {
		return nil, Invalid("mode", "Search reads one reply; use Stream")
	}
	return call[AccountsPage](ctx, c, AccountsSearch, &in)
}

// Pages follows the cursors of a search until there are no more, one request a
// page. It ends after the first error.
func (c *Client) Pages(ctx context.Context, in AccountsSearchRequest) iter.Seq2[*AccountsPage, error] {
	return func(yield func(*AccountsPage, error) bool) {
		for {
			page, err := c.Search(ctx, in)
			if !yield(page, err) || err != nil || page.NextCursor == "" {
				return
			}
			in = AccountsSearchRequest{Target: in.Target, Cursor: page.NextCursor}
		}
	}
}

// Stream asks for a search in stream mode and yields the replies as they come.
// The last one carries a NextCursor where there are more than MaxStreamRows. It
// ends after the first error; a gap in the numbering is one.
//
// crmbridge sends a stream as fast as Dataverse gives it, and what the loop's body has
// not taken yet waits in this process: no more than DefaultStreamBuffer bytes, or what
// WithStreamBuffer says. A reader who falls behind further gets an error of code
// unavailable that wraps nats.ErrSlowConsumer. One with little memory uses Pages, where
// each page is asked for when the one before has been read. What has arrived is given
// out also when DefaultDeadline is over; a context's own deadline ends the stream.
func (c *Client) Stream(ctx context.Context, in AccountsSearchRequest) iter.Seq2[*AccountsPage, error] {
	in.Mode = ModeStream
	return func(yield func(*AccountsPage, error) bool) {
		for reply, err := range c.replies(ctx, AccountsSearch, &in) {
			var page *AccountsPage
			if err == nil {
				page, err = decodeReply[AccountsPage](reply)
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

func call[Out any](ctx context.Context, c *Client, op Operation, in Request) (*Out, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	msg, err := c.message(ctx, op, in)
	if err != nil {
		return nil, err
	}
	reply, err := c.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, transportError(ctx, msg.Subject, err)
	}
	return decodeReply[Out](reply)
}

// replies publishes one request and yields its messages up to the last.
func (c *Client) replies(ctx context.Context, op Operation, in Request) iter.Seq2[*nats.Msg, error] {
	return func(yield func(*nats.Msg, error) bool) {
		caller := ctx
		ctx, cancel := withDeadline(ctx)
		defer cancel()
		msg, err := c.message(ctx, op, in)
		if err != nil {
			yield(nil, err)
			return
		}
		msg.Reply = c.nc.NewInbox()
		inbox, err := c.nc.SubscribeSync(msg.Reply)
		if err != nil {
			yield(nil, transportError(ctx, msg.Subject, err))
			return
		}
		defer func() { _ = inbox.Unsubscribe() }() // the inbox dies with the request either way
		if err := inbox.SetPendingLimits(-1, c.buffer); err != nil {
			yield(nil, transportError(ctx, msg.Subject, err))
			return
		}
		if err := c.nc.PublishMsg(msg); err != nil {
			yield(nil, transportError(ctx, msg.Subject, err))
			return
		}
		for page := 1; ; page++ {
			reply, err := nextReply(caller, ctx, inbox)
			if errors.Is(err, nats.ErrSlowConsumer) {
				yield(nil, Errorf(Unavailable, "the stream is read more slowly than it comes: more than %d bytes of it would have to wait; "+
					"read faster, select fewer fields, or ask page by page", c.buffer).Because(err))
				return
			}
			if err != nil {
				yield(nil, transportError(ctx, msg.Subject, err))
				return
			}
			if len(reply.Data) == 0 && reply.Header.Get("Status") == "503" {
				yield(nil, transportError(ctx, msg.Subject, nats.ErrNoResponders))
				return
			}
			if isError(reply) { // the end, numbered or not: the process may have been too full to read the request
				yield(reply, nil)
				return
			}
			if number := reply.Header.Get(HeaderPage); number != strconv.Itoa(page) {
				yield(nil, Errorf(Unavailable, "message %d of the answer is missing (number %q came in its place); ask again", page, number))
				return
			}
			if !yield(reply, nil) || reply.Header.Get(HeaderLast) == "true" {
				return
			}
		}
	}
}

// nextReply returns what has arrived, or waits until ctx ends. The deadline that the
// client set itself is crmbridge's, not the reader's.
func nextReply(caller, ctx context.Context, inbox *nats.Subscription) (*nats.Msg, error) {
	if n, _, err := inbox.Pending(); err == nil && n > 0 && caller.Err() == nil {
		return inbox.NextMsg(time.Second)
	}
	return inbox.NextMsgWithContext(ctx)
}

func (c *Client) message(ctx context.Context, op Operation, in Request) (*nats.Msg, error) {
	subject := op.Subject()
	if connection := *in.TargetID(); connection != "" {
		if !ValidConnection(connection) {
			return nil, Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
		}
		subject = op.ScopedSubject(connection)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("%s: encode the request: %w", op, withoutValue(err))
	}
	msg := nats.NewMsg(subject)
	msg.Data = body
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a request id: %w", err)
	}
	msg.Header.Set(HeaderRequestID, id.String())
	if deadline, ok := ctx.Deadline(); ok {
		msg.Header.Set(HeaderDeadline, deadline.UTC().Format(time.RFC3339Nano))
	}
	return msg, nil
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, DefaultDeadline)
}

func decodeReply[Out any](msg *nats.Msg) (*Out, error) {
	if isError(msg) {
		var reply ErrorReply
		if err := json.Unmarshal(msg.Data, &reply); err != nil || reply.Error == nil {
			return nil, Errorf(cmp.Or(Code(msg.Header.Get(HeaderErrorCode)), Internal),
				"%s", cmp.Or(msg.Header.Get(HeaderServiceError), "crmbridge answered with an error that says nothing"))
		}
		return nil, reply.Error
	}
	var out Out
	if err := json.Unmarshal(msg.Data, &out); err != nil {
		return nil, fmt.Errorf("the answer is not what crmbridge sends: %w", withoutValue(err))
	}
	return &out, nil
}

func isError(msg *nats.Msg) bool {
	return msg.Header.Get(HeaderErrorCode) != "" || msg.Header.Get(HeaderServiceErrorCode) != ""
}

func transportError(ctx context.Context, subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return Errorf(Unavailable, "no crmbridge listens on %s", subject).Because(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return Errorf(DeadlineExceeded, "no answer on %s in time", subject).Because(err)
	case errors.Is(err, nats.ErrMaxPayload):
		return Errorf(TooLarge, "the request is larger than the NATS server takes in one message").Because(err)
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return Errorf(Unavailable, "%s: %v", subject, err).Because(err)
	}
}
