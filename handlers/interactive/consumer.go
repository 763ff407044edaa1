package interactive

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// A Consumer answers the requests of the interactive lane until it is shut down.
// Any number of them, in any number of processes, share the work.
type Consumer struct {
	nc        *nats.Conn
	log       *slog.Logger
	replies   replyRule
	admission *admission
	refuser   *refuser
	form      denialForm // the refuser's alone
	journal   *journal
	endpoints []*endpoint
	metrics   *metrics
	memory    *budget.Budget // nil: not bounded
	identity  identity
	// pendingBytes bounds what the NATS client keeps of a subscription for receive.
	pendingBytes int
	losses       int64 // of the NATS client, as far as they were counted; tend's alone

	descriptions descriptions

	subscriptions *subscriptions
	streams       *streams.Watch

	// working outlives the signal that ends intake: it is cancelled only when the
	// grace is over, so that work in hand can be finished and answered.
	working context.Context
	abandon context.CancelFunc
	work    sync.WaitGroup // requests that were received and are not answered yet
	closing atomic.Bool

	tending sync.WaitGroup
	untend  context.CancelFunc
}

// receive is the subscription's callback. NATS calls it for one message at a time, and
// a client that does not read is disconnected with everybody's requests: it reads
// subject, reply and size, and only decides; decoding, answering and logging are done
// beside it.
func (c *Consumer) receive(e *endpoint, msg *nats.Msg) {
	defer c.survive(e.operation)
	arrived := time.Now()
	connection := connectionAsked(msg)
	if !c.replies.allows(msg.Reply) {
		e.refused()
		c.metrics.refused.Inc()
		c.journal.note(slog.LevelWarn, "request not executed: its reply subject is missing or not allowed",
			e.operation, connection, refusedReply)
		return
	}
	c.work.Add(1)
	c.admission.push(&request{e: e, msg: msg, size: msg.Size(), arrived: arrived}, lineName(e, connection), requesterOf(msg))
}

// begin works on a request that may run, beside whoever let it run.
func (c *Consumer) begin(r *request) {
	c.metrics.inFlight.Inc()
	go func() {
		answered := false
		defer c.survive(r.e.operation)
		defer c.work.Done()
		defer func() { c.admission.leave(r, answered) }()
		defer c.metrics.inFlight.Dec()
		answered = c.answer(r)
	}()
}

// answer runs one request from its headers to its last reply. It reports whether the
// request ended for another reason than that an answer to it did not come.
func (c *Consumer) answer(r *request) bool {
	call, fault := newCall(r.e.operation, r.msg, r.arrived)
	say := c.say(r.e, r.msg, call, r.arrived)

	ctx, cancel := context.WithDeadline(c.working, call.Deadline)
	defer cancel()
	account, full := c.account(r.msg.Data)
	defer func() { account.Close() }() // nil where there was no room
	ctx = budget.With(ctx, account)
	var err error

	switch {
	case fault != nil:
		err = fault
	case full != nil:
		err = full
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		err = c.run(ctx, r.e, r.msg.Data, say)
	}
	if err == nil {
		c.finish(r.e, say, nil, r.arrived)
		return true
	}
	said := route.Classify(ctx, c.closing.Load(), err)
	c.finish(r.e, say, said, r.arrived)
	return said.Code != messages.DeadlineExceeded && said.Code != messages.Unavailable
}

// survive keeps a defect outside of every operation from ending the process, with all
// other requests in hand.
func (c *Consumer) survive(op messages.Operation) {
	if thrown := recover(); thrown != nil {
		fault := dynamics.Panicked(thrown)
		c.log.Error("answering panicked", "operation", op, "panic", fault.Kind, "stack", fault.Stack)
	}
}

// run has the operation produce its parts and sends each. A panic in the
// operation is an error like any other.
func (c *Consumer) run(ctx context.Context, e *endpoint, body []byte, say *answer) error {
	err := dynamics.Guard(func() error { return c.serve(ctx, e, body, say) })()
	if fault, ok := errors.AsType[*dynamics.Panic](err); ok {
		c.log.Error("operation panicked", "operation", say.call.Operation, "request_id", say.call.RequestID, "panic", fault.Kind, "stack", fault.Stack)
		return messages.Errorf(messages.Internal, "crmbridge failed on this request; its log tells more under this request id")
	}
	return err
}

func (c *Consumer) serve(ctx context.Context, e *endpoint, body []byte, say *answer) error {
	answer := e.route.Serve(dynamics.WithRequestID(ctx, say.call.RequestID), say.call, body)
	say.call, say.numbered = answer.Call, answer.Numbered
	for p, err := range answer.Parts {
		if err != nil {
			return err
		}
		if err := say.send(p); err != nil {
			return err
		}
		if p.Last {
			return nil
		}
	}
	return errors.New("the operation ended without its last part")
}

// say begins the answer to a message; it is counted when it ends.
func (c *Consumer) say(e *endpoint, msg *nats.Msg, call route.Call, arrived time.Time) *answer {
	trace := traceHeaders(msg.Header)
	call.Budget = replyBudget(c.nc.MaxPayload(), call.RequestID, trace)
	return &answer{nc: c.nc, to: msg.Reply, call: call, trace: trace, numbered: e.route.Numbered, account: func(fault *messages.Error, rows int) {
		took := time.Since(arrived)
		e.answered(fault, took)
		c.metrics.answered(e.operation, fault, took, rows)
	}}
}

// finish ends the answer where the operation did not, and writes its log line.
func (c *Consumer) finish(e *endpoint, say *answer, fault *messages.Error, arrived time.Time) {
	var unsent error
	if fault != nil && !say.ended {
		unsent = say.fail(fault)
	}
	c.journal.line(levelOf(fault), "answered", e.operation, say.call.Connection, codeOf(fault), func() []any {
		attrs := []any{"rows", say.rows, "request_id", say.call.RequestID}
		if id := dynamics.ClientRequestID(say.call.RequestID); id != say.call.RequestID {
			attrs = append(attrs, "client_request_id", id) // as Microsoft's support sees it
		}
		if unsent != nil {
			attrs = append(attrs, "unanswered", unsent)
		}
		if fault != nil && fault.Unwrap() != nil {
			attrs = append(attrs, "cause", fault.Unwrap())
		}
		return append(attrs, "took", time.Since(arrived).Round(time.Microsecond))
	})
}

// levelOf marks what an operator should look at: defects and set-up faults.
func levelOf(fault *messages.Error) slog.Level {
	if fault == nil {
		return slog.LevelInfo
	}
	switch fault.Code {
	case messages.Internal, messages.ConfigurationError:
		return slog.LevelError
	case messages.UpstreamError, messages.Unavailable, messages.Overloaded:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// codeOf is the error's code, ok for none.
func codeOf(fault *messages.Error) string {
	if fault == nil {
		return "ok"
	}
	return string(fault.Code)
}
