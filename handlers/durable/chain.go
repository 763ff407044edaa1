package durable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// stored is the last message of a job's results, which alone says how far the job has come.
// The zero value is a job without results.
type stored struct {
	sequence    uint64 // in CRM_RESULTS
	page        int
	rows        int64
	total       *int64
	last        bool
	code        messages.Code // of an end that is an error
	incarnation string
	checkpoint  string
	size        int64
	data        []byte // of an end that is an error
	time        time.Time
}

// errForeign: a message on the result subject is none that crmbridge wrote.
var errForeign = errors.New("the last message of the results is none of crmbridge's")

// readStored reads the last message of a job's results. Its error is errForeign where the
// headers are not those of a result; who may publish there is NATS's to say.
func readStored(msg *jetstream.RawStreamMsg) (stored, error) {
	if msg == nil {
		return stored{}, nil
	}
	s := stored{sequence: msg.Sequence, time: msg.Time, last: msg.Header.Get(messages.HeaderLast) == "true",
		code:        messages.Code(msg.Header.Get(messages.HeaderErrorCode)),
		incarnation: msg.Header.Get(messages.HeaderIncarnation),
		checkpoint:  msg.Header.Get(messages.HeaderCheckpoint),
		size:        int64(route.HeaderSize(msg.Header) + len(msg.Data))}
	if _, known := effects[s.code]; s.code != "" && !known {
		s.code = messages.Internal
	}
	page, pageOK := number(msg, messages.HeaderPage)
	rows, rowsOK := number(msg, messages.HeaderRows)
	s.page, s.rows = int(page), rows
	switch {
	case !pageOK, page < 1:
		return s, fmt.Errorf("%w: its %s is no number", errForeign, messages.HeaderPage)
	case !rowsOK:
		return s, fmt.Errorf("%w: its %s is no number", errForeign, messages.HeaderRows)
	}
	if total, ok := number(msg, messages.HeaderTotal); ok {
		s.total = &total
	}
	if s.last && s.code != "" {
		s.data = msg.Data
	}
	return s, nil
}

// number reads a header that counts something.
func number(msg *jetstream.RawStreamMsg, name string) (int64, bool) {
	n, err := strconv.ParseInt(msg.Header.Get(name), 10, 64)
	return n, err == nil && n == countable(n)
}

// fault is the error that an end stands for, nil for none.
func (s stored) fault() *messages.Error {
	if s.code == "" {
		return nil
	}
	var body messages.ErrorReply
	if json.Unmarshal(s.data, &body) == nil && body.Error != nil && body.Error.Code == s.code {
		return body.Error
	}
	return messages.Errorf(s.code, "%s", s.code.Sentence())
}

// state is that of a job with this end.
func (s stored) state() messages.JobState {
	switch s.code {
	case "":
		return messages.JobDone
	case messages.Cancelled:
		return messages.JobCancelled
	default:
		return messages.JobFailed
	}
}

// last reads the last stored message, for as long as the claim lasts. What is of another
// incarnation than the connection's is not among the results: it is deleted. Its errors are
// those of the claim, errOther, errForeign, or that the connection is gone.
func (x *execution) last(ctx context.Context) (stored, error) {
	for {
		s, err := x.read(ctx)
		foreign := errors.Is(err, errForeign)
		if err != nil && !foreign || s.sequence == 0 || s.incarnation == x.incarnation {
			return s, err
		}
		if err := x.dismiss(ctx, s); err != nil {
			return s, err
		}
	}
}

// errOther: the connection was deleted and made again; what is left to do for the job is no
// business of this execution.
var errOther = errors.New("the connection has another incarnation")

// incarnation is that of a connection as it is stored now. Its error is connection_not_found
// where there is none.
func (l *Lane) incarnation(ctx context.Context, connection string) (string, error) {
	if l.options.Stored == nil {
		return l.options.Connections.Incarnation(ctx, connection)
	}
	current, err := l.options.Stored(ctx, connection)
	if err == nil && current == "" {
		err = &tokens.Error{Code: tokens.CodeConnectionNotFound, Message: "there is no such connection"}
	}
	return current, err
}

// dismiss deletes a message of an incarnation that has ended. The connection is asked after
// the message was read: an incarnation that it does not have by then never comes again.
func (x *execution) dismiss(ctx context.Context, s stored) error {
	current, err := x.lane.incarnation(ctx, x.key.connection)
	switch {
	case err != nil:
		return err
	case current != x.incarnation:
		return errOther
	}
	return deleteMessage(ctx, x.lane.js, messages.ResultsStream, s.sequence)
}

// read reads the last stored message, again while JetStream does not answer.
func (x *execution) read(ctx context.Context) (stored, error) {
	if first := x.first; first != nil {
		x.first = nil
		return readStored(first.last)
	}
	subject := messages.ResultSubject(x.key.connection, x.key.id)
	for {
		msg, err := lastOf(context.WithoutCancel(ctx), x.lane.js, messages.ResultsStream, subject)
		if err == nil {
			return readStored(msg)
		}
		if ctx.Err() != nil {
			return stored{}, context.Cause(ctx)
		}
		if err := x.fresh(ctx); err != nil {
			return stored{}, err
		}
		pause(ctx, apiAgain)
	}
}

// apiAgain is how long JetStream is left alone before it is asked again.
const apiAgain = 100 * time.Millisecond

// gone reports whether the server did not find the message that was to be deleted: a store
// says it as 10057 with words of its own.
func gone(answer *jetstream.APIError) bool {
	const sequenceNotFound, deleteFailed = 10043, 10057
	switch answer.ErrorCode {
	case jetstream.JSErrCodeMessageNotFound, sequenceNotFound:
		return true
	case deleteFailed:
		return answer.Description == "no message found" || answer.Description == "stream store EOF" ||
			answer.Description == "deleted message"
	}
	return false
}
