package dynamics

import (
	"context"
	"errors"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// What is read counts against the account of the request that it is read for, where
// its context has one ([budget.With]): the buffers of a call from before it is sent
// to its end, and what its answer becomes until the request ends or, of a page, its
// Release. Nothing that the other side says makes a reservation: memory is taken for
// what has been read.

// exchangeBuffers is what a call takes in addition to the HTTP/2 receive buffer, in bytes: a
// connection's buffers and goroutines, TLS, gzip's window, a small decoder.
const exchangeBuffers = 128 << 10

// defaultReceiveBuffer lets one call of HTTP/2 read about 10 MB a second over a way
// of 50 ms.
const defaultReceiveBuffer = 512 << 10

// makeRoom waits until the process has memory for one more call. It is asked for at the
// gate, so that whoever waits for a user's turn holds none.
func (c *Client) makeRoom(ctx context.Context, r *request) error {
	l := r.account.Begin(&r.room)
	if err := l.Start(ctx, int64(c.config.ReceiveBuffer)+exchangeBuffers); err != nil {
		l.Close()
		return noRoom(ctx, r.op, err)
	}
	return nil
}

// noRoom makes the error of a call for which there was no memory.
func noRoom(ctx context.Context, op string, err error) error {
	full, ok := errors.AsType[*budget.Error](err)
	if !ok {
		return ended(ctx, op)
	}
	return &Error{Kind: Overloaded, Op: op, Message: "this process has no memory left for the answer; try again",
		RetryAfter: full.After, Err: err}
}

// hold takes n bytes for the answer before they are used.
func (b *body) hold(l *budget.Lease, n int64) error {
	if err := l.Grow(b.ctx, n); err != nil {
		return noRoom(b.ctx, "", err)
	}
	return nil
}

// keep takes n bytes for what the answer becomes, in larger pieces.
func (b *body) keep(n int64) error {
	const piece = 32 << 10
	if b.pending += n; b.pending < piece {
		return nil
	}
	n, b.pending = b.pending, 0
	return b.hold(b.kept, n)
}
