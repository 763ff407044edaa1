package handlers

import (
	"context"
	"math/bits"
	"sync"

	"github.com/crmbridge/crmbridge/handlers/route"
)

// The bodies of a search's parts are written into buffers that are used again, by the parts
// of one answer and then by other answers: a stream would otherwise make a message's worth
// of memory for each part, and clear it first. A buffer belongs to one search from take to
// give, and counts as its request's memory meanwhile; what is written for one request is cut
// off before another writes.

// The classes of buffers are powers of two of bytes. Longer ones are left to the collector.
const (
	leastClass = 12 // 4 KiB
	mostClass  = 20 // 1 MiB, the usual max_payload of a NATS server
)

var bodies [mostClass - leastClass + 1]sync.Pool

// A partBody is a buffer for the body of a part.
type partBody struct {
	bytes []byte
	class int // -1 for one that is not kept
}

// classOf is the least class whose buffers have n bytes, -1 where there is none.
func classOf(n int) int {
	class := max(bits.Len(uint(max(n, 1)-1)), leastClass)
	if class > mostClass {
		return -1
	}
	return class - leastClass
}

// takeBody returns an empty buffer for n bytes, which its request's account holds.
func takeBody(ctx context.Context, n int) (*partBody, error) {
	class, size := classOf(n), n
	if class >= 0 {
		size = 1 << (class + leastClass)
	}
	if err := route.Reserve(ctx, size); err != nil {
		return nil, err
	}
	if class >= 0 {
		if b, ok := bodies[class].Get().(*partBody); ok {
			return b, nil
		}
	}
	return &partBody{bytes: make([]byte, 0, size), class: class}, nil
}

// give gives the buffer to others: nobody uses it any more.
func (b *partBody) give(ctx context.Context) {
	if b == nil {
		return
	}
	route.Release(ctx, cap(b.bytes))
	if b.class >= 0 {
		b.bytes = b.bytes[:0]
		bodies[b.class].Put(b)
	}
}
