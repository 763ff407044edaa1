package messages_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/crmbridge/crmbridge/messages"
)

// A copy of the accounts, kept up to date: the cursor is stored after each page that
// has been worked off, and the next run goes on from there.
func ExampleTableClient_Changes() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.changes.request.acme": {
		"":              {`{"accounts":[{"id":"1","name":"A. Datum"},{"id":"2","name":"Contoso"}],"deleted":[],"next_cursor":"c1","has_more":true}`},
		`"cursor":"c1"`: {`{"accounts":[{"id":"3","name":"Fabrikam"}],"deleted":[],"next_cursor":"c2","has_more":false}`},
		`"cursor":"c2"`: {`{"accounts":[{"id":"1","name":"A. Datum Ltd"}],"deleted":["2"],"next_cursor":"c3","has_more":false}`},
	}})
	defer stop()
	client := messages.NewClient(nc)
	directory, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(directory)
	kept := filepath.Join(directory, "cursor")

	names := map[string]string{} // the copy, by id
	update := func() {
		cursor, _ := os.ReadFile(kept) // none on the first run: all accounts then
		for more := true; more; {
			reply, err := client.Accounts().Changes(context.Background(), messages.ChangesRequest{
				Target: acme, Fields: []string{"id", "name"}, Cursor: string(cursor)})
			if fault, ok := errors.AsType[*messages.Error](err); ok && fault.Code == messages.CursorExpired {
				cursor = nil // not asked for too long: begin again
				clear(names)
				continue
			}
			if err != nil {
				log.Fatal(err)
			}
			for _, account := range reply.Rows {
				names[account.Text("id")] = account.Text("name")
			}
			for _, id := range reply.Deleted {
				delete(names, id)
			}
			cursor, more = []byte(reply.NextCursor), reply.HasMore
			if err := os.WriteFile(kept, cursor, 0o600); err != nil {
				log.Fatal(err)
			}
		}
	}
	update()
	fmt.Println(names)
	update()
	fmt.Println(names)
	// Output:
	// map[1:A. Datum 2:Contoso 3:Fabrikam]
	// map[1:A. Datum Ltd 3:Fabrikam]
}
