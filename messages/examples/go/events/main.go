// Calls a webhook when a customer must connect again. An event is acknowledged when the webhook has
// taken it (2xx), so none is missed while this program or the webhook is down, for 7 days. It begins
// with its first start: an older event may be of a customer who has connected since.
//
//	WEBHOOK_URL=https://example.com/hook CONNECTION=demo go run ./messages/examples/go/events
//
// The NATS user needs JetStream's API for the consumer (../../README.md has the subjects). Without
// that right use Client.WatchConnection: what happens meanwhile is then missed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		consumer, err := js.CreateOrUpdateConsumer(ctx, messages.EventsStream, jetstream.ConsumerConfig{
			Durable:       "webhook-" + crmbridge.Connection, // several processes share it
			FilterSubject: messages.EventSubject(messages.EventReauthorizationRequired, crmbridge.Connection),
			DeliverPolicy: jetstream.DeliverNewPolicy,
			AckPolicy:     jetstream.AckExplicitPolicy, MaxAckPending: 1}) // within 30 s, in order
		if err != nil {
			return err
		}
		fmt.Println("watching", crmbridge.Connection)
		watching, err := consumer.Consume(func(msg jetstream.Msg) {
			event, err := call(ctx, msg.Data())
			if err == nil {
				err = msg.DoubleAck(ctx)
			}
			if err == nil {
				fmt.Printf("%s must connect again (%s): the webhook knows\n", event.Connection, event.LastError)
			} else if ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "webhook: %v; again in 5 s\n", err)
				_ = msg.NakWithDelay(5 * time.Second) // without it the event comes again after 30 s
			}
		}, jetstream.PullMaxMessages(1))
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, watching.Stop)
		<-watching.Closed()
		return errors.New("the consumer is gone")
	})
}

// call sends an event to the webhook. Its id is the same when an event is delivered again.
func call(ctx context.Context, body []byte) (event messages.ConnectionEvent, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("WEBHOOK_URL"), bytes.NewReader(body))
	if err := errors.Join(err, json.Unmarshal(body, &event)); err != nil {
		return event, err
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {event.EventID}}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err == nil {
		err = answer.Body.Close()
	}
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("it answered %s", answer.Status)
	}
	return event, err
}
