// A customer's environment is connected: a person opens the address that this prints, and signs in.
//
//	CONNECTION=contoso ENVIRONMENT_URL=https://contoso.crm4.dynamics.com go run ./messages/examples/go/connect
//
// ENVIRONMENT_URL is that of crmbridge-dev where it is not set. The NATS user needs the rights of
// deploy/nats.conf's ADMINISTRATORS: crm.connections.> and, for the event, crm.events.>.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		client := messages.NewClient(nc)
		// Before the request: an event without a subscriber is missed.
		events, err := client.WatchConnection(crmbridge.Connection)
		if err != nil {
			return err
		}
		defer events.Close()
		begun, err := client.Authorize(ctx, messages.AuthorizeRequest{
			Target:         messages.Target{Connection: crmbridge.Connection},
			EnvironmentURL: cmp.Or(os.Getenv("ENVIRONMENT_URL"), "http://127.0.0.1:8090"),
		})
		if err != nil {
			return err
		}
		fmt.Println("Open in a browser:", begun.ConnectURL)

		ctx, cancel := context.WithDeadline(ctx, begun.ExpiresAt)
		defer cancel()
		for {
			event, err := events.Next(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("nobody connected until %s; begin again", begun.ExpiresAt.Format(time.RFC3339))
			}
			if err != nil {
				return err
			}
			if event.Kind == messages.EventConnected {
				fmt.Println(event.Connection, "is connected to", event.EnvironmentURL)
				return nil
			}
		}
	})
}
