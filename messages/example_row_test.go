package messages_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// One contact; a lookup and a date are read into Go values.
func ExampleTableClient_Get() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.contacts.get.request.acme": {"": {
		`{"contact":{"name":"Ann","account":{"id":"9","name":"A. Datum","entity":"account"},"modified_at":"2026-03-04T05:06:07Z","mobile":null}}`}}})
	defer stop()
	client := messages.NewClient(nc)

	contact, err := client.Contacts().Get(context.Background(), messages.GetRequest{
		Target: acme, ID: "5c7d2f1e-0000-4000-8000-000000000001", Fields: []string{"name", "account", "modified_at", "mobile"}})
	if err != nil {
		log.Fatal(err)
	}
	var account messages.Lookup
	var modified time.Time
	if err := errors.Join(contact.Decode("account", &account), contact.Decode("modified_at", &modified)); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s works for the %s %s\n", contact.Text("name"), account.Entity, account.Name)
	fmt.Printf("changed on %s, mobile %q\n", modified.Format(time.DateOnly), contact.Text("mobile"))
	// Output:
	// Ann works for the account A. Datum
	// changed on 2026-03-04, mobile ""
}
