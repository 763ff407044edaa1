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
	// grace is over, so that requests in flight can be finished and answered.
	working context.Context
	abandon context.CancelFunc
	work    sync.WaitGroup // requests that were received and are not answered yet
	closing atomic.Bool

	tending sync.WaitGroup
	untend  context.CancelFunc
}

// receive is the subscription's callback. NATS calls it for one message at a time, and
// a client that does not read is disconnected with everybody's requests: it reads
// subject, reply and size, and only decides. Decoding, answering and logging are for
// other goroutines.
func (c *Consumer) receive(e *endpoint, msg *nats.Msg) {
	defer c.survive(e.operation)
	arrived := time.Now()
	connection := connectionAsked(msg)
	if !c.replies.allows(msg.Reply) {
		e.countRefusal()
		c.metrics.refused.Inc()
		c.journal.note(slog.LevelWarn, "request not executed: its reply subject is missing or not allowed",
			e.operation, connection, refusedReply)
		return
	}
	c.work.Add(1)
	c.admission.push(&request{e: e, msg: msg, size: msg.Size(), arrived: arrived}, queueName(e, connection),
		requesterOf(msg))
}

// begin works on a request that may run, in a goroutine of its own.
func (c *Consumer) begin(r *request) {
	c.metrics.inFlight.Inc()
	go func() {
		alive := false
		defer c.survive(r.e.operation)
		defer c.work.Done()
		defer func() { c.admission.leave(r, alive) }()
		defer c.metrics.inFlight.Dec()
		alive = c.handle(r)
	}()
}

// handle runs one request from its headers to its last reply. It reports whether the
// request's environment is alive: not where the request ended because no answer came.
func (c *Consumer) handle(r *request) (alive bool) {
	call, fault := newCall(r.e.operation, r.msg, r.arrived)
	reply := c.newReply(r.e, r.msg, call, r.arrived)

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
		err = c.run(ctx, r.e, r.msg.Data, reply)
	}
	if err == nil {
		c.finish(r.e, reply, nil, r.arrived)
		return true
	}
	refused := route.Classify(ctx, c.closing.Load(), err)
	c.finish(r.e, reply, refused, r.arrived)
	return refused.Code != messages.DeadlineExceeded && refused.Code != messages.Unavailable
}

// survive keeps a defect outside of every operation from ending the process, with all
// other requests in flight.
func (c *Consumer) survive(op messages.Operation) {
	if thrown := recover(); thrown != nil {
		fault := dynamics.Panicked(thrown)
		c.log.Error("answering panicked", "operation", op, "panic", fault.Kind, "stack", fault.Stack)
	}
}

// run has the operation produce its parts and sends each. A panic in the
// operation is an error like any other.
func (c *Consumer) run(ctx context.Context, e *endpoint, body []byte, reply *reply) error {
	err := dynamics.Guard(func() error { return c.serve(ctx, e, body, reply) })()
	if fault, ok := errors.AsType[*dynamics.Panic](err); ok {
		c.log.Error("operation panicked", "operation", reply.call.Operation, "request_id", reply.call.RequestID,
			"panic", fault.Kind, "stack", fault.Stack)
		return messages.Errorf(messages.Internal,
			"crmbridge failed on this request; its log tells more under this request id")
	}
	return err
}

func (c *Consumer) serve(ctx context.Context, e *endpoint, body []byte, reply *reply) error {
	answer := e.route.Serve(dynamics.WithRequestID(ctx, reply.call.RequestID), reply.call, body)
	reply.call, reply.numbered = answer.Call, answer.Numbered
	for p, err := range answer.Parts {
		if err != nil {
			return err
		}
		if err := reply.send(p); err != nil {
			return err
		}
		if p.Last {
			return nil
		}
	}
	return errors.New("the operation ended without its last part")
}

// newReply starts the reply to a message; it is counted when it ends.
func (c *Consumer) newReply(e *endpoint, msg *nats.Msg, call route.Call, arrived time.Time) *reply {
	trace := route.Trace(msg.Header)
	call.Budget = replyBudget(c.nc.MaxPayload(), call.RequestID, trace)
	return &reply{nc: c.nc, to: msg.Reply, call: call, trace: trace, numbered: e.route.Numbered,
		count: func(fault *messages.Error, rows int) {
			took := time.Since(arrived)
			e.count(fault, took)
			c.metrics.count(e.operation, fault, took, rows)
		}}
}

// finish ends the answer where the operation did not, and writes its log line.
func (c *Consumer) finish(e *endpoint, reply *reply, fault *messages.Error, arrived time.Time) {
	var unsent error
	if fault != nil && !reply.ended {
		unsent = reply.fail(fault)
	}
	code := route.CodeOf(fault)
	if fault == nil {
		code = route.CodeOf(reply.passed) // what came of a job is no news
	}
	c.journal.line(route.Level(fault), "answered", e.operation, reply.call.Connection, code, func() []any {
		attrs := []any{"rows", reply.rows, "request_id", reply.call.RequestID}
		if id := dynamics.ClientRequestID(reply.call.RequestID); id != reply.call.RequestID {
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
