package handlers

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
	"github.com/crmbridge/crmbridge/messages"
)

// A Consumer answers the requests of the interactive lane until it is shut down.
// Any number of them, in any number of processes, share the work.
type Consumer struct {
	nc        *nats.Conn
	log       *slog.Logger
	replies   replyRule
	admission *admission
	endpoints []*endpoint
	metrics   *metrics
	memory    *budget.Budget // nil: not bounded
	identity  identity

	subscriptions *subscriptions
	captured      atomic.Pointer[error] // a stream that captures requests
	// alive ends with intake, and with it what runs in the background.
	alive      context.Context
	die        context.CancelFunc
	background sync.WaitGroup

	// working outlives the signal that ends intake: it is cancelled only when the
	// grace is over, so that work in hand can be finished and answered.
	working context.Context
	abandon context.CancelFunc
	work    sync.WaitGroup
	closing atomic.Bool
}

// receive is the subscription's callback. NATS calls it for one message at a
// time, so it only decides, and the work is done beside it.
func (c *Consumer) receive(e *endpoint, msg *nats.Msg) {
	arrived := time.Now()
	if !c.replies.allows(msg.Reply) {
		e.refused()
		c.metrics.refused.Inc()
		c.log.Warn("request not executed: its reply subject is missing or not allowed",
			"operation", e.operation, "subject_length", len(msg.Reply))
		return
	}
	place, patience := c.admission.admit(lineOf(e, msg), requester(msg.Reply))
	if place == nil {
		c.turnAway(e, msg, arrived, patience)
		return
	}
	c.work.Add(1)
	c.metrics.inFlight.Inc()
	go func() {
		defer c.survive(e.operation)
		defer c.work.Done()
		defer place.leave()
		defer c.metrics.inFlight.Dec()
		c.answer(e, msg, arrived, place)
	}()
}

// lineOf names the connection that a request is about. What administrators do has a
// line of its own: a connection must be deletable while its requests are stuck.
func lineOf(e *endpoint, msg *nats.Msg) string {
	connection := messages.ConnectionFromSubject(msg.Subject)
	if connection == "" {
		connection = peek(msg.Data)
	}
	if e.route.admin {
		return "administration of " + connection
	}
	return connection
}

// turnAway answers that there is no room, without a place.
func (c *Consumer) turnAway(e *endpoint, msg *nats.Msg, arrived time.Time, patience time.Duration) {
	call, _ := newCall(e.operation, msg, arrived)
	say := c.say(e, msg, call, arrived)
	full := messages.Errorf(messages.Overloaded, "this process has too many requests in hand, or too many of this connection; try again").After(patience)
	c.finish(e, say, full, arrived)
}

// answer runs one request from its headers to its last reply.
func (c *Consumer) answer(e *endpoint, msg *nats.Msg, arrived time.Time, place *place) {
	call, fault := newCall(e.operation, msg, arrived)
	say := c.say(e, msg, call, arrived)

	ctx, cancel := context.WithDeadline(c.working, call.deadline)
	defer cancel()
	account, err := c.account(msg.Data)
	defer account.Close()
	ctx = budget.With(ctx, account)

	switch {
	case fault != nil:
		err = fault
	case err != nil:
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		if err = place.wait(ctx); err == nil {
			err = decoding(ctx, msg.Data)
		}
		if err == nil {
			err = c.run(ctx, e, call, msg.Data, say)
		}
	}
	if err == nil {
		c.finish(e, say, nil, arrived)
		return
	}
	c.finish(e, say, classify(ctx, c.closing.Load(), err), arrived)
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
func (c *Consumer) run(ctx context.Context, e *endpoint, call *call, body []byte, say *answer) error {
	err := dynamics.Guard(func() error { return c.serve(ctx, e, call, body, say) })()
	if fault, ok := errors.AsType[*dynamics.Panic](err); ok {
		c.log.Error("operation panicked", "operation", call.operation, "request_id", call.requestID, "panic", fault.Kind, "stack", fault.Stack)
		return messages.Errorf(messages.Internal, "crmbridge failed on this request; its log tells more under this request id")
	}
	return err
}

func (c *Consumer) serve(ctx context.Context, e *endpoint, call *call, body []byte, say *answer) error {
	for p, err := range e.route.serve(ctx, call, body) {
		if err != nil {
			return err
		}
		if err := say.send(p); err != nil {
			return err
		}
		if p.last {
			return nil
		}
	}
	return errors.New("the operation ended without its last part")
}

// say begins the answer to a message; it is counted when it ends.
func (c *Consumer) say(e *endpoint, msg *nats.Msg, call *call, arrived time.Time) *answer {
	call.budget = replyBudget(c.nc.MaxPayload(), call)
	call.streams = e.route.many
	return &answer{nc: c.nc, to: msg.Reply, call: call, account: func(fault *messages.Error, rows int) {
		took := time.Since(arrived)
		e.answered(fault, took)
		c.metrics.answered(e.operation, fault, took, rows)
	}}
}

// finish ends the answer where the operation did not, and writes its log line,
// the only one that a request has.
func (c *Consumer) finish(e *endpoint, say *answer, fault *messages.Error, arrived time.Time) {
	attrs := []any{"operation", e.operation, "connection", say.call.connection, "rows", say.rows,
		"code", codeOf(fault), "request_id", say.call.requestID}
	if fault != nil {
		if !say.ended {
			if err := say.fail(fault); err != nil {
				attrs = append(attrs, "unanswered", err)
			}
		}
		if cause := fault.Unwrap(); cause != nil {
			attrs = append(attrs, "cause", cause)
		}
	}
	attrs = append(attrs, "took", time.Since(arrived).Round(time.Microsecond))
	c.log.Log(context.Background(), levelOf(fault), "answered", attrs...)
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
