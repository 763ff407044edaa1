package handlers

import (
	"context"
	"sync"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// Bodies of a job's parts are as large as a message, and are thrown away as soon as they are
// stored: so are those that are compressed. They are kept for the pages that come next, in
// whole MiB, by how many they have; what the collector does not need elsewhere is there still.
const (
	bodyUnit = 1 << 20
	// leastBody is from when on a body is worth keeping.
	leastBody = bodyUnit / 2
	// bodyUnits bounds those that are kept.
	bodyUnits = 8
)

var jobBodies [bodyUnits]sync.Pool

// takeJobBody is an empty buffer for size bytes, which ctx's account holds. Whoever takes one
// writes before he reads: it may have been another's.
func takeJobBody(ctx context.Context, size int) ([]byte, error) {
	units := (size + bodyUnit - 1) / bodyUnit
	keep := size >= leastBody && units <= bodyUnits
	if keep {
		size = units * bodyUnit
	}
	if err := route.Reserve(ctx, size); err != nil {
		return nil, err
	}
	if keep {
		if kept, ok := jobBodies[units-1].Get().(*[]byte); ok {
			return *kept, nil
		}
	}
	return make([]byte, 0, size), nil
}

// giveBody keeps a buffer of takeJobBody for another page. Nobody may use it any more.
func giveBody(b []byte) {
	if units := cap(b) / bodyUnit; units > 0 && units <= bodyUnits && cap(b)%bodyUnit == 0 {
		b = b[:0]
		jobBodies[units-1].Put(&b)
	}
}

// dropBody gives a buffer back that is not used any more, and its memory to ctx's account.
func dropBody(ctx context.Context, b []byte) {
	budget.From(ctx).Shrink(int64(cap(b)))
	giveBody(b)
}

// giveParts gives back the bodies of parts that nobody stores any more.
func giveParts(parts []route.Part) {
	for i := range parts {
		if !parts[i].Encoded { // else it is the encoder's
			giveBody(parts[i].Body)
		}
		parts[i].Body = nil
	}
}
