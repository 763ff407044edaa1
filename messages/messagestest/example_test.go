package messagestest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// A service meets Dataverse's limits, tries again, and has its page.
func Example() {
	var t *testing.T // of a test

	bridge := messagestest.New(t)
	bridge.Connect("acme", messagestest.Rows{"accounts": {
		{"name": "Contoso", "industry": "Consulting", "revenue": 1500000},
		{"name": "Fabrikam", "industry": "Accounting"},
	}})
	bridge.Fail(messagestest.Fault{Operation: "accounts.search",
		Error: messagestest.Code(messages.Throttled, 20*time.Millisecond)})

	client := bridge.Client() // a service of yours connects to bridge.URL()
	search := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, OrderBy: []string{"-revenue"}}
	page, err := client.Accounts().Search(t.Context(), search)
	var refused *messages.Error
	if errors.As(err, &refused) && refused.Retryable {
		time.Sleep(refused.RetryAfter())
		page, err = client.Accounts().Search(t.Context(), search)
	}
	if err != nil || len(page.Rows) != 2 || page.Rows[0].Text("name") != "Contoso" {
		t.Error(page, err)
	}
}

// A job is run by a crmbridge that is stopped in the middle, and another one goes on with it.
func ExampleBridge_Stop() {
	var t *testing.T // of a test

	bridge := messagestest.New(t)
	bridge.Connect("acme", messagestest.Rows{"accounts": {{"name": "Contoso"}, {"name": "Fabrikam"}}})
	bridge.Fail(messagestest.Fault{JobID: "export-1", Skip: 1, Delay: time.Hour}) // after its first page

	client, search := bridge.Client(), messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 1}
	if _, err := client.Accounts().SearchJob(t.Context(), search, messages.JobPublication{ID: "export-1"}); err != nil {
		t.Fatal(err)
	}
	bridge.Stop()
	bridge.Clear()
	bridge.Start()
	rows := 0
	for page, err := range client.Accounts().JobPages(t.Context(), "acme", "export-1", messages.ResultsOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows += len(page.Rows)
	}
	if rows != 2 {
		t.Error(rows)
	}
}
