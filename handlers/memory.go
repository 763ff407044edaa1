package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
)

// smallBody is up to when a body's decoding is not counted: what a request takes
// in any case is more.
const smallBody = 4 << 10

// decodeFactor is how many times its own size a body may take beside itself while it
// is decoded and becomes a query.
const decodeFactor = 2

// account opens what a request may hold, its body to begin with. There is room for
// the body at once or not at all: it is there already.
func (c *Consumer) account(body []byte) (*budget.Account, error) {
	return c.memory.Open(int64(len(body)) + smallBody)
}

// decoding takes what becomes of a body.
func decoding(ctx context.Context, body []byte) error {
	if len(body) <= smallBody {
		return nil
	}
	return budget.From(ctx).Grow(ctx, decodeFactor*int64(len(body)))
}

// writing takes n bytes for a reply that is about to be written.
func writing(ctx context.Context, n int) error {
	return budget.From(ctx).Grow(ctx, int64(n))
}

// noMemory is what a requester is told where there was no room.
func noMemory(full *budget.Error) *messages.Error {
	return messages.Errorf(messages.Overloaded, "this process has no memory left for the request; try again").After(full.After).Because(full)
}
