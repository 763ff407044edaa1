package messages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// Ask sends the request of an operation that no table names, and returns its reply as a whole, such as
//
//	reply, err := messages.Ask[messages.JobReply](ctx, client, messages.JobsGet, &messages.JobRequest{…})
//
// Out is the operation's reply. The methods of [Client] and [JobsClient] do the same for who needs no
// request id. Errors are theirs.
func Ask[Out any, In any, P interface {
	*In
	Request
}](ctx context.Context, c *Client, op Operation, in P) (*Out, error) {
	if fault := aboutJob(in); fault != nil {
		return nil, fault
	}
	return call[Out](ctx, c, op, in)
}

// call sends a request that no table names, and reads its one reply.
func call[Out any, In any, P interface {
	*In
	Request
}](ctx context.Context, c *Client, op Operation, in P) (*Out, error) {
	return callAs(ctx, c, op, NewCodec[In](), (*In)(in), NewCodec[Out]())
}

// callAs sends one request and reads its one reply.
func callAs[In, Out any](ctx context.Context, c *Client, op Operation, request Codec[In], in *In,
	reply Codec[Out]) (*Out, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	msg, err := message(ctx, op, request, in)
	if err != nil {
		return nil, err
	}
	answer, err := c.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, transportError(ctx, msg.Subject, err)
	}
	return readReply(answer, reply)
}

// message makes the request of an operation.
func message[In any](ctx context.Context, op Operation, codec Codec[In], in *In) (*nats.Msg, error) {
	subject := op.Subject()
	if connection := targetOf(in); connection != "" {
		if !ValidConnection(connection) {
			return nil, Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
		}
		subject = op.ScopedSubject(connection)
	}
	body, err := codec.Encode(in)
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
	inject(ctx, msg.Header)
	return msg, nil
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, DefaultDeadline)
}

// targetOf is the connection that a request names.
func targetOf(in any) string {
	request, names := in.(Request)
	if !names {
		return ""
	}
	return *request.TargetID()
}

// readReply reads a result, or the error that came in its place.
func readReply[Out any](msg *nats.Msg, codec Codec[Out]) (*Out, error) {
	if isError(msg) {
		var reply ErrorReply
		if err := json.Unmarshal(msg.Data, &reply); err != nil || reply.Error == nil {
			return nil, Errorf(cmp.Or(Code(msg.Header.Get(HeaderErrorCode)), Internal),
				"%s", cmp.Or(msg.Header.Get(HeaderServiceError), "crmbridge answered with an error that says nothing"))
		}
		return nil, reply.Error
	}
	if stream := acknowledging(msg); stream != "" {
		return nil, Errorf(ConfigurationError,
			"the JetStream stream %s acknowledged the request in crmbridge's place; "+
				"take requests out of its subjects", Printable(stream))
	}
	var out Out
	if err := codec.Read(msg.Data, &out); err != nil {
		return nil, fmt.Errorf("the answer is not what crmbridge sends: %w", withoutValue(err))
	}
	return &out, nil
}

// acknowledging is the stream whose acknowledgement a message is, "" where it is none. It
// would read as an answer without anything in it. crmbridge's replies have a request id.
func acknowledging(msg *nats.Msg) string {
	const longest = 1 << 10
	if msg.Header.Get(HeaderRequestID) != "" || len(msg.Data) > longest {
		return ""
	}
	var ack struct {
		Stream string `json:"stream"`
		Seq    uint64 `json:"seq"`
	}
	if json.Unmarshal(msg.Data, &ack) != nil || ack.Seq == 0 {
		return ""
	}
	return ack.Stream
}

func isError(msg *nats.Msg) bool {
	return msg.Header.Get(HeaderErrorCode) != "" || msg.Header.Get(HeaderServiceErrorCode) != ""
}

func transportError(ctx context.Context, subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return Errorf(Unavailable, "no crmbridge listens on %s: none is ready, or none serves it (TABLES)",
			subject).Because(err)
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
