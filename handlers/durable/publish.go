package durable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A page is what is stored of a job's results together. Its last message has the place to go
// on from, or is the end.
type page struct {
	messages   []*nats.Msg
	rows       int64
	total      *int64
	size       int64
	checkpoint string
	last       bool
}

// errMoved: the results have got other messages than this execution stored, so that the
// operation is begun again after them.
var errMoved = errors.New("somebody else stored a page")

// page writes parts as the messages after the last stored one. With more than one, they are
// a batch.
func (x *execution) page(parts []route.Part) (page, error) {
	p := page{total: x.at.total}
	rows := x.at.rows
	for i, part := range parts {
		rows += int64(part.Rows)
		msg := x.resultMessage(x.at.page+1+i, rows, part)
		if part.Last {
			msg.Header.Set(messages.HeaderLast, "true")
			p.last = true
		}
		p.size += int64(route.HeaderSize(msg.Header) + len(msg.Data))
		p.messages = append(p.messages, msg)
		if part.Total != nil {
			p.total = part.Total
		}
	}
	p.rows = rows - x.at.rows
	if bound := x.mayStore(); x.bytes+p.size > bound {
		return p, final(messages.Errorf(messages.TooLarge, "the job's results would take more than %d bytes "+
			"(JOB_MAX_BYTES, or a quarter of what %s may hold); what is stored stays; ask for fewer fields or rows",
			bound, messages.ResultsStream))
	}
	if end := parts[len(parts)-1]; end.Place != nil && !end.Last {
		place, err := end.Place()
		if err != nil {
			return p, fmt.Errorf("the place after a page: %w", err)
		}
		p.checkpoint, err = x.lane.seal(checkpoint{place, x.bytes + p.size}, x.key, x.incarnation,
			x.at.page+len(parts))
		if err != nil {
			return p, err
		}
		p.messages[len(parts)-1].Header.Set(messages.HeaderCheckpoint, p.checkpoint)
		p.size += int64(len(p.checkpoint))
	}
	return p, x.fits(p)
}

// resultMessage is one message of the results, without what ends a page.
func (x *execution) resultMessage(number int, rows int64, part route.Part) *nats.Msg {
	msg := nats.NewMsg(messages.ResultSubject(x.key.connection, x.key.id))
	msg.Data = part.Body
	for name, values := range x.trace {
		msg.Header[name] = values
	}
	for name, values := range part.Header {
		msg.Header[name] = values
	}
	msg.Header.Set(messages.HeaderRequestID, x.call.RequestID)
	msg.Header.Set(messages.HeaderPage, strconv.Itoa(number))
	msg.Header.Set(messages.HeaderRows, strconv.FormatInt(rows, 10))
	if x.incarnation != "" {
		msg.Header.Set(messages.HeaderIncarnation, x.incarnation)
	}
	if part.Total != nil {
		msg.Header.Set(messages.HeaderTotal, strconv.FormatInt(*part.Total, 10))
	}
	if part.Encoded {
		msg.Header.Set(messages.HeaderContentEncoding, messages.EncodingZstd)
	}
	return msg
}

// resultRoom is what the headers of a result take besides the request id, the trace context
// and the checkpoint: their names, 20 digits for each number, an incarnation and the guard.
const resultRoom = 1 << 10

// budget is how many bytes the body of a message may have, so that with its headers it fits
// the server's max_payload. A server with a small one has room for small checkpoints only.
func (x *execution) budget() int {
	const minBudget = 256
	most := int(x.lane.js.Conn().MaxPayload())
	headers := resultRoom + len(x.call.RequestID) + route.HeaderSize(x.trace)
	return max(most-headers-min(messages.MaxCheckpoint, most/4), minBudget)
}

// fits finds a message that the server would not take.
func (x *execution) fits(p page) error {
	most := x.lane.js.Conn().MaxPayload()
	for _, msg := range p.messages {
		size := int64(route.HeaderSize(msg.Header) + len(msg.Data) + guardRoom)
		if size <= most {
			continue
		}
		if len(msg.Data) <= x.call.Budget {
			return final(messages.Errorf(messages.TooLarge,
				"a page of %d bytes has %d bytes of headers, its checkpoint "+
					"among them, and the NATS server takes %d bytes in one message (max_payload)", len(msg.Data),
				size-int64(len(msg.Data)), most))
		}
		return final(messages.Errorf(messages.TooLarge, "the answer has %d bytes and the NATS server takes %d in one "+
			"message; ask for fewer fields or rows", len(msg.Data), x.call.Budget))
	}
	return nil
}

// guardRoom is what the headers of the guard and of a batch take.
const guardRoom = 160

