package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A stored message is one as the stream's leader has it.
type stored struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Raw      []byte `json:"hdrs"`
	Data     []byte `json:"data"`

	Header nats.Header `json:"-"`
}

// errNoMessage is the error where the stream has no such message.
var errNoMessage = errors.New("there is no such message")

const noMessageFound = 10037 // JetStream's code for it

// last is the last message of a subject, from the stream's leader.
func (w *world) last(ctx context.Context, stream, subject string) (stored, error) {
	return w.get(ctx, stream, map[string]any{"last_by_subj": subject})
}

// next is the first message of a subject whose sequence is at least the given one.
func (w *world) next(ctx context.Context, stream, subject string, from uint64) (stored, error) {
	return w.get(ctx, stream, map[string]any{"seq": from, "next_by_subj": subject})
}

// get asks STREAM.MSG.GET, which only the leader answers; a direct get is answered by any
// server, and perhaps late.
func (w *world) get(ctx context.Context, stream string, which map[string]any) (stored, error) {
	ask, err := json.Marshal(which)
	if err != nil {
		return stored{}, err
	}
	reply, err := w.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, ask)
	if err != nil {
		return stored{}, fmt.Errorf("read from %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message stored              `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return stored{}, fmt.Errorf("read from %s: %w", stream, err)
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == noMessageFound {
			return stored{}, errNoMessage
		}
		return stored{}, fmt.Errorf("read from %s: %w", stream, answer.Error)
	}
	if len(answer.Message.Raw) > 0 {
		if answer.Message.Header, err = nats.DecodeHeadersMsg(answer.Message.Raw); err != nil {
			return stored{}, fmt.Errorf("read from %s: headers: %w", stream, err)
		}
	}
	return answer.Message, nil
}
