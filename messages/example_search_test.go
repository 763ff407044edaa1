package messages_test

import (
	"context"
	"fmt"
	"log"

	"github.com/crmbridge/crmbridge/messages"
)

var acme = messages.Target{Connection: "acme"}

// One page of accounts, and what a field's value looks like.
func ExampleTableClient_Search() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.search.request.acme": {"": {
		`{"accounts":[{"name":"A. Datum","industry":{"value":7,"label":"Consulting"},"revenue":12500000.50}],"total":31,"next_cursor":"…"}`}}})
	defer stop()
	client := messages.NewClient(nc)

	where := messages.All(
		messages.Leaf("industry", messages.In, []string{"Consulting", "Financial"}),
		messages.Leaf("revenue", messages.Ge, 1_000_000),
	)
	page, err := client.Accounts().Search(context.Background(), messages.SearchRequest{
		Target: acme, Where: &where, Fields: []string{"name", "industry", "revenue"}, OrderBy: []string{"-revenue"},
		PageSize: 1, IncludeTotal: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, account := range page.Rows {
		fmt.Printf("%s, %s: %s\n", account.Text("name"), account.Text("industry"), account.Text("revenue"))
	}
	fmt.Println(len(page.Rows), "of", *page.Total)
	// Output:
	// A. Datum, Consulting: 12500000.50
	// 1 of 31
}

// The same question of each table.
func ExampleClient_Table() {
	nc, stop := connectedTo(map[string]map[string][]string{
		"crm.accounts.count.request.acme": {"": {`{"count":31}`}},
		"crm.contacts.count.request.acme": {"": {`{"count":240}`}},
	})
	defer stop()
	client := messages.NewClient(nc)

	for _, table := range []messages.Table{messages.Accounts, messages.Contacts} {
		count, err := client.Table(table).Count(context.Background(), messages.CountRequest{Target: acme})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(count, table.Name)
	}
	// Output:
	// 31 accounts
	// 240 contacts
}
