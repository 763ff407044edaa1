// Up to 50,000 accounts with one request: the answer is as many messages as it takes.
//
//	CONNECTION=demo go run ./messages/examples/go/stream
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		client := messages.NewClient(nc)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // 30 s without one, and 5 min at most
		defer cancel()
		search := messages.SearchRequest{
			Target: messages.Target{Connection: crmbridge.Connection},
			Fields: []string{"id", "name"},
		}
		rows, parts, more := 0, 0, ""
		for page, err := range client.Accounts().Stream(ctx, search) {
			if err != nil {
				return err // the rows before it are good, and not all
			}
			rows += len(page.Rows)
			parts++
			if page.NextCursor != "" {
				more = "; more come with its NextCursor as Cursor"
			}
		}
		fmt.Printf("%d accounts in %d messages%s\n", rows, parts, more)
		return nil
	})
}
