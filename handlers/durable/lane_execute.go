package durable

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A Lane runs jobs.
type Lane struct {
	js      jetstream.JetStream
	ledger  ledger
	options Options // defaults filled in
	routes  map[messages.Operation]route.Route
	name    string // of this process, in JobRecord.Owner
	log     *slog.Logger
	metrics *metrics
	shares  *shares
}

type metrics struct{ runMetrics }

// digestOf tells jobs of one id apart, by their subject and body.
func digestOf(subject string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(subject))
	h.Write([]byte{0})
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// deleteMessage deletes a message of a stream; one that is gone is as good as deleted.
func deleteMessage(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	ask, err := json.Marshal(map[string]any{"seq": sequence, "no_erase": true})
	if err != nil {
		return fmt.Errorf("encode a request to JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.DELETE."+stream, ask)
	if err != nil {
		return fmt.Errorf("delete from stream %s: %w", stream, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("delete from stream %s: the answer is not JetStream's: %w", stream, err)
	}
	if answer.Error == nil || gone(answer.Error) {
		return nil
	}
	return fmt.Errorf("delete from stream %s: %w", stream, answer.Error)
}
