package handlers

import (
	"context"
	"math/bits"
	"sync"

	"github.com/crmbridge/crmbridge/handlers/route"
)

// The bodies of parts are written into buffers that are used again: by the parts of one
// answer, and then by other answers and jobs. A buffer belongs to whoever took it until it is
// given back, and counts as memory of his request or turn meanwhile. What is written for one
// is cut off before another writes.
//
// Buffers have sizes in classes: powers of two up to 1 MiB, the usual max_payload of a NATS
// server, and whole MiB above it, for bodies that are to be compressed. Longer ones are left to
// the collector, which also takes those in a pool that are not used.
const (
	leastBits  = 12 // 4 KiB
	unitBits   = 20 // 1 MiB
	unitBodies = 8  // up to 8 MiB
)

var (
	bodies [unitBits - leastBits + unitBodies]sync.Pool
	// headers are slice headers that hold nothing: a pool takes pointers, and a new one for
	// each buffer that is given back would be garbage.
	headers sync.Pool
)

// bodyClass is the least class whose buffers have n bytes, and how many they have; class is -1
// where there is none.
func bodyClass(n int) (class, size int) {
	if n <= 1<<unitBits {
		b := max(bits.Len(uint(max(n, 1)-1)), leastBits)
		return b - leastBits, 1 << b
	}
	units := (n-1)>>unitBits + 1
	if units > unitBodies {
		return -1, n
	}
	return unitBits - leastBits + units - 1, units << unitBits
}

// takeBody returns an empty buffer for n bytes, which ctx's account holds. Whoever takes one
// writes before he reads: it may have been another's.
func takeBody(ctx context.Context, n int) ([]byte, error) {
	class, size := bodyClass(n)
	if err := route.Reserve(ctx, size); err != nil {
		return nil, err
	}
	if class >= 0 {
		if kept, ok := bodies[class].Get().(*[]byte); ok {
			body := *kept
			*kept = nil
			headers.Put(kept)
			return body, nil
		}
	}
	return make([]byte, 0, size), nil
}

// giveBody gives a buffer of takeBody to others: nobody uses it any more. The account that
// holds its memory is closed, or about to be.
func giveBody(b []byte) {
	class, size := bodyClass(cap(b))
	if class < 0 || size != cap(b) {
		return
	}
	header, ok := headers.Get().(*[]byte)
	if !ok {
		header = new([]byte)
	}
	*header = b[:0]
	bodies[class].Put(header)
}

// dropBody gives a buffer to others, and its memory back to ctx's account.
func dropBody(ctx context.Context, b []byte) {
	route.Release(ctx, cap(b))
	giveBody(b)
}

// giveParts gives the bodies of parts to others: nobody stores them any more.
func giveParts(parts []route.Part) {
	for i := range parts {
		if !parts[i].Encoded { // else it is the encoder's
			giveBody(parts[i].Body)
		}
		parts[i].Body = nil
	}
}

// dropParts gives the bodies of parts to others, and their memory back to ctx's account.
func dropParts(ctx context.Context, parts []route.Part) {
	for _, part := range parts {
		if part.Encoded {
			route.Release(ctx, len(part.Body))
		} else {
			route.Release(ctx, cap(part.Body))
		}
	}
	giveParts(parts)
}