// store publishes a page after the last stored one, as soon as that can be done. Its error is
// errMoved where the job now is somewhere else (x.at), also where it has ended; one of the
// claim; or why the page cannot be stored.
func (x *execution) store(ctx context.Context, p page) error {
	defer x.step(ctx, "store results", trace.SpanKindProducer)()
	began, waited := time.Now(), false
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := x.fresh(ctx); err != nil {
			return err
		}
		// A page that is on its way is stored rather than read again.
		sequence, err := publish(context.WithoutCancel(ctx), x.lane.js, p.messages, x.at.sequence)
		x.lane.standing.refused.wrote(messages.ResultsStream, err)
		switch {
		case err == nil:
			x.advance(p, sequence)
			return nil
		case errors.Is(err, errConflict), errors.Is(err, errUnknown):
			if stored, err := x.look(ctx, p); stored || err != nil {
				return err
			}
		}
		if said, ok := full(err); ok && !waited {
			waited = true
			x.lane.metrics.fullWaits.Inc()
			x.lane.shares.warnFull(said)
		}
		if err := x.refusal(err, p, time.Since(began)); err != nil {
			return err
		}
		pause(ctx, publishAgain)
	}
}

// publishAgain is how long a page waits that was refused for a reason that may pass.
const publishAgain = 250 * time.Millisecond

// look reads where the results stand after a publish whose outcome is not known. It reports
// whether the page is stored; errMoved is its error where something else is.
func (x *execution) look(ctx context.Context, p page) (bool, error) {
	at, err := x.last(ctx)
	switch {
	case err != nil:
		return false, err
	case at.sequence == x.at.sequence:
		return false, nil // nothing is stored, or not yet: the guard lets one of the two in
	case at.sequence == 0:
		x.at.sequence = 0 // an end goes to the subject as it is
		return false, errLost
	case p.checkpoint != "" && at.checkpoint == p.checkpoint: // sealed anew for every page
		x.advance(p, at.sequence)
		return true, nil
	}
	x.moveTo(at)
	return false, errMoved
}

// errLost: pages of the job were stored, and there are none any more.
var errLost = errors.New("the stored pages are gone")

// refusal is what a publish that failed means after so long: nil where it is tried again.
func (x *execution) refusal(err error, p page, took time.Duration) error {
	said, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case errors.Is(err, errConflict), errors.Is(err, errUnknown):
		if took < x.lane.options.Lease {
			return nil
		}
		return patient(messages.Errorf(messages.Unavailable, "the stream %s does not answer",
			messages.ResultsStream).Because(err))
	case !ok:
		return fmt.Errorf("publish a page: %w", err)
	}
	if _, is := full(err); is {
		if took < x.patience() {
			return nil
		}
		return patient(messages.Errorf(messages.Overloaded, "the stream %s takes nothing more: %s; results that "+
			"have been read make room with jobs.delete", messages.ResultsStream, said.Description).
			After(jittered(fullRetry)).Because(err))
	}
	switch said.ErrorCode {
	case codeTooManyBatches:
		if took < x.patience() {
			return nil
		}
		return patient(messages.Errorf(messages.Overloaded, "the stream %s has too many open batches "+
			"(max_batch_inflight_per_stream or max_batch_inflight_total of the NATS server)",
			messages.ResultsStream).Because(err))
	case codeBatchTooLarge:
		if len(p.messages) < 2 {
			break
		}
		x.maxParts = len(p.messages) / 2
		return errMoved
	case codeMessageTooLarge:
		return final(messages.Errorf(messages.TooLarge, "a page is larger than the stream %s takes "+
			"(its max_msg_size); ask for fewer fields or rows", messages.ResultsStream).Because(err))
	case codeHeadersTooLarge:
		return final(messages.Errorf(messages.Internal, "the headers of a page, its checkpoint among them, are larger "+
			"than JetStream takes").Because(err))
	}
	if said.Code == 503 { // the stream has no leader, or the like
		if took < x.lane.options.Lease {
			return nil
		}
		return patient(messages.Errorf(messages.Unavailable, "the stream %s takes no page: %s",
			messages.ResultsStream, said.Description).Because(err))
	}
	return messages.Errorf(messages.Internal, "the stream %s refused a page: %s", messages.ResultsStream,
		said.Description).Because(err)
}

// full reports whether a publish was refused for want of room, by whichever limit.
func full(err error) (*jetstream.APIError, bool) {
	said, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return nil, false
	}
	switch said.ErrorCode {
	case codeStreamFull, codeInsufficientStorage, codeNoResources, codeAccountFull:
		return said, true
	}
	return nil, false
}

// fullRetry is when a job is run again for which there is no room: with the time that a
// claim takes it goes on within 30 s of the room that somebody makes.
const fullRetry = 27 * time.Second

// patience is how long a job with a page in hand waits for room: 10 s of a lease of 15.
func (x *execution) patience() time.Duration { return x.lane.options.Lease * 2 / 3 }
