// Every account, however many there are: a job outlives this program, crmbridge and NATS's restarts.
//
//	CONNECTION=demo JOB_ID=export-1 go run ./messages/examples/go/job
//
// The same JOB_ID again goes on with the same job: an id names one job for 7 days.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/examples/go/crmbridge"
)

func main() {
	crmbridge.Run(func(ctx context.Context, nc *nats.Conn) error {
		client, connection := messages.NewClient(nc), crmbridge.Connection
		id := cmp.Or(os.Getenv("JOB_ID"), rand.Text()) // keep it before the job is published

		watch, err := client.Jobs().Watch(connection, id)
		if err != nil {
			return err
		}
		defer watch.Close()
		watching, stop := context.WithCancel(ctx)
		defer stop()
		go func() { // for display only
			for {
				record, err := watch.Next(watching)
				if err != nil {
					return
				}
				fmt.Printf("%s: %d accounts\n", record.State, record.Rows)
			}
		}()

		// A job that may be stored or not is asked for, and published again where it is not known.
		_, err = client.Accounts().SearchJob(ctx, messages.SearchRequest{
			Target: messages.Target{Connection: connection},
			Fields: []string{"id", "name"}, PageSize: 5000,
		}, messages.JobPublication{ID: id})
		if err != nil {
			return err
		}
		fmt.Println("job", id)

		rows := 0
		// Keep page.Number, and give it as From: after a crash the results go on behind it.
		for page, err := range client.Accounts().JobPages(ctx, connection, id, messages.ResultsOptions{}) {
			if ended, ok := errors.AsType[*messages.JobError](err); ok {
				return fmt.Errorf("the job failed: %w", ended.Cause)
			}
			if err != nil {
				return err
			}
			rows += len(page.Rows)
		}
		fmt.Println(rows, "accounts")
		_, err = client.Jobs().Delete(ctx, connection, id) // gives the room back
		return err
	})
}
