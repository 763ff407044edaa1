package messages_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// throttledOnce answers as a crmbridge whose first request finds Dataverse's limits used up.
func throttledOnce(nc *nats.Conn) {
	asked := 0
	_, err := nc.Subscribe("crm.accounts.count.request.acme", func(msg *nats.Msg) {
		reply := result(`{"request_id":"r","connection":"acme","count":31}`, 0, false)
		if asked++; asked == 1 {
			reply = result(`{"request_id":"r","connection":"acme","error":{"code":"throttled","message":"Dataverse's limits are used up",
				"retryable":true,"retry_after_ms":20}}`, 0, false)
		}
		check(msg.RespondMsg(reply))
	})
	check(err)
}

// What may succeed later is asked for again, after the pause that crmbridge asks for: a few times,
// and not where the pause would be too long. Every other error is the answer.
func ExampleError_RetryAfter() {
	nc, stop := connectedTo(nil)
	defer stop()
	throttledOnce(nc)
	client := messages.NewClient(nc)

	patiently := func(ctx context.Context, request func() error) error {
		const tries, patience = 5, time.Minute
		for tried := 1; ; tried++ {
			err := request()
			var fault *messages.Error
			if !errors.As(err, &fault) || !fault.Retryable || tried == tries {
				return err
			}
			wait := fault.RetryAfter()
			if wait == 0 {
				wait = time.Second << (tried - 1)
			}
			if wait > patience {
				return err
			}
			fmt.Printf("%v; again in %v\n", err, wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	ctx := context.Background()
	err := patiently(ctx, func() error {
		count, err := client.Accounts().Count(ctx, messages.CountRequest{Target: acme})
		if err == nil {
			fmt.Println(count, "accounts")
		}
		return err
	})
	check(err)
	// Output:
	// throttled: Dataverse's limits are used up; again in 20ms
	// 31 accounts
}
