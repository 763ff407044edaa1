package durable

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A directAsk says which message is read: the last one of a subject, or the first one of it
// from a sequence on.
type directAsk struct {
	LastBySubject string `json:"last_by_subj,omitzero"`
	NextBySubject string `json:"next_by_subj,omitzero"`
	Sequence      uint64 `json:"seq,omitzero"`
}

// direct reads a message by a direct get, which any replica answers, perhaps late; nil where
// there is none. It is for what need not be the last word: bodies come as they are, where
// the leader's answer has them in JSON. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md.
func direct(ctx context.Context, js jetstream.JetStream, stream string,
	ask directAsk) (*jetstream.RawStreamMsg, error) {
	reply, err := askStream(ctx, js, "DIRECT.GET", stream, ask)
	if err != nil {
		return nil, err
	}
	return directAnswer(stream, reply)
}

// askStream asks JetStream's API for something of a stream.
func askStream(ctx context.Context, js jetstream.JetStream, api, stream string, ask any) (*nats.Msg, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("encode a request to JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API."+api+"."+stream, body)
	if err != nil {
		return nil, fmt.Errorf("read from stream %s: %w", stream, err)
	}
	return reply, nil
}

func directAnswer(stream string, reply *nats.Msg) (*jetstream.RawStreamMsg, error) {
	const status, description, noMessage = "Status", "Description", "404"
	if len(reply.Data) == 0 && serverHeader(reply, jetstream.SequenceHeader) == "" {
		if reply.Header.Get(status) == noMessage {
			return nil, nil
		}
		return nil, fmt.Errorf("read from stream %s: %s %s", stream, reply.Header.Get(status),
			reply.Header.Get(description))
	}
	msg := &jetstream.RawStreamMsg{Subject: serverHeader(reply, jetstream.SubjectHeader), Header: reply.Header,
		Data: reply.Data}
	var err error
	if msg.Sequence, err = strconv.ParseUint(serverHeader(reply, jetstream.SequenceHeader), 10, 64); err == nil {
		msg.Time, err = time.Parse(time.RFC3339Nano, serverHeader(reply, jetstream.TimeStampHeaer))
	}
	if err != nil {
		return nil, fmt.Errorf("read from stream %s: the answer is not JetStream's: %w", stream, err)
	}
	return msg, nil
}

// serverHeader is a header that the server adds: the last of its name, since whoever stored
// the message may have given it some of the same name.
func serverHeader(msg *nats.Msg, name string) string {
	values := msg.Header[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
