package durable

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// zstdWindow is how far back in a body matches are looked for. An encoder keeps a buffer of
// twice as much, one for each processor: with the usual 8 MiB these were 16 MiB each, and
// bodies came out no shorter, since rows are like those just before them.
const zstdWindow = 1 << 20

// zstdEncoder is made once: an encoder keeps its buffers, and encodes as many bodies at a time
// as there are processors. Others wait for one.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(zstdWindow))
})

// scratch has room for bodies as they are compressed: how long they come out is known then.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// mostScratch bounds what is kept of it: a body that is stored has at most a message's worth.
const mostScratch = 2 << 20

// encoder is [route.Job.Encode] of the job.
func (x *execution) encoder() func([]byte) ([]byte, error) {
	if x.options.Encoding != messages.EncodingZstd {
		return nil
	}
	return compress
}

func compress(body []byte) ([]byte, error) {
	encoder, err := zstdEncoder()
	if err != nil {
		return nil, fmt.Errorf("compress a result: %w", err)
	}
	room := scratch.Get().(*[]byte)
	*room = encoder.EncodeAll(body, slices.Grow((*room)[:0], len(body)/8))
	encoded := bytes.Clone(*room) // as long as it is and no longer: it is kept until it is stored
	if cap(*room) <= mostScratch {
		scratch.Put(room)
	}
	return encoded, nil
}

// encode compresses the body of a part, where the job asks for that and its operation leaves
// it to the lane.
func (x *execution) encode(part route.Part) (route.Part, error) {
	encode := x.encoder()
	if encode == nil || part.Encoded || len(part.Body) == 0 {
		return part, nil
	}
	body, err := encode(part.Body)
	if err != nil {
		return part, err
	}
	part.Body, part.Encoded = body, true
	return part, nil
}
