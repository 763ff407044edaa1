package messages_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/crmbridge/crmbridge/messages"
)

// A job is published under an id that is kept before, so that it can be published again after
// a crash; it runs once all the same.
func ExampleTableClient_SearchJob() {
	nc, stop := connectedToLane()
	defer stop()
	client := messages.NewClient(nc)

	search := messages.SearchRequest{Target: acme, Fields: []string{"name"}}
	job, err := client.Accounts().SearchJob(context.Background(), search, messages.JobPublication{ID: "export-1"})
	check(err)
	fmt.Println(job.Operation, job.ID, job.Known)
	// Output:
	// accounts.search export-1 false
}

// Results are read page by page, and the room that they take is given back.
func ExampleTableClient_JobPages() {
	nc, stop := connectedToLane(
		`{"request_id":"r","connection":"acme","accounts":[{"name":"A. Datum"},{"name":"Contoso"}]}`,
		`{"request_id":"r","connection":"acme","accounts":[{"name":"Fabrikam"}]}`)
	defer stop()
	client, ctx := messages.NewClient(nc), context.Background()

	for page, err := range client.Accounts().JobPages(ctx, "acme", "export-2", messages.ResultsOptions{}) {
		var ended *messages.JobError
		if errors.As(err, &ended) {
			fmt.Println("the job failed:", ended.Cause)
			return
		}
		check(err)
		for _, account := range page.Rows {
			fmt.Println(account.Text("name"))
		}
	}
	deleted, err := client.Jobs().Delete(ctx, "acme", "export-2")
	fmt.Println(deleted, err)
	// Output:
	// A. Datum
	// Contoso
	// Fabrikam
	// true <nil>
}
