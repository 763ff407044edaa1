// Errors: what to branch on, what to show, and when to ask again.
//
//	CONNECTION=demo go run ./messages/examples/go/errors
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

// patiently asks again what may succeed later, after the pause that crmbridge asks for: a few times,
// and not where the pause would be too long.
func patiently[T any](ctx context.Context, request func() (T, error)) (T, error) {
	const tries, patience = 5, time.Minute
	for tried := 1; ; tried++ {
		reply, err := request()
		fault, ok := errors.AsType[*messages.Error](err) // nobody answers: unavailable
		if !ok || !fault.Retryable || tried == tries {
			return reply, err
		}
		backOff := time.Duration(float64(time.Second<<(tried-1)) * (0.5 + rand.Float64()))
		wait := cmp.Or(fault.RetryAfter(), backOff)
		if wait > patience {
			return reply, err
		}
		fmt.Printf("%v; again in %.0f s\n", err, math.Ceil(wait.Seconds()))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return reply, ctx.Err()
		}
	}
}

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		accounts := messages.NewClient(nc).Accounts()
		target := messages.Target{Connection: crmbridge.Connection}

		where := messages.Leaf("industri", messages.Eq, "Consulting")
		_, err := accounts.Count(ctx, messages.CountRequest{Target: target, Where: &where})
		fault, ok := errors.AsType[*messages.Error](err)
		if !ok {
			return err
		}
		fmt.Println("refused:", fault.Code)
		for _, detail := range fault.Details {
			fmt.Printf("  %s: %s\n", detail.Path, detail.Message)
		}

		count, err := patiently(ctx, func() (int64, error) {
			return accounts.Count(ctx, messages.CountRequest{Target: target})
		})
		if fault, ok := errors.AsType[*messages.Error](err); ok && fault.Code == messages.ReauthorizationRequired {
			return fmt.Errorf("%s: a person must connect again (connect): %s", target.Connection, fault.Message)
		}
		if err != nil {
			return err
		}
		fmt.Println(count, "accounts")
		return nil
	})
}
