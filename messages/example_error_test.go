package messages_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/crmbridge/crmbridge/messages"
)

// What crmbridge answers with instead of a result: a code to branch on, a message
// for people, and the place in the request.
func ExampleError() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.count.request.acme": {"": {
		`{"error":{"code":"invalid_request","message":"where.field: there is no column \"industri\"; did you mean industry?",
			"retryable":false,"details":[{"path":"where.field","message":"there is no column \"industri\"; did you mean industry?"}]}}`}}})
	defer stop()
	client := messages.NewClient(nc)

	where := messages.Leaf("industri", messages.Eq, "Consulting")
	_, err := client.Accounts().Count(context.Background(), messages.CountRequest{Target: acme, Where: &where})
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		fmt.Println(fault.Code, fault.Retryable, fault.Details[0].Path)
		fmt.Println(fault.Details[0].Message)
	}
	// Output:
	// invalid_request false where.field
	// there is no column "industri"; did you mean industry?
}
