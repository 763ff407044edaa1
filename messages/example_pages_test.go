package messages_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// All contacts with an e-mail address who may be written to, one request a page.
func ExampleTableClient_Pages() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.contacts.search.request.acme": {
		"":              {`{"contacts":[{"name":"Ann","email":"ann@adatum.example"},{"name":"Bo","email":"bo@adatum.example"}],"next_cursor":"c1"}`},
		`"cursor":"c1"`: {`{"contacts":[{"name":"Cleo","email":"cleo@contoso.example"}]}`},
	}})
	defer stop()
	client := messages.NewClient(nc)

	where, err := messages.ParseWhere("email is not null and do_not_email = no")
	if err != nil {
		log.Fatal(err)
	}
	query := messages.SearchRequest{Target: acme, Where: where, Fields: []string{"name", "email"}, PageSize: 2}
	for page, err := range client.Contacts().Pages(context.Background(), query) {
		if err != nil {
			log.Fatal(err)
		}
		for _, contact := range page.Rows {
			fmt.Println(contact.Text("name"), contact.Text("email"))
		}
	}
	// Output:
	// Ann ann@adatum.example
	// Bo bo@adatum.example
	// Cleo cleo@contoso.example
}

// Many rows in one answer of several messages. A stream ends after MaxStreamRows
// with a cursor to go on from.
func ExampleTableClient_Stream() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.search.request.acme": {
		"":              {`{"accounts":[{"id":"1"},{"id":"2"}]}`, `{"accounts":[{"id":"3"}],"next_cursor":"c1"}`},
		`"cursor":"c1"`: {`{"accounts":[{"id":"4"}]}`},
	}})
	defer stop()
	client := messages.NewClient(nc)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	rows := 0
	query := messages.SearchRequest{Target: acme, Fields: []string{"id"}}
	for more := true; more; {
		more = false
		for page, err := range client.Accounts().Stream(ctx, query) {
			if err != nil {
				log.Fatal(err)
			}
			rows += len(page.Rows)
			if page.NextCursor != "" {
				query, more = messages.SearchRequest{Target: acme, Cursor: page.NextCursor}, true
			}
		}
	}
	fmt.Println(rows, "accounts")
	// Output:
	// 4 accounts
}
