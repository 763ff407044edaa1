package dynamics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// request is one GET of the Web API, in $batch where its URL is too long to go
// alone. read consumes a 200's body; it is called anew for every attempt and must
// keep nothing of an attempt that failed.
type request struct {
	op     string
	table  Table // that is read, zero for what is no table's
	origin string
	path   string // as sent, encoded
	query  string // as sent, encoded
	link   string // the whole URL as Dataverse wrote it, "" where it did not
	prefer string
	redact redaction
	read   func(body *body) error
	page   *pageCall // reads it where it is a page
	bodies int64     // how many times longer than MaxBody the answer may be; 0 is once
	most   int64     // bytes that the answer may have, 0 for Config.MaxBody
	// expected is how long the answer may be expected to be, in bytes, 0 where nothing is
	// known: how it is asked for depends on it.
	expected int64
	// limited is set where an attempt is refused for a limit, nil where nobody asks.
	limited *bool
	// strict: the answer is short and what it says is kept, so that it is searched
	// for every form of the token.
	strict bool
	// principal and queue are for the gate; without a principal there is none. queue and
	// environment, the canonical origin, are for the circuit breaker.
	principal   Principal
	daily       int // calls that the customer allows the principal a day, 0 for any number
	queue       string
	environment string
	circuit     *breaker // of queue and environment, nil where it has not been looked up
	// tokens gives the token for each attempt. nil: the token that send got.
	tokens tokenGiver
	asked  asked // by a session; it is then tokens

	// What follows is the attempt's under way; it stands here so that none makes it anew.
	account *budget.Account
	pass    pass
	room    budget.Lease // of the attempt's buffers
	body    body
	known   [1]string // see know
	now     time.Time // when its last step was, zero where it has to be looked up
	entered time.Time // when the attempt began to wait
}

// A tokenGiver gives the token for an attempt; again says that it is not the first:
// whoever waited, at the gate too, may find the connection gone, and must not go on with
// what it once had.
type tokenGiver interface {
	token(ctx context.Context, r *request, again bool) (string, error)
}

// root is the path of the Web API.
func (c *Client) root() string { return c.path }

// send makes attempts at r until one succeeds, or another would not help or takes too
// long to wait for; see retryAfter. An empty token sends no Authorization header.
func (c *Client) send(ctx context.Context, r *request, token string) error {
	if c.closed.Load() {
		return &Error{Kind: Unavailable, Op: r.op, Message: ErrClosed.Error(), Err: ErrClosed}
	}
	if r.urlLength() > MaxBatchURL {
		return tooLong(r.op)
	}
	r.know(token)
	r.redact.sieves = &c.sieves
	r.account = budget.From(ctx)
	for attempt := 1; ; attempt++ {
		err := c.try(ctx, r, token, attempt)
		if err == nil {
			return nil
		}
		e, ok := errors.AsType[*Error](err)
		if ok && r.limited != nil && e.limit() != NoLimit {
			*r.limited = true
		}
		switch {
		case !ok && ctx.Err() != nil:
			return ended(ctx, r.op)
		case !ok: // the TokenSource's are passed on as they are
			return err
		case !e.retry || e.wait > c.config.MaxRetryWait || attempt >= c.config.MaxAttempts:
			return err
		case !fits(ctx, e.wait):
			e.hasty = true
			return err
		}
		if ended := sleep(ctx, r.op, e.wait); ended != nil {
			ended.RequestID = e.RequestID
			return ended
		}
	}
}

// maxTakes is how often an attempt begins again that made way for an older request.
const maxTakes = 50

// try makes one attempt, again while it has to make way for the memory of others: that
// is no fault of the other side, and each time it waits for memory first.
func (c *Client) try(ctx context.Context, r *request, token string, attempt int) (err error) {
	for takes := 0; ; takes++ {
		err = c.admitted(ctx, r, token, attempt, attempt > 1 || takes > 0)
		if err == nil || takes == maxTakes || !errors.Is(err, budget.ErrTaken) {
			return err
		}
	}
}

// admitted makes an attempt as soon as circuit breaker, gate and memory let it, with
// the token that is right then.
func (c *Client) admitted(ctx context.Context, r *request, token string, attempt int, again bool) error {
	if again || r.now.IsZero() {
		r.now = time.Now()
	}
	r.entered = r.now
	if err := c.breakers.admit(ctx, r); err != nil {
		return err
	}
	defer func() { r.pass.end(r.now) }() // also after a panic, then without a verdict
	slot, err := c.enter(ctx, r)
	if err != nil {
		return err
	}
	var outcome Answer // nothing, also after a panic
	defer func() { slot.Leave(outcome) }()
	if err = c.makeRoom(ctx, r); err != nil {
		return err
	}
	defer r.room.Close()
	r.now = time.Now() // it may have waited
	if r.tokens != nil {
		if token, err = r.tokens.token(ctx, r, again); err != nil {
			return err
		}
		r.know(token)
	}
	if err := r.pass.begin(r.op, r.now); err != nil {
		return err
	}
	err = c.attempt(ctx, r, token, attempt)
	r.pass.learn(err, r.now)
	outcome = answerTo(err)
	outcome.Sent = true
	return err
}

