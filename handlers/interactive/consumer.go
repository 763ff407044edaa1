package interactive

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

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
	tracer    trace.Tracer // nil: no spans are made
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
	values  context.Context // of working, without its end
	work    sync.WaitGroup  // requests that were received and are not answered yet
	workers workers
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
		e.counts.countRefusal()
		c.metrics.refuse(forReplySubject)
		c.journal.note(slog.LevelWarn, "request not executed: its reply subject is missing or not allowed",
			e.operation, connection, refusedReply)
		return
	}
	c.work.Add(1)
	r := &request{e: e, msg: msg, size: msg.Size(), arrived: arrived, named: connection}
	c.admission.push(r, queueName(e, connection))
}

// begin works on a request that may run, in a goroutine of its own.
func (c *Consumer) begin(r *request) {
	c.metrics.inFlight.Inc()
	r.e.counts.inFlight.Add(1)
	r.slots = c.admission
	c.workers.begin(r)
}

// answer works on a request in a worker's goroutine.
func (c *Consumer) answer(w *worker, r *request) {
	alive := false
	defer c.survive(r.e.operation)
	defer c.work.Done()
	defer func() { c.admission.leave(r, alive) }()
	defer c.metrics.inFlight.Dec()
	defer r.e.counts.inFlight.Add(-1)
	defer w.forget(r)
	alive = c.handle(w, r)
}

// handle runs one request from its headers to its last reply. It reports whether the
// request's environment is alive.
func (c *Consumer) handle(w *worker, r *request) bool {
	call, fault := newCall(r.e.operation, r.msg, r.arrived)
	call.Named = r.named
	r.reply = &w.reply
	c.begins(r.reply, r.e, r.msg, &call, r.arrived)
	r.reply.form = &w.header
	if r.slots != nil {
		r.reply.request = r
	}

	ctx := &r.context
	ctx.values, ctx.deadline, ctx.clientID = c.values, call.Deadline, dynamics.ClientRequestID(call.RequestID)
	ctx.trace = r.reply.trace
	c.startSpan(r)
	w.alarm.watch(ctx, c.working)
	defer w.alarm.let(ctx)
	var full error
	ctx.account, full = c.account(r)
	defer ctx.account.Close() // nil where there was no room
	var err error

	switch {
	case fault != nil:
		err = fault
	case full != nil:
		c.metrics.refuse(forMemory)
		err = full
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		err = c.run(ctx, r)
	}
	if err == nil {
		c.endSpan(r, c.finish(r.reply, nil))
		return true
	}
	refused := route.Classify(ctx, c.closing.Load(), err)
	c.endSpan(r, c.finish(r.reply, refused))
	return alive(refused)
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
func (c *Consumer) run(ctx context.Context, r *request) error {
	r.serve(ctx)
	if r.outcome == nil {
		return nil
	}
	if fault, ok := errors.AsType[*dynamics.Panic](r.outcome); ok {
		c.log.Error("operation panicked", "operation", r.e.operation, "request_id", r.reply.call.RequestID,
			"panic", fault.Kind, "stack", fault.Stack)
		return messages.Errorf(messages.Internal,
			"crmbridge failed on this request; its log tells more under this request id")
	}
	return r.outcome
}

// serve has the operation produce its parts, which take sends. A panic is the outcome like
// another error.
func (r *request) serve(ctx context.Context) {
	defer r.catch()
	answer := r.e.route.Serve(ctx, r.reply.call, r.msg.Data)
	r.reply.call, r.reply.numbered = answer.Call, answer.Numbered
	answer.Parts(r.take)
	if !r.ended {
		r.outcome = errors.New("the operation ended without its last part")
	}
}

func (r *request) catch() {
	if thrown := recover(); thrown != nil {
		r.outcome = dynamics.Panicked(thrown)
	}
}

// take sends a part, and reports whether the next is wanted. It is a method, not the body of
// a loop over the parts, because that would be three allocations.
func (r *request) take(p route.Part, err error) (more bool) {
	if r.ended {
		panic("an operation went on after the end of its answer")
	}
	if err == nil {
		err = r.reply.send(p)
	}
	r.outcome, r.ended = err, err != nil || p.Last
	return !r.ended
}

// begins begins the reply to a message; it is counted when it ends.
func (c *Consumer) begins(reply *reply, e *endpoint, msg *nats.Msg, call *route.Call, arrived time.Time) {
	reply.nc, reply.to, reply.call, reply.trace = c.nc, msg.Reply, *call, route.Trace(msg.Header)
	reply.call.Budget = replyBudget(c.nc.MaxPayload(), call.RequestID, reply.trace)
	reply.numbered, reply.arrived, reply.counts = e.route.Numbered, arrived, &e.counts
}

// finish ends the answer where the operation did not, and writes its log line. It returns the
// answer's code.
func (c *Consumer) finish(reply *reply, fault *messages.Error) (code string) {
	var unsent error
	if fault != nil && !reply.ended {
		unsent = reply.fail(fault)
	}
	code = route.CodeOf(fault)
	if fault == nil {
		code = route.CodeOf(reply.passed) // what came of a job is no news
	}
	level := route.Level(fault)
	if !c.journal.single(level, "answered", reply.call.Operation, reply.call.Connection, code) {
		return code
	}
	var room [8]slog.Attr
	attrs := append(room[:0], slog.Int("rows", reply.rows), slog.String("request_id", reply.call.RequestID))
	if id := dynamics.ClientRequestID(reply.call.RequestID); id != reply.call.RequestID {
		attrs = append(attrs, slog.String("client_request_id", id)) // as Microsoft's support sees it
	}
	if unsent != nil {
		attrs = append(attrs, slog.Any("unanswered", unsent))
	}
	if fault != nil && fault.Unwrap() != nil {
		attrs = append(attrs, slog.Any("cause", fault.Unwrap()))
	}
	if traceID, spanID := route.TraceIDs(reply.span, reply.trace); traceID != "" {
		attrs = append(attrs, slog.String("trace_id", traceID), slog.String("span_id", spanID))
	}
	ended := reply.arrived.Add(reply.took)
	c.journal.line(level, "answered", reply.call.Operation, reply.call.Connection, code, ended,
		append(attrs, slog.Duration("took", reply.took.Round(time.Microsecond)))...)
	return code
}
