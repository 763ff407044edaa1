package messages_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// A webhook is called when somebody must connect again. The event is acknowledged when the webhook
// has taken it, so that none is missed while this program or the webhook is down, for 7 days.
func ExampleConnectionEvent() {
	nc, stop := connectedToLane()
	defer stop()
	js, err := jetstream.New(nc)
	check(err)
	ctx := context.Background()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: messages.EventsStream, Subjects: []string{"crm.events.>"}})
	check(err)
	subject := messages.EventSubject(messages.EventReauthorizationRequired, "acme")
	_, err = js.Publish(ctx, subject, []byte(`{"event_id":"acme.i.3.reauthorization_required",
		"kind":"reauthorization_required","connection":"acme","last_error":"the password was changed"}`)) // as crmbridge does
	check(err)
	failing := true
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("the webhook is called with", r.Header.Get("Idempotency-Key"))
		if failing {
			failing = false
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer webhook.Close()

	consumer, err := js.CreateOrUpdateConsumer(ctx, messages.EventsStream, jetstream.ConsumerConfig{
		Durable: "webhook-acme", FilterSubject: subject, // or with * in place of acme
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 1}) // one at a time, in order
	check(err)
	caller := http.Client{Timeout: 10 * time.Second} // shorter than AckWait
	for taken := false; !taken; {
		msg, err := consumer.Next(jetstream.FetchMaxWait(30 * time.Second)) // ErrTimeout where none came
		check(err)
		var event messages.ConnectionEvent
		check(json.Unmarshal(msg.Data(), &event))
		call, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook.URL, bytes.NewReader(msg.Data()))
		check(err)
		call.Header.Set("Content-Type", "application/json")
		call.Header.Set("Idempotency-Key", event.EventID) // the same when it is delivered again
		answer, err := caller.Do(call)
		if err == nil {
			err = answer.Body.Close()
		}
		if err != nil || answer.StatusCode/100 != 2 {
			check(msg.NakWithDelay(10 * time.Millisecond)) // a few seconds are better in a program of yours
			continue
		}
		check(msg.DoubleAck(ctx))
		fmt.Println(event.Connection, "must connect again:", event.LastError)
		taken = true
	}
	// Output:
	// the webhook is called with acme.i.3.reauthorization_required
	// the webhook is called with acme.i.3.reauthorization_required
	// acme must connect again: the password was changed
}