func tooLong(op string) *Error {
	return &Error{Kind: TooLarge, Op: op, Message: ErrURLTooLong.Error(), Err: ErrURLTooLong}
}

// url is the whole URL, byte for byte as Dataverse wrote it where it did.
func (r *request) url() string {
	switch {
	case r.link != "":
		return r.link
	case r.query == "":
		return r.origin + r.path
	}
	return r.origin + r.path + "?" + r.query
}

// urlLength is the length of url.
func (r *request) urlLength() int {
	switch {
	case r.link != "":
		return len(r.link)
	case r.query == "":
		return len(r.origin) + len(r.path)
	}
	return len(r.origin) + len(r.path) + len("?") + len(r.query)
}

// attempt sends r once, reads the whole answer and tells the observer.
func (c *Client) attempt(ctx context.Context, r *request, token string, attempt int) error {
	begun := r.now
	call := Call{Op: r.op, Attempt: attempt, RequestID: clientRequestID(ctx), BurstRemaining: -1, TimeRemaining: -1}
	err := c.exchange(ctx, r, token, &call)
	r.now = time.Now()
	var failure *Error
	if err != nil {
		failure = c.settle(ctx, r, err, &call)
		failure.wait = c.wait(attempt, failure)
	}
	call.Begun, call.Waited, call.Duration = begun, begun.Sub(r.entered), r.now.Sub(begun)
	if c.config.Observe != nil {
		c.config.Observe(ctx, call)
	}
	if failure != nil {
		return failure
	}
	return nil
}

// settle makes every failure an *Error and lets the caller's own ending win over
// the failures that it causes.
func (c *Client) settle(ctx context.Context, r *request, err error, call *Call) *Error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case ctx.Err() != nil:
		e = ended(ctx, r.op)
	case !ok:
		e = networkError(r.op, err)
	}
	e.Op, e.Table = r.op, r.table
	if e.RequestID == "" {
		e.RequestID = call.RequestID
	}
	call.Kind, call.RetryAfter = e.Kind, e.RetryAfter
	return e
}

func (c *Client) exchange(ctx context.Context, r *request, token string, call *Call) (err error) {
	if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(r.now) > c.config.AttemptTimeout {
		limited, cancel := context.WithTimeout(ctx, c.config.AttemptTimeout)
		defer cancel()
		ctx = limited // else the caller's own deadline comes first
	}
	build, read := c.build, answered
	if r.urlLength() > MaxURL {
		build, read = c.buildBatch, batched
	}
	req, err := build(ctx, r, token, call.RequestID)
	if err != nil {
		return err
	}
	out := c.out
	if r.expected > multiplexed && req.URL.Scheme == "https" {
		out = c.long
	}
	resp, err := out.RoundTrip(req)
	if err != nil {
		return err
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	unzips(resp)
	var from io.Reader = resp.Body
	if resp.StatusCode == http.StatusOK { // of others only a cleaned message is used
		from = c.echoes.without(r, from)
	}
	echoes, _ := from.(*echoReader)
	b := &r.body
	*b = body{ctx: ctx, from: from, echoes: echoes, header: resp.Header, most: c.config.MaxBody,
		left: c.config.MaxBody * max(1, r.bodies),
		work: &r.room, kept: r.keeps()}
	if r.most > 0 {
		b.left = min(b.left, r.most)
	}
	defer func() {
		if err != nil {
			b.kept.Close() // nothing is kept of an attempt that failed
		}
		if !b.ended {
			_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // what is left of a short answer, so that the connection is reused
		}
		_ = resp.Body.Close()
		if echoes != nil {
			b.from, b.echoes = nil, nil
			echoes.release()
		}
		call.Bytes = b.read
	}()
	call.Status = resp.StatusCode
	call.BurstRemaining = remaining(first(resp.Header, "X-Ms-Ratelimit-Burst-Remaining-Xrm-Requests"))
	call.TimeRemaining = remaining(first(resp.Header, "X-Ms-Ratelimit-Time-Remaining-Xrm-Requests"))
	if id := r.redact.requestID(resp.Header); id != "" {
		call.RequestID = id
	}
	return read(r, resp, b)
}

// keeps begins the lease of what an attempt's answer becomes.
func (r *request) keeps() *budget.Lease {
	if r.page != nil {
		return r.account.Begin(&r.page.got.own)
	}
	return r.account.Lease()
}

// answered reads the answer to a request that went alone.
func answered(r *request, resp *http.Response, b *body) error {
	if resp.StatusCode != http.StatusOK {
		return refusal(r, resp, b)
	}
	return b.consume(r)
}
