package messages

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// DefaultStreamBuffer is how many bytes of one stream may wait for their reader. The
// longest stream fits: MaxStreamRows rows are ten pages of Dataverse, each of 64 MiB
// at most.
const DefaultStreamBuffer = 1 << 30

// replies publishes one request and yields its messages up to the last.
func replies[In any](ctx context.Context, c *Client, op Operation, codec Codec[In],
	in *In) iter.Seq2[*nats.Msg, error] {
	return func(yield func(*nats.Msg, error) bool) {
		caller := ctx
		ctx, cancel := withDeadline(ctx)
		defer cancel()
		msg, err := message(ctx, op, codec, in)
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
				yield(nil, Errorf(Unavailable, "the stream is read more slowly than it comes: more than %d bytes "+
					"of it would have to wait; "+
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
				yield(nil, Errorf(Unavailable, "message %d of the answer is missing (number %q came in "+
					"its place); ask again", page, number))
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
