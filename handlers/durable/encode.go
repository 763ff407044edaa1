package durable

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// zstdEncoder is made once: an encoder keeps its window, and encodes bodies one beside the
// other.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
})

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
	return encoder.EncodeAll(body, make([]byte, 0, len(body)/4)), nil
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
