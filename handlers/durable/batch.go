package durable

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Headers of an atomic batch (nats-server 2.12 and later, ADR-50).
const (
	batchID       = "Nats-Batch-Id"
	batchSequence = "Nats-Batch-Sequence"
	batchCommit   = "Nats-Batch-Commit"
)

// Bounds of a batch: a server takes up to 1,000 messages, unless its operator lowered that.
// The rest is left for pages that have grown since their size was measured.
const (
	mostBatch = 1000
	maxParts  = 900
)

// publish stores messages of one subject together, or none of them, if the last one of the
// subject has the given sequence, 0 for none. It returns the sequence of the last one. Its
// errors are errConflict, errUnknown, or what JetStream said.
func publish(ctx context.Context, js jetstream.JetStream, msgs []*nats.Msg, last uint64) (uint64, error) {
	if len(msgs) == 1 {
		return publishGuarded(ctx, js, msgs[0], last)
	}
	id := nuid.Next()
	for i, msg := range msgs {
		msg.Header.Set(batchID, id)
		msg.Header.Set(batchSequence, strconv.Itoa(i+1))
	}
	msgs[0].Header.Set(expectedLastSubjectSequence, strconv.FormatUint(last, 10))
	end := msgs[len(msgs)-1]
	end.Header.Set(batchCommit, "1")

	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	if err := openBatch(ctx, js.Conn(), msgs[0]); err != nil {
		return 0, err
	}
	for _, msg := range msgs[1 : len(msgs)-1] {
		if err := js.Conn().PublishMsg(msg); err != nil {
			return 0, fmt.Errorf("%w: %w", errUnknown, err)
		}
	}
	reply, err := js.Conn().RequestMsgWithContext(ctx, end)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUnknown, err)
	}
	return acknowledged(reply.Data)
}

// openBatch sends the first message of a batch. The server answers with nothing, or why it
// does not take the batch.
func openBatch(ctx context.Context, nc *nats.Conn, msg *nats.Msg) error {
	reply, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnknown, err)
	}
	if len(reply.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.Error == nil {
		return fmt.Errorf("%w: the answer to a batch is not JetStream's", errUnknown)
	}
	return refused(answer.Error)
}
